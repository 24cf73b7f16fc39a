//! `--compare`: what has changed since another run, and whether that is noise.
//!
//! Another day's machine may be slower as a whole. So the ratios to the floor are compared,
//! which both runs measured in turns with the row; a figure without one as it is.

use std::cmp::Ordering;

use super::super::model::{Figure, Outcome, Report, Row, Unit};
use super::grid::{Cell, Grid, Side, Tone, paint};
use super::units::{digits, figure};
use super::{floor_ratio, head, name, shared};

/// Two runs of one program on a quiet machine differ by so much, in percent.
pub const QUIET: f64 = 5.0;
/// And so much where a row is noisy, or has fewer than [`ENOUGH`] pairs.
pub const LOUD: f64 = 10.0;
/// Of two times so many pairs of the same program, the spreads lie apart by chance in 1 of
/// 126 cases: 2 × (5! × 5! / 10!). With 9 pairs, in 1 of 24,310.
pub const ENOUGH: usize = 5;

/// What was compared: a median with its spread.
#[derive(Debug, Clone, Copy)]
struct Measure {
    median: f64,
    min: f64,
    max: f64,
    /// How many pairs or windows it is the median of.
    count: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trend {
    Slower,
    Faster,
    Noise,
}

/// Two figures of the same work.
struct Change {
    /// What the figures are of.
    called: String,
    /// In percent of the old one: more is more time, or a greater rate.
    percent: f64,
    trend: Trend,
    old: Measure,
    new: Measure,
    /// Whether ratios to the floor were compared, or else the figures themselves.
    by_floor: bool,
    unit: Unit,
}

/// What `new` has that `old` had not, and what has changed by how much, the greatest change
/// first; a verdict in one line at the end.
pub fn text(old: &Report, new: &Report) -> String {
    let found = Found::new(old, new);
    let mut out = format!(
        "compared with the run of {} by ipclab {}\n",
        old.head.date, old.head.version
    );
    for difference in head::differences(&old.head, &new.head) {
        out += &format!(
            "{}\n",
            paint(&format!("warning: {difference}"), Tone::Warning)
        );
    }
    out += &floors(old, new);
    out += &found.changes();
    let mut others = String::new();
    for (list, words, tone) in [
        (&found.invalid, "invalid now", Tone::Bad),
        (&found.again, "measured again", Tone::Plain),
        (&found.appeared, "new", Tone::Plain),
        (&found.vanished, "gone", Tone::Warning),
        (&found.apart, "of another unit now", Tone::Warning),
    ] {
        for item in list {
            others += &format!("{}\n", paint(&format!("{words}: {item}"), tone));
        }
    }
    if !others.is_empty() {
        out += &format!("\n{others}");
    }
    out + &format!(
        "\nA change counts if the spreads lie apart and it is over {QUIET} %, or over \
         {LOUD} %\nwhere a row is noisy or has fewer than {ENOUGH} pairs; all else is \
         noise. What has a\nfloor is compared by its ratio to it: the machine may have \
         changed as a whole.\n\n{}\n",
        paint(&found.verdict(), Tone::Strong)
    )
}

/// The floors that have changed: then it is the machine.
fn floors(old: &Report, new: &Report) -> String {
    let mut out = String::new();
    for floor in &new.floors {
        let same = old.floors.iter().find(|other| {
            (&other.name, other.placement, other.size)
                == (&floor.name, floor.placement, floor.size)
        });
        let Some(before) = same else { continue };
        let percent = (floor.nanoseconds / before.nanoseconds - 1.0) * 100.0;
        let apart = floor.min > before.max || floor.max < before.min;
        if apart && percent.abs() > QUIET {
            let mut what = floor.name.clone();
            if let Some(size) = floor.size {
                what += &format!(", {}", super::units::size(size));
            }
            if let Some(placement) = floor.placement {
                what += &format!(", {}", placement.text());
            }
            let line = format!(
                "the machine differs: {what}: {} → {} ({percent:+.1} %)",
                figure(before.nanoseconds, Unit::Nanoseconds),
                figure(floor.nanoseconds, Unit::Nanoseconds)
            );
            out += &format!("{}\n", paint(&line, Tone::Warning));
        }
    }
    out
}

#[derive(Default)]
struct Found {
    changes: Vec<Change>,
    invalid: Vec<String>,
    again: Vec<String>,
    appeared: Vec<String>,
    vanished: Vec<String>,
    apart: Vec<String>,
}

/// What a row is of, with its kind and place; with its chapter where another one has a row
/// that is called the same.
fn called(row: &Row, others: &[&Row]) -> String {
    let kind = serde_json::to_value(row.what).unwrap_or_default();
    let kind = kind.as_str().unwrap_or_default();
    let name = match shared(row, others) {
        true => format!("{}: {}", row.chapter, name(row)),
        false => name(row),
    };
    match row.placement {
        Some(placement) => format!("{kind} {name}, {}", placement.text()),
        None => format!("{kind} {name}"),
    }
}

impl Found {
    fn new(old: &Report, new: &Report) -> Found {
        let mut found = Found::default();
        let all: Vec<&Row> = old.rows.iter().chain(&new.rows).collect();
        for row in &new.rows {
            let called = called(row, &all);
            let before = old.rows.iter().find(|other| row.key() == other.key());
            let before = before.map(|before| &before.outcome);
            match (before, &row.outcome) {
                (Some(Outcome::Measured(one)), Outcome::Measured(two)) => {
                    match change(new, &called, one, two) {
                        Some(change) => found.changes.push(change),
                        None => found.apart.push(called),
                    }
                }
                (Some(Outcome::Invalid(_)), Outcome::Invalid(_))
                | (Some(Outcome::Absent(_)) | None, Outcome::Absent(_)) => {}
                (_, Outcome::Invalid(why)) => {
                    found.invalid.push(format!("{called}: {why}"));
                }
                (Some(_), Outcome::Absent(why)) => {
                    found.vanished.push(format!("{called}: {why}"));
                }
                (Some(Outcome::Invalid(why)), Outcome::Measured(_)) => {
                    found.again.push(format!("{called}: was invalid: {why}"));
                }
                (Some(Outcome::Absent(why)), Outcome::Measured(_)) => {
                    found.appeared.push(format!("{called}: was absent: {why}"));
                }
                (None, Outcome::Measured(_)) => found.appeared.push(called),
            }
        }
        for row in &old.rows {
            let is_there = new.rows.iter().any(|other| row.key() == other.key());
            if !is_there && !matches!(row.outcome, Outcome::Absent(_)) {
                found.vanished.push(called(row, &all));
            }
        }
        let size = |change: &Change| change.percent.abs();
        found.changes.sort_by(|one, two| {
            let noise = |change: &Change| change.trend == Trend::Noise;
            let sizes = size(two).partial_cmp(&size(one)).unwrap_or(Ordering::Equal);
            noise(one).cmp(&noise(two)).then(sizes)
        });
        found
    }

