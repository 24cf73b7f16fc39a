//! The outputs of `ipclab bench`, made from a report that was written by hand.

#[path = "bench_report/sample.rs"]
mod sample;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bench::model::*;
use bench::report::{Target, compare, csv, figures, json, save, svg, table};
use sample::{ACCEPTED, SWITCHES, ratio, report, row, trips};
use serde_json::Value;
use textwrap::core::display_width;

/// Colours are the whole program's: who asks for them holds this.
fn coloured(wanted: bool) -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    let held = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    colored::control::set_override(wanted);
    held
}

fn plain_table(report: &Report, width: usize) -> String {
    let _held = coloured(false);
    table::text(report, width)
}

fn plain_compare(old: &Report, new: &Report) -> String {
    let _held = coloured(false);
    compare::text(old, new)
}

/// The row of `subject` with so many bytes of that kind.
fn find<'a>(
    report: &'a mut Report,
    what: What,
    subject: &str,
    size: u64,
) -> &'a mut Row {
    let is_it = |row: &&mut Row| {
        (row.what, row.subject.as_str(), row.size) == (what, subject, Some(size))
            && row.program == "ipclab"
    };
    report.rows.iter_mut().find(is_it).unwrap()
}

fn measured(row: &mut Row) -> &mut Figure {
    let Outcome::Measured(figure) = &mut row.outcome else { panic!("not measured") };
    figure
}

/// Has it timed only so many single ones.
fn timed(row: &mut Row, count: u64) {
    measured(row).percentiles.as_mut().unwrap().count = count;
}

fn line<'a>(text: &'a str, parts: &[&str]) -> &'a str {
    let fits = |line: &&str| parts.iter().all(|part| line.contains(part));
    text.lines().find(fits).unwrap_or_else(|| panic!("no {parts:?} in:\n{text}"))
}

#[test]
fn the_table_fits_its_width() {
    for width in [80, 100, 140] {
        let text = plain_table(&report(), width);
        for line in text.lines() {
            assert!(display_width(line) <= width, "{width}: {line}\n{text}");
            assert!(!line.ends_with(' '), "blanks at the end: {line:?}");
        }
    }
}

#[test]
fn the_columns_of_a_block_end_together() {
    let text = plain_table(&report(), 100);
    let block = text.split("Latency: round trips; same").nth(1).unwrap();
    let block = block.split("\n\n").next().unwrap();
    let rows: Vec<&str> =
        block.lines().filter(|line| line.contains(" µs  ")).collect();
    assert!(rows.len() >= 8, "{text}");
    let ends = |line: &str| display_width(&line[..line.find(" µs").unwrap()]);
    let all: BTreeSet<usize> = rows.iter().map(|line| ends(line)).collect();
    assert_eq!(all.len(), 1, "{block}");
}

#[test]
fn a_row_says_how_far_it_is_from_its_floor() {
    let text = plain_table(&report(), 100);
    let lesson =
        "pipe, 64 B: 1.95 µs = 1.07 × two context switches (1.05–1.09, 9 pairs)";
    assert!(text.contains(lesson), "{text}");
    line(&text, &["pipe", "64 B", "1.95 µs", "1.07 (1.05–1.09)", "1.01"]);
    line(&text, &["shm --spin", "64 B", "424 ns", "1.10 (1.05–1.20)"]);
    line(&text, &["memcpy", "64 B apart", "1 MiB", "21.9 µs", "48.0 GB/s"]);
}

#[test]
fn placements_are_in_blocks_of_their_own() {
    let text = plain_table(&report(), 100);
    let (same, cross) = text.split_once("Latency: round trips; cross").unwrap();
    assert!(!same.contains("shm --spin"), "{text}");
    let (cross, _) = cross.split_once("\nThroughput").unwrap();
    assert!(cross.contains("shm --spin") && !cross.contains("pipe"), "{cross}");
}

