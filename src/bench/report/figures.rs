//! The figures on the pages of the book: a fragment of Markdown a chapter, made from a
//! report, so that no figure is typed by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::super::model::{
    Figure, Head, Outcome, Placement, Report, Row, Unit, What,
};
use super::units;
use wire::say::count;

/// The program whose rows are on a page: the chapter's own code.
const OURS: &str = "ipclab";

/// Writes `CHAPTER.md` into `dir` for each chapter that the reports have rows of.
///
/// # Errors
/// A report that cannot be read, or is of another schema; a directory that cannot be
/// written.
pub fn write(reports: &[PathBuf], dir: &Path) -> Result<()> {
    let mut chapters: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in reports {
        let report = super::json::read(path)?;
        let ours = report.rows.iter().filter(|row| row.program == OURS);
        let names: BTreeSet<&str> = ours.map(|row| row.chapter.as_str()).collect();
        for chapter in names {
            let fragments = chapters.entry(chapter.to_owned()).or_default();
            fragments.push(fragment(&report, chapter));
        }
    }
    std::fs::create_dir_all(dir)
        .with_context(|| format!("mkdir {}", dir.display()))?;
    for (chapter, fragments) in chapters {
        let path = dir.join(format!("{chapter}.md"));
        super::save(&path, &fragments.join("\n"))?;
    }
    Ok(())
}

/// The figures of one chapter as Markdown. A table has one placement.
pub fn fragment(report: &Report, chapter: &str) -> String {
    let of_chapter = |row: &&Row| row.chapter == chapter && row.program == OURS;
    let rows: Vec<&Row> = report.rows.iter().filter(of_chapter).collect();
    let mut text = measured_on(&report.head);
    let is_message =
        |row: &&&Row| matches!(row.what, What::Latency | What::Throughput);
    let placements: BTreeSet<_> =
        rows.iter().filter(is_message).map(|row| row.placement).collect();
    for placement in placements {
        let here = |row: &&&Row| is_message(row) && row.placement == placement;
        let rows: Vec<&Row> = rows.iter().filter(here).copied().collect();
        text += &messages(placement, &rows);
    }
    for (what, title) in
        [(What::Server, "As a server"), (What::Operation, "Single operations")]
    {
        let kind: Vec<&Row> =
            rows.iter().filter(|row| row.what == what).copied().collect();
        let placements: BTreeSet<_> = kind.iter().map(|row| row.placement).collect();
        for placement in placements {
            let here = kind.iter().filter(|row| row.placement == placement);
            text += &others(title, placement, &here.copied().collect::<Vec<_>>());
        }
    }
    text
}

/// The machine, the day and the command.
fn measured_on(head: &Head) -> String {
    let kind = match &head.hypervisor {
        Some(name) if name != "unknown" => format!("a virtual machine of {name}"),
        Some(_) => "a virtual machine".to_owned(),
        None => "no virtual machine".to_owned(),
    };
    let mut text = format!(
        "Captured by `{}` of ipclab {} on {}: {}, {}, {kind}, {}.\n",
        head.command,
        head.version,
        head.date,
        head.kernel,
        head.cpu,
        count(head.cpus as u64, "CPU")
    );
    for warning in &head.warnings {
        let _ = writeln!(text, "\n> {warning}");
    }
    text
}

/// Where, as a title.
fn title(placement: Option<Placement>) -> &'static str {
    match placement {
        Some(Placement::Same) => "Both on one CPU",
        Some(Placement::CrossBlocking) => {
            "On two CPUs, kept awake; the side that waits sleeps"
        }
        Some(Placement::CrossLooking) => {
            "On two CPUs; the side that waits looks a moment before it sleeps"
        }
        Some(Placement::CrossSpinning) => {
            "On two CPUs; the side that waits keeps looking"
        }
        None => "On any CPU",
    }
}

/// The floor whose multiples a round trip is given in.
fn floor(placement: Option<Placement>) -> &'static str {
    match placement {
        Some(Placement::CrossLooking | Placement::CrossSpinning) => {
            "two bounced cache lines"
        }
        Some(Placement::CrossBlocking) => "two wake-ups",
        _ => "two context switches",
    }
}