    fn changes(&self) -> String {
        if self.changes.is_empty() {
            return String::new();
        }
        let mut grid = Grid::default();
        grid.column("", Side::Left);
        grid.column("by", Side::Right);
        for head in ["", "old, × floor", "", "new, × floor"] {
            grid.column(head, Side::Left);
        }
        for change in &self.changes {
            let (word, tone) = match change.trend {
                Trend::Slower => ("slower", Tone::Bad),
                Trend::Faster => ("faster", Tone::Strong),
                Trend::Noise => ("noise", Tone::Faint),
            };
            let show = |measure: Measure| match change.by_floor {
                true => {
                    let Measure { median, min, max, .. } = measure;
                    format!("{} ({}–{})", digits(median), digits(min), digits(max))
                }
                false => figure(measure.median, change.unit),
            };
            grid.line(vec![
                Cell::new(word, tone),
                Cell::new(format!("{:+.1} %", change.percent), tone),
                Cell::plain(&change.called),
                Cell::plain(show(change.old)),
                Cell::new("→", Tone::Faint),
                Cell::plain(show(change.new)),
            ]);
        }
        format!("\n{}", grid.text(usize::MAX))
    }

    fn verdict(&self) -> String {
        let count = |trend| {
            self.changes.iter().filter(|change| change.trend == trend).count()
        };
        let parts = [
            (count(Trend::Slower), "slower"),
            (count(Trend::Faster), "faster"),
            (count(Trend::Noise), "the same within noise"),
            (self.invalid.len(), "invalid now"),
            (self.again.len(), "measured again"),
            (self.appeared.len(), "new"),
            (self.vanished.len(), "gone"),
            (self.apart.len(), "of another unit"),
        ];
        let said = parts.iter().filter(|(count, _)| *count > 0);
        let said: Vec<_> =
            said.map(|(count, word)| format!("{count} {word}")).collect();
        match said.is_empty() {
            true => "Verdict: the two runs have no row in common.".to_owned(),
            false => format!("Verdict: {}.", said.join(", ")),
        }
    }
}

/// How two figures differ; `None` if they have not the same unit.
fn change(
    new: &Report,
    called: &str,
    old_figure: &Figure,
    new_figure: &Figure,
) -> Option<Change> {
    if old_figure.unit != new_figure.unit {
        return None;
    }
    let unit = new_figure.unit;
    let floor = floor_ratio(new, &new_figure.ratios);
    let both = floor.and_then(|ratio| {
        let before = old_figure.ratios.iter().find(|other| other.to == ratio.to)?;
        Some((before, ratio))
    });
    let of_figure = |figure: &Figure| Measure {
        median: figure.value,
        min: figure.min,
        max: figure.max,
        count: figure.windows,
    };
    let of_ratio = |ratio: &super::Ratio| Measure {
        median: ratio.median,
        min: ratio.min,
        max: ratio.max,
        count: ratio.pairs,
    };
    let (old, new) = match both {
        Some((before, after)) => (of_ratio(before), of_ratio(after)),
        None => (of_figure(old_figure), of_figure(new_figure)),
    };
    let percent = (new.median / old.median - 1.0) * 100.0;
    let doubted = old_figure.noisy.is_some()
        || new_figure.noisy.is_some()
        || old.count.min(new.count) < ENOUGH;
    let least = if doubted { LOUD } else { QUIET };
    let apart = new.min > old.max || new.max < old.min;
    let trend = match apart && percent.abs() > least {
        false => Trend::Noise,
        true if (percent > 0.0) == unit.less_is_better() => Trend::Slower,
        true => Trend::Faster,
    };
    let by_floor = both.is_some();
    let called = called.to_owned();
    Some(Change { called, percent, trend, old, new, by_floor, unit })
}