#[test]
fn what_is_invalid_noisy_or_absent_is_told_as_such() {
    let text = plain_table(&report(), 100);
    line(&text, &["signal", "64 B", "invalid: faster than the floor"]);
    let noisy = line(&text, &["pipe", "1 B", "~1.94 µs"]);
    let note = |line: &str| line[line.rfind('[').unwrap()..].to_owned();
    line(&text, &[&note(noisy), "noisy: the host took the CPU"]);
    let absent = line(&text, &["posixmq", "64 KiB", "to 1 MiB: –"]);
    line(&text, &[&note(absent), "no message is larger than 8 KiB"]);
    let peer = line(&text, &["pipe  ", "64 B  ", "1.95 µs", "–  ["]);
    line(&text, &[&note(peer), "Python: no python3"]);
    assert!(!text.contains("pipe (C)"), "the C row is a column:\n{text}");
}

#[test]
fn a_peer_without_a_row_of_ours_has_a_line_of_its_own() {
    let mut report = report();
    find(&mut report, What::Latency, "pipe", 64).outcome =
        Outcome::Absent("not today".to_owned());
    line(&plain_table(&report, 100), &["pipe (C)", "64 B", "1.93 µs"]);
}

#[test]
fn every_row_of_a_report_has_a_key_of_its_own() {
    let report = report();
    let mut keys: Vec<_> = report.rows.iter().map(Row::key).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), report.rows.len());
}

#[test]
fn work_of_the_same_name_is_told_with_its_chapter() {
    let text = plain_table(&report(), 100);
    line(&text, &[&format!("unix: {ACCEPTED}"), "12.0 µs", "6.56"]);
    line(&text, &[&format!("tcp: {ACCEPTED}"), "36.0 µs", "19.7"]);
    assert!(!text.contains("pipe: "), "nobody else's:\n{text}");
}

#[test]
fn a_peer_stands_beside_the_row_of_its_own_chapter() {
    let mut report = report();
    let is_it = |row: &&Row| row.subject == ACCEPTED && row.chapter == "tcp";
    let mut python = report.rows.iter().find(is_it).unwrap().clone();
    python.program = "Python".to_owned();
    python.outcome = Outcome::Absent("no sockets today".to_owned());
    report.rows.push(python);
    let text = plain_table(&report, 100);
    line(&text, &["tcp: ", "36.0 µs", "–  ["]);
    let other = line(&text, &["unix: ", "12.0 µs"]);
    assert!(!other.contains('['), "{text}");
}