/// Round trips and throughputs, a line a size.
fn messages(placement: Option<Placement>, rows: &[&Row]) -> String {
    let floor = floor(placement);
    let mut text = format!(
        "\n**{}**\n\n| what | size | round trip | ÷ {floor} | one way | ÷ memcpy |\n\
         |---|--:|--:|--:|--:|--:|\n",
        title(placement)
    );
    let mut notes = Notes::default();
    let mut keys: Vec<(&str, u64)> = Vec::new();
    for row in rows {
        let key = (row.subject.as_str(), row.size.unwrap_or(0));
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    // A subject's sizes one after the other, subjects as the report has them.
    let mut subjects: Vec<&str> = Vec::new();
    for (subject, _) in &keys {
        if !subjects.contains(subject) {
            subjects.push(subject);
        }
    }
    keys.sort_by_key(|(subject, size)| {
        (subjects.iter().position(|other| other == subject), *size)
    });
    for (subject, size) in keys {
        let find = |what| {
            rows.iter().find(|row| {
                row.what == what && row.subject == subject && row.size == Some(size)
            })
        };
        let [trip, trip_ratio] = cells(find(What::Latency), floor, &mut notes);
        let [rate, rate_ratio] = cells(find(What::Throughput), "memcpy", &mut notes);
        let size = units::size(size);
        let _ = writeln!(
            text,
            "| {subject} | {size} | {trip} | {trip_ratio} | {rate} | {rate_ratio} |"
        );
    }
    text + &notes.text()
}

/// Servers or operations, a line a row.
fn others(kind: &str, placement: Option<Placement>, rows: &[&Row]) -> String {
    let heading = match placement {
        Some(placement) => format!("{kind}. {}", title(Some(placement))),
        None => kind.to_owned(),
    };
    let mut text = format!(
        "\n**{heading}**\n\n| what | figure | p50 | p99 | compared |\n|---|--:|--:|--:|---|\n"
    );
    let mut notes = Notes::default();
    for row in rows {
        let mut name = row.subject.clone();
        if let Some(size) = row.size {
            name += &format!(", {}", units::size(size));
        }
        for (count, what) in [(row.clients, "busy"), (row.idle, "idle")] {
            if let Some(count) = count {
                name += &format!(", {} {what}", units::grouped(count));
            }
        }
        let [figure, _] = cells(Some(row), "", &mut notes);
        let (mut compared, mut single) =
            (Vec::new(), [String::new(), String::new()]);
        if let Outcome::Measured(figure) = &row.outcome {
            for ratio in &figure.ratios {
                let median = units::digits(ratio.median);
                compared.push(format!("{median} × {}", ratio.to));
            }
            if let Some(times) = &figure.percentiles {
                let [p50, _, p99, ..] = times.known();
                let text = |time| units::figure(time as f64, Unit::Nanoseconds);
                single = [p50, p99].map(|time| time.map_or("–".to_owned(), text));
            }
        }
        let ([p50, p99], compared) = (single, compared.join(", "));
        let _ = writeln!(text, "| {name} | {figure} | {p50} | {p99} | {compared} |");
    }
    text + &notes.text()
}

/// A row's figure, and its ratio to what is called `to`, as cells of a table.
fn cells(row: Option<&&Row>, to: &str, notes: &mut Notes) -> [String; 2] {
    let nothing = || [String::new(), String::new()];
    let Some(row) = row else { return nothing() };
    match &row.outcome {
        Outcome::Measured(figure) => [value(figure, notes), ratio(figure, to)],
        Outcome::Invalid(why) => {
            [format!("invalid {}", notes.number(why)), String::new()]
        }
        Outcome::Absent(why) => [format!("– {}", notes.number(why)), String::new()],
    }
}

fn value(figure: &Figure, notes: &mut Notes) -> String {
    let mut text = units::figure(figure.value, figure.unit);
    if let (Some(messages), Unit::BytesPerSecond) = (figure.messages, figure.unit) {
        text += &format!(", {}", units::figure(messages, Unit::PerSecond));
    }
    if let Some(why) = &figure.noisy {
        text += &format!(" {}", notes.number(why));
    }
    text
}

/// The median of the pairs' ratios, with the least and the greatest.
fn ratio(figure: &Figure, to: &str) -> String {
    let Some(ratio) = figure.ratios.iter().find(|ratio| ratio.to == to) else {
        return String::new();
    };
    let [median, min, max] = [ratio.median, ratio.min, ratio.max].map(units::digits);
    format!("**{median}** ({min}–{max})")
}

/// Why figures are absent or doubted, each reason once and numbered.
#[derive(Default)]
struct Notes(Vec<String>);

impl Notes {
    fn number(&mut self, note: &str) -> String {
        // A program that broke may have written more than a page can show.
        let note = note.lines().next().unwrap_or_default();
        let index = self.0.iter().position(|known| known == note);
        let index = index.unwrap_or_else(|| {
            self.0.push(note.to_owned());
            self.0.len() - 1
        });
        format!("({})", index + 1)
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (number, note) in (1..).zip(&self.0) {
            let _ = write!(text, "\n({number}) {note}\n");
        }
        text
    }
}