#[test]
fn a_percentile_of_too_few_is_not_told() {
    const NOTE: &str = "would be the slowest under another name";
    let cells = |count: u64| {
        let mut report = report();
        timed(find(&mut report, What::Latency, "shm --spin", 64), count);
        let text = plain_table(&report, 140);
        assert_eq!(text.contains(NOTE), count < 1_000, "{text}");
        let line = line(&text, &["shm --spin  ", "64 B", "424 ns"]);
        let (_, cells) = line.split_once(')').unwrap();
        cells.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(cells(1_000), "419 466 763 2.54 µs 13.1 µs");
    assert_eq!(cells(999), "419 466 763 – 13.1 µs");
    assert_eq!(cells(100), "419 466 763 – 13.1 µs");
    assert_eq!(cells(99), "419 466 – – 13.1 µs");
}

#[test]
fn the_lesson_is_that_of_the_pipe_if_there_is_one() {
    let mut report = report();
    report.rows.rotate_left(8);
    assert_eq!(report.rows[0].subject, "unix seqpacket");
    let text = plain_table(&report, 100);
    assert!(text.contains("same: both on one CPU\npipe, 64 B: 1.95 µs"), "{text}");
    report.rows.retain(|row| row.chapter != "pipe");
    let text = plain_table(&report, 100);
    assert!(text.contains("one CPU\nunix seqpacket, 64 B: 2.98 µs"), "{text}");
}

#[test]
fn a_machine_that_does_not_tell_its_hypervisor_is_virtual_all_the_same() {
    let mut report = report();
    report.head.hypervisor = Some("unknown".to_owned());
    let text = plain_table(&report, 100);
    line(&text, &["virtual", "yes (the machine does not tell which)"]);
}

#[test]
fn the_head_comes_first_and_is_whole() {
    let text = plain_table(&report(), 80);
    let (head, _) = text.split_once("\nFloors").unwrap();
    for part in [
        "ipclab bench pipe unix shm --sample",
        "0.0.0-sample, 2001-02-03 04:05:06 UTC, took 12 s",
        "Linux 0.0.0-sample",
        "2 CPUs to use, pinned to 0 and 1",
        "performance",
        "yes, none that exists",
        "1 on (spectre_v1), 1 open (tsa), 1 not needed",
        "pipe-max-size 1048576",
        "a sample: nothing was measured",
    ] {
        assert!(head.contains(part), "{part} is not in:\n{head}");
    }
}

#[test]
fn colours_come_only_when_wanted_and_move_nothing() {
    let plain = plain_table(&report(), 100);
    assert!(!plain.contains('\x1b'), "{plain:?}");
    let compared = plain_compare(&report(), &report());
    assert!(!compared.contains('\x1b'), "{compared:?}");
    let painted = {
        let _held = coloured(true);
        table::text(&report(), 100)
    };
    let invalid = line(&painted, &["invalid: faster"]);
    assert!(invalid.contains("\x1b[31minvalid"), "{invalid:?}");
    let mut bare = String::new();
    for (index, part) in painted.split('\x1b').enumerate() {
        let end = if index == 0 { 0 } else { part.find('m').unwrap() + 1 };
        bare += &part[end..];
    }
    assert_eq!(bare, plain);
}

#[test]
fn json_comes_back_as_it_was() {
    let report = report();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("report.json");
    let text = json::text(&report).unwrap();
    save(&path, &text).unwrap();
    let again = json::read(&path).unwrap();
    let value = |report: &Report| serde_json::to_value(report).unwrap();
    assert_eq!(value(&again), value(&report));
    assert_eq!(json::text(&again).unwrap(), text);
    assert!(
        text.contains("\n            [\"meltdown\"")
            || text.contains("[\"meltdown\", \"Not affected\"]"),
        "{text}"
    );
    assert!(!text.contains("null"), "what has no meaning is left out: {text}");
}

#[test]
fn a_file_that_is_no_report_is_refused_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("old.json");
    let text = json::text(&report()).unwrap();
    let next = format!("\"schema\": {}", SCHEMA + 1);
    let other = text.replacen(&format!("\"schema\": {SCHEMA}"), &next, 1);
    let cut = text[..text.len() / 2].to_owned();
    for (text, reason) in [
        (String::new(), "it is empty".to_owned()),
        (cut, "it is cut off".to_owned()),
        ("what,chapter\r\n".to_owned(), "it is no JSON".to_owned()),
        (
            "[1]".to_owned(),
            "it is no report of a bench: it has no schema".to_owned(),
        ),
        (format!("{{{next}}}"), format!("it is of schema {}", SCHEMA + 1)),
        (
            other,
            format!(
                "it is of schema {}, and this ipclab knows schema {SCHEMA}",
                SCHEMA + 1
            ),
        ),
        (format!("{{\"schema\": {SCHEMA}}}"), "missing field `head`".to_owned()),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = wire::errors::line(&json::read(&path).unwrap_err());
        assert!(error.contains(&reason), "{reason}: {error}");
        assert!(error.contains("old.json") && error.contains("--json"), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
    let error = wire::errors::line(&json::read(&dir.path().join("no")).unwrap_err());
    assert!(error.contains("ENOENT"), "{error}");
}

#[test]
fn csv_has_a_line_for_each_figure_and_plain_numbers() {
    let report = report();
    let text = csv::text(&report).unwrap();
    let mut reader = ::csv::Reader::from_reader(text.as_bytes());
    assert_eq!(reader.headers().unwrap(), csv::HEADER.as_slice());
    let lines: Vec<HashMap<String, String>> =
        reader.deserialize().collect::<Result<_, _>>().unwrap();
    assert_eq!(lines.len(), report.floors.len() + report.rows.len());
    let numbers = |name: &str| {
        ["ns", "_min", "_max", "_s", "_ratio", "_pairs"]
            .iter()
            .any(|end| name.ends_with(end))
            || ["timed", "windows", "size_bytes"].contains(&name)
    };
    for (name, cell) in lines.iter().flatten() {
        if numbers(name) && !cell.is_empty() {
            cell.parse::<f64>().unwrap_or_else(|e| panic!("{name}: {cell}: {e}"));
        }
    }
    for (line, row) in lines[report.floors.len()..].iter().zip(&report.rows) {
        assert_eq!(line["subject"], row.subject);
        assert_eq!(line["cpu"], report.head.cpu);
        match &row.outcome {
            Outcome::Measured(figure) => {
                let column = match figure.unit {
                    Unit::Nanoseconds => "ns",
                    Unit::BytesPerSecond => "bytes_per_s",
                    Unit::PerSecond => "per_s",
                };
                assert_eq!(line[column].parse(), Ok(figure.value));
                let floor = &figure.ratios[0];
                assert_eq!(line["floor"], floor.to);
                assert_eq!(line["floor_ratio_max"].parse(), Ok(floor.max));
            }
            Outcome::Invalid(why) | Outcome::Absent(why) => {
                assert_eq!(&line["reason"], why);
                assert_eq!(line["ns"], "");
            }
        }
    }
}

#[test]
fn a_percentile_of_too_few_is_an_empty_cell_and_a_dash_on_a_page() {
    for (count, known) in
        [(1_000, [true, true]), (999, [true, false]), (99, [false; 2])]
    {
        let mut report = report();
        report.floors.clear();
        report.rows.retain(|row| row.subject == ACCEPTED && row.chapter == "tcp");
        timed(&mut report.rows[0], count);
        let text = csv::text(&report).unwrap();
        let mut reader = ::csv::Reader::from_reader(text.as_bytes());
        let cells: HashMap<String, String> =
            reader.deserialize().next().unwrap().unwrap();
        assert_eq!(cells["timed"], count.to_string());
        assert_eq!(
            [!cells["p99_ns"].is_empty(), !cells["p999_ns"].is_empty()],
            known
        );
        assert_eq!(cells["max_ns"], "1116000");
        let page = figures::fragment(&report, "tcp");
        let p99 = if known[0] { "64.8 µs" } else { "–" };
        line(&page, &[ACCEPTED, &format!("| 35.6 µs | {p99} |")]);
    }
}

#[test]
fn the_picture_is_xml_that_says_what_it_shows() {
    let text = svg::draw(&report()).unwrap();
    let xml = roxmltree::Document::parse(&text).unwrap();
    let root = xml.root_element();
    assert_eq!(root.attribute("role"), Some("img"));
    let named = root.attribute("aria-labelledby").unwrap();
    for id in named.split(' ') {
        let node = root.children().find(|node| node.attribute("id") == Some(id));
        assert!(node.and_then(|node| node.text()).is_some(), "{id}");
    }
    let of = |tag: &str| {
        let tag = tag.to_owned();
        root.children().find(|node| node.has_tag_name(tag.as_str())).unwrap()
    };
    let about = of("desc").text().unwrap();
    assert!(about.contains("pipe 1.95 µs, which is 1.07 × two context"), "{about}");
    assert!(about.contains("Sample & Sons"), "{about}");
    let texts: Vec<&str> = root
        .descendants()
        .filter(|node| node.has_tag_name("text"))
        .filter_map(|node| node.text().map(str::trim))
        .collect();
    // Once in each of the three panels.
    for subject in ["pipe", "unix seqpacket"] {
        let times = texts.iter().filter(|text| **text == subject).count();
        assert_eq!(times, 3, "{subject}: {texts:?}");
    }
    for label in ["shm --spin", SWITCHES, "memcpy", "64 B", "1 MiB", "99.9 %"] {
        assert!(texts.contains(&label), "{label}: {texts:?}");
    }
    let titles: Vec<_> = texts.iter().filter(|text| text.contains("; ")).collect();
    assert_eq!(titles.len(), 5, "{titles:?}");
}

#[test]
fn a_point_alone_has_its_name_beside_it_and_no_line() {
    let text = svg::draw(&report()).unwrap();
    let xml = roxmltree::Document::parse(&text).unwrap();
    let number = |node: &roxmltree::Node, name: &str| -> f64 {
        node.attribute(name).unwrap().parse().unwrap()
    };
    // Of one size only. The first of the two is in the panel of sizes.
    let name = xml
        .descendants()
        .filter(|node| node.has_tag_name("text"))
        .find(|node| node.text().is_some_and(|text| text.trim() == "posixmq"))
        .unwrap();
    let mark = xml
        .descendants()
        .find(|node| {
            node.has_tag_name("polygon")
                && node.attribute("fill") == name.attribute("fill")
        })
        .unwrap();
    let corner = mark.attribute("points").unwrap().split([',', ' ']).next().unwrap();
    let apart = number(&name, "x") - corner.parse::<f64>().unwrap();
    assert!((4.0..20.0).contains(&apart), "{apart}: {text}");
    // What leads to the other names is of no line's colour.
    let looks: BTreeSet<_> = xml
        .descendants()
        .filter(|node| node.attribute("stroke-width") == Some("2"))
        .filter_map(|node| node.attribute("stroke"))
        .collect();
    let thin: BTreeSet<_> = xml
        .descendants()
        .filter(|node| node.attribute("opacity") == Some("0.4"))
        .filter_map(|node| node.attribute("stroke"))
        .collect();
    assert_eq!(thin.len(), 1, "{thin:?}");
    let floors = xml.descendants().any(|node| {
        node.attribute("stroke-dasharray") == Some("1 4")
            && node.attribute("stroke") == thin.first().copied()
    });
    assert!(floors && looks.len() > 3, "only the floors' grey: {thin:?} {looks:?}");
}

#[test]
fn every_colour_of_the_picture_has_one_for_the_dark() {
    let text = svg::draw(&report()).unwrap();
    let xml = roxmltree::Document::parse(&text).unwrap();
    let sheet = xml.descendants().find(|node| node.has_tag_name("style")).unwrap();
    let sheet = sheet.text().unwrap();
    assert!(sheet.contains("prefers-color-scheme:dark"), "{sheet}");
    let mut lines = BTreeSet::new();
    for node in xml.descendants() {
        for what in ["fill", "stroke"] {
            let colour = node.attribute(what).filter(|colour| *colour != "none");
            if let Some(colour) = colour {
                let rule = format!("[{what}=\"{colour}\"]");
                assert!(sheet.contains(&rule), "{rule} in {sheet}");
            }
        }
        let wide = node.attribute("stroke-width") == Some("2");
        if node.has_tag_name("polyline")
            && wide
            && node.attribute("points").unwrap().len() > 40
        {
            let looks =
                (node.attribute("stroke"), node.attribute("stroke-dasharray"));
            lines.insert((looks.0.unwrap().to_owned(), looks.1.map(str::to_owned)));
        }
    }
    let dashes: BTreeSet<_> = lines.iter().map(|(_, dashes)| dashes).collect();
    assert!(lines.len() >= 3 && dashes.len() == lines.len(), "{lines:?}");
}

#[test]
fn a_report_without_messages_cannot_be_drawn() {
    let mut report = report();
    report.rows.retain(|row| row.what == What::Operation);
    let error = svg::draw(&report).unwrap_err().to_string();
    assert!(error.starts_with("nothing to draw"), "{error}");
}

#[test]
fn a_run_compared_with_itself_is_all_noise() {
    let text = plain_compare(&report(), &report());
    let measured = report()
        .rows
        .iter()
        .filter(|row| matches!(row.outcome, Outcome::Measured(_)))
        .count();
    let verdict = format!("Verdict: {measured} the same within noise.");
    assert_eq!(text.lines().last(), Some(verdict.as_str()), "{text}");
    assert!(!text.contains("warning"), "{text}");
}

#[test]
fn three_percent_are_noise_and_twenty_are_not() {
    let old = report();
    let mut new = report();
    let set = |report: &mut Report, what, subject, size, factor: f64| {
        let Outcome::Measured(figure) =
            &mut find(report, what, subject, size).outcome
        else {
            panic!("not measured")
        };
        for ratio in &mut figure.ratios {
            ratio.median *= factor;
            ratio.min *= factor;
            ratio.max *= factor;
        }
    };
    set(&mut new, What::Latency, "pipe", 64, 1.03);
    set(&mut new, What::Latency, "pipe", 4096, 1.2);
    set(&mut new, What::Latency, "unix seqpacket", 64, 0.75);
    set(&mut new, What::Throughput, "pipe", 4096, 0.8);
    // Noisy in both runs: for such a row 7 % are not enough.
    set(&mut new, What::Latency, "pipe", 1, 1.07);
    // Nor are 8 % with four pairs.
    set(&mut new, What::Throughput, "unix seqpacket", 64, 1.08);
    let few = find(&mut new, What::Throughput, "unix seqpacket", 64);
    if let Outcome::Measured(figure) = &mut few.outcome {
        figure.ratios[0].pairs = 4;
    }
    let text = plain_compare(&old, &new);
    line(&text, &["noise", "+3.0 %", "latency pipe, 64 B, same"]);
    line(
        &text,
        &["slower", "+20.0 %", "latency pipe, 4 KiB, same", "1.51", "→", "1.81"],
    );
    line(&text, &["faster", "-25.0 %", "latency unix seqpacket, 64 B"]);
    line(&text, &["slower", "-20.0 %", "throughput pipe, 4 KiB"]);
    line(&text, &["noise", "+7.0 %", "latency pipe, 1 B"]);
    line(&text, &["noise", "+8.0 %", "throughput unix seqpacket, 64 B"]);
    let at = |part: &str| text.find(part).unwrap();
    assert!(at("-25.0 %") < at("+20.0 %") && at("+20.0 %") < at("+7.0 %"), "{text}");
    let verdict = text.lines().last().unwrap();
    assert!(verdict.starts_with("Verdict: 2 slower, 1 faster, "), "{verdict}");
}

#[test]
fn work_of_the_same_name_is_compared_with_that_of_its_own_chapter() {
    let mut old = report();
    let mut new = report();
    old.rows.reverse();
    let is_it = |row: &&mut Row| row.subject == ACCEPTED && row.chapter == "unix";
    for ratio in &mut measured(new.rows.iter_mut().find(is_it).unwrap()).ratios {
        ratio.median *= 1.2;
        ratio.min *= 1.2;
        ratio.max *= 1.2;
    }
    let text = plain_compare(&old, &new);
    let unix = format!("operation unix: {ACCEPTED}");
    line(&text, &["slower", "+20.0 %", &unix, "6.56", "7.87"]);
    line(&text, &["noise", "+0.0 %", &format!("operation tcp: {ACCEPTED}")]);
    new.rows.retain(|row| row.subject != ACCEPTED || row.chapter == "unix");
    let text = plain_compare(&old, &new);
    line(&text, &[&format!("gone: operation tcp: {ACCEPTED}")]);
    line(&text, &["slower", "+20.0 %", &unix]);
}

#[test]
fn a_slower_machine_is_told_apart_from_slower_code() {
    let old = report();
    let mut new = report();
    for floor in &mut new.floors {
        for value in [&mut floor.nanoseconds, &mut floor.min, &mut floor.max] {
            *value *= 1.3;
        }
    }
    let Outcome::Measured(figure) =
        &mut find(&mut new, What::Latency, "pipe", 64).outcome
    else {
        panic!("not measured")
    };
    for value in [&mut figure.value, &mut figure.min, &mut figure.max] {
        *value *= 1.3;
    }
    let text = plain_compare(&old, &new);
    line(&text, &["the machine differs: two context switches, same", "(+30.0 %)"]);
    line(&text, &["noise", "+0.0 %", "latency pipe, 64 B, same"]);
}

#[test]
fn what_came_went_or_became_invalid_is_told() {
    let old = report();
    let mut new = report();
    find(&mut new, What::Latency, "pipe", 64).outcome =
        Outcome::Invalid("0.9 switches too few".to_owned());
    new.rows.retain(|row| row.subject != "shm --spin");
    let figure = Outcome::Measured(trips(5_000.0, 2.7));
    new.rows.push(row("tcp", What::Latency, Some(64), figure));
    find(&mut new, What::Latency, "signal", 64).outcome =
        Outcome::Measured(trips(2_340.0, 1.28));
    let text = plain_compare(&old, &new);
    line(&text, &["invalid now: latency pipe, 64 B, same: 0.9 switches too few"]);
    line(&text, &["gone: latency shm --spin, 64 B, cross, spinning"]);
    line(&text, &["gone: latency shm --spin, 4 KiB"]);
    line(&text, &["new: latency tcp, 64 B, same"]);
    line(&text, &["measured again: latency signal, 64 B", "was invalid: faster"]);
    let verdict = text.lines().last().unwrap();
    let end = "1 invalid now, 1 measured again, 1 new, 2 gone.";
    assert!(verdict.ends_with(end), "{verdict}");
}

#[test]
fn another_machine_is_warned_of() {
    let old = report();
    let mut new = report();
    new.head.cpu = "another".to_owned();
    new.head.kernel = "Linux 0.0.1".to_owned();
    new.head.governor = None;
    new.head.warnings.push("a debug build".to_owned());
    let text = plain_compare(&old, &new);
    line(&text, &["warning: the CPU differs", "→ another"]);
    line(&text, &["warning: the kernel differs", "→ Linux 0.0.1"]);
    line(&text, &["warning: the governor differs: performance → none"]);
    line(&text, &["warning: only the new run was warned of: a debug build"]);
}

#[test]
fn without_a_common_floor_the_figures_are_compared() {
    let (mut old, mut new) = (report(), report());
    for (report, value) in [(&mut old, 1_000.0), (&mut new, 1_500.0)] {
        let mut figure = trips(value, 1.0);
        figure.ratios = vec![ratio("C", 1.0, 0.9, 1.1)];
        find(report, What::Latency, "pipe", 64).outcome = Outcome::Measured(figure);
    }
    let text = plain_compare(&old, &new);
    line(&text, &["slower", "+50.0 %", "pipe, 64 B", "1.00 µs", "→", "1.50 µs"]);
}

#[test]
fn a_file_is_found_to_be_unwritable_before_anything_is_measured() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |path: &Path, number: &str| {
        let error = wire::errors::line(&Target::check(path).unwrap_err());
        assert!(error.contains(number), "{error}");
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    };
    refused(&dir.path().join("no/report.json"), "ENOENT");
    refused(dir.path(), "EISDIR");
    let file = dir.path().join("file");
    std::fs::write(&file, "old").unwrap();
    refused(&file.join("report.json"), "ENOTDIR");
    let target = Target::check(&file).unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "old", "only looked at");
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    target.save("new").unwrap();
    save(&link, "newer").unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "newer");
    assert!(link.is_symlink());
    save(Path::new("/dev/null"), "nothing").unwrap();
    assert!(!Path::new("/dev/null").is_file());
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn a_full_file_system_is_told_with_the_way_out() {
    let error = save(Path::new("/dev/full"), "a report").unwrap_err();
    assert_eq!(
        wire::errors::line(&error),
        "write /dev/full: ENOSPC: No space left on device; \
         name a file where there is room"
    );
}

/// Where a value stands: `rows[].size`.
fn paths(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let dot = if at.is_empty() { "" } else { "." };
                paths(value, &format!("{at}{dot}{name}"), found);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for item in items {
                paths(item, &format!("{at}[]"), found);
            }
        }
        _ => {
            found.insert(at.to_owned());
        }
    }
}

#[test]
fn the_schema_page_names_every_field_and_no_other() {
    let mut written = BTreeSet::new();
    paths(&serde_json::to_value(report()).unwrap(), "", &mut written);
    let page =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("chapters/bench/schema.md");
    let page = std::fs::read_to_string(page).unwrap();
    let told: Vec<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(field, _)| field.to_owned())
        .collect();
    assert_eq!(told.iter().cloned().collect::<BTreeSet<_>>(), written);
    assert_eq!(told.len(), written.len(), "a field is told of twice");
    let words = |values: Vec<Value>, field: &str| {
        let line = line(&page, &[&format!("| `{field}`")]).to_owned();
        for value in values {
            let word = format!("`{}`", value.as_str().unwrap());
            assert!(line.contains(&word), "{word} is not in {line}");
        }
    };
    let json = |value| serde_json::to_value(value).unwrap();
    use Placement::{CrossBlocking, CrossSpinning, Same};
    let places = [Same, CrossBlocking, CrossSpinning]
        .map(|p| serde_json::to_value(p).unwrap());
    words(places.to_vec(), "rows[].placement");
    use Unit::{BytesPerSecond, Nanoseconds, PerSecond};
    let units = [Nanoseconds, BytesPerSecond, PerSecond]
        .map(|u| serde_json::to_value(u).unwrap());
    words(units.to_vec(), "rows[].outcome.measured.unit");
    use What::{Latency, Operation, Server, Throughput};
    words(
        [Latency, Throughput, Server, Operation].map(json).to_vec(),
        "rows[].what",
    );
    assert!(page.contains(&format!("schema is {SCHEMA}")), "its version");
}
