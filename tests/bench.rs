//! The bench: what it measures, what it refuses, and what it leaves behind.
//!
//! No test here asserts a time: what a figure is depends on the machine, and on what else
//! it does. That the figures are of what they say is another matter.

mod support;

use std::os::unix::process::ExitStatusExt;

use bench::model::{Outcome, Placement, Report, Row, What};
use bench::subject::Waits;
use nix::sys::signal::Signal;
use support::*;

/// Runs a quick bench with these arguments, and reads its report.
fn bench(args: &[&str]) -> Report {
    let subject = subject("pipe");
    let mut words = vec!["bench", "--quick", "--json", "-"];
    words.extend(args);
    let mut command = ipclab(&subject, &words);
    command.env("TMPDIR", subject.dir());
    let outcome = run(command, Input::Nothing);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    subject.nothing_is_left().unwrap();
    serde_json::from_slice(&outcome.stdout).unwrap()
}

/// What is wrong with a row that should have a figure. A tripwire may stop one on a machine
/// that is busy with other tests; all else is a fault.
fn fault(row: &Row) -> Option<String> {
    match &row.outcome {
        Outcome::Measured(figure) if figure.value > 0.0 => None,
        Outcome::Invalid(why) if why.contains("context switch") => None,
        Outcome::Invalid(why) if why.contains("cache lines") => None,
        other => Some(format!("{}, {:?}: {other:?}", row.subject, row.size)),
    }
}

/// From now on this test's thread has one CPU, and so has what it starts.
fn use_one_cpu() {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    let all = sched_getaffinity(None).unwrap();
    let mut one = CpuSet::new();
    one.set((0..CpuSet::MAX_CPU).find(|cpu| all.is_set(*cpu)).unwrap());
    sched_setaffinity(None, &one).unwrap();
}

fn two_cpus() -> bool {
    std::thread::available_parallelism().is_ok_and(|count| count.get() > 1)
}

/// The bare programs do the same work as the roles, and are timed in turns with them.
#[test]
fn what_hardening_costs_is_measured_beside_the_peers() {
    let report = bench(&["fifo", "posixmq", "tcp", "--size", "64", "--peers"]);
    let whole =
        |row: &&Row| row.what == What::Operation && row.subject.contains(" printed");
    let rows: Vec<_> = report.rows.iter().filter(whole).collect();
    let programs: Vec<_> = rows
        .iter()
        .map(|row| (row.chapter.as_str(), row.program.as_str()))
        .collect();
    let both = |chapter| [(chapter, "bare"), (chapter, "ipclab")];
    assert_eq!(programs, [both("fifo"), both("tcp"), both("posixmq")].concat());
    for row in rows {
        assert_eq!(fault(row), None);
        let Outcome::Measured(figure) = &row.outcome else { panic!("{row:?}") };
        let to: Vec<_> =
            figure.ratios.iter().map(|ratio| ratio.to.as_str()).collect();
        assert_eq!(to == ["bare"], row.program == "ipclab", "{to:?}");
    }
}

#[test]
fn every_mechanism_is_measured_both_ways_with_every_byte_right() {
    let report = bench(&["--size", "64"]);
    let mut subjects = Vec::new();
    for row in
        report.rows.iter().filter(|row| row.placement == Some(Placement::Same))
    {
        subjects.push((row.subject.as_str(), row.what));
        let of = bench::subject::Subject::find(&row.subject).unwrap();
        match (&row.outcome, of.not_one_way) {
            (Outcome::Absent(why), Some(told)) if row.what == What::Throughput => {
                assert_eq!(why, told, "{row:?}");
            }
            (_, Some(_)) if row.what == What::Throughput => panic!("{row:?}"),
            _ => assert_eq!(fault(row), None),
        }
    }
    for subject in bench::subject::SUBJECTS
        .iter()
        .filter(|s| s.waits != Waits::Spins && s.least.is_none())
    {
        for what in [What::Latency, What::Throughput] {
            let wanted = (subject.name, what);
            assert!(subjects.contains(&wanted), "{wanted:?} of {subjects:?}");
        }
    }
}

#[test]
fn placements_are_labelled_and_who_spins_is_never_on_one_cpu() {
    let report = bench(&["shm", "--spin", "--size", "64"]);
    for row in &report.rows {
        let spins = row.subject.ends_with("--spin");
        assert_eq!(
            spins,
            row.placement == Some(Placement::CrossSpinning),
            "{row:?}"
        );
        assert_ne!(row.placement, Some(Placement::CrossBlocking), "it looks first");
    }
    let of = |placement| {
        report.rows.iter().filter(|row| row.placement == Some(placement)).count()
    };
    assert_eq!(of(Placement::Same), 2);
    let across = if two_cpus() { 2 } else { 0 };
    assert_eq!(of(Placement::CrossLooking), across);
    assert_eq!(of(Placement::CrossSpinning), across);
    assert_eq!(report.head.pinned.len(), if two_cpus() { 2 } else { 1 });
}

#[test]
fn each_figure_is_told_as_a_multiple_of_a_floor_of_the_same_run() {
    let report = bench(&["pipe", "--size", "64"]);
    let floors: Vec<&str> = report.floors.iter().map(|f| f.name.as_str()).collect();
    for floor in ["getppid", "clock_gettime", "memcpy", "two context switches"] {
        assert!(floors.contains(&floor), "{floor} in {floors:?}");
    }
    for row in &report.rows {
        let Outcome::Measured(figure) = &row.outcome else { continue };
        let floor = match (row.what, row.placement) {
            (What::Latency, Some(Placement::Same)) => "two context switches",
            (What::Latency, _) => "two wake-ups",
            _ => "memcpy",
        };
        let ratio = figure.ratios.iter().find(|ratio| ratio.to == floor);
        let ratio = ratio.unwrap_or_else(|| panic!("no {floor}: {figure:?}"));
        assert!(ratio.min <= ratio.median && ratio.median <= ratio.max, "{ratio:?}");
        assert_eq!(ratio.pairs, figure.windows);
    }
}

#[test]
fn a_process_on_one_cpu_is_switched_away_from_once_a_round_trip() {
    let report = bench(&["pipe", "--size", "64"]);
    let row = report.rows.iter().find(|row| row.what == What::Latency).unwrap();
    if let Outcome::Measured(figure) = &row.outcome {
        // The tripwire has let it pass, so it must have counted them.
        let switches = figure.switches.expect("counted");
        assert!(switches.iter().all(|count| (0.8..=1.2).contains(count)), "{row:?}");
    }
}

#[test]
fn what_a_mechanism_cannot_carry_is_a_row_that_says_why() {
    let report = bench(&["posixmq", "--size", "64,65536"]);
    let large = report.rows.iter().filter(|row| row.size == Some(65_536));
    for row in large {
        let Outcome::Absent(why) = &row.outcome else { panic!("{row:?}") };
        assert!(why.contains("at most 8,192 bytes"), "{why}");
    }
    assert_eq!(report.rows.iter().filter(|row| row.size == Some(64)).count(), 4);
}

/// The sizes of the figures, and of those that there are none of.
fn sizes(report: &Report, subject: &str, what: What) -> [Vec<u64>; 2] {
    let mut sizes = [vec![], vec![]];
    let of = |row: &&Row| row.subject == subject && row.what == what;
    for row in report.rows.iter().filter(of) {
        let absent = matches!(row.outcome, Outcome::Absent(_));
        sizes[usize::from(absent)].extend(row.size);
    }
    sizes
}

#[test]
fn a_message_that_fills_its_datagram_its_slot_or_its_counter_is_measured() {
    use_one_cpu();
    let report = bench(&["udp", "mutex", "eventfd", "--size", "64,65536"]);
    for row in &report.rows {
        assert!(matches!(row.outcome, Outcome::Absent(_)) || fault(row).is_none());
    }
    let sizes = |subject, what| sizes(&report, subject, what);
    let [trips, one_way] = [What::Latency, What::Throughput];
    assert_eq!(sizes("udp", trips), [vec![64, 65_490], vec![65_536]]);
    assert_eq!(sizes("udp", one_way), [vec![], vec![64, 65_490, 65_536]]);
    assert_eq!(sizes("mutex", trips), [vec![64, 4092], vec![65_536]]);
    assert_eq!(sizes("mutex", one_way), [vec![64, 4092], vec![65_536]]);
    assert_eq!(sizes("eventfd", trips), [vec![8], vec![]]);
    assert_eq!(sizes("eventfd", one_way), [vec![], vec![8]]);
}

#[test]
fn the_head_says_where_when_and_how() {
    let report = bench(&["fifo", "--size", "64"]);
    let head = report.head;
    assert!(head.kernel.starts_with("Linux "), "{}", head.kernel);
    assert!(head.command.starts_with("ipclab bench --quick"), "{}", head.command);
    assert_eq!(head.version, env!("CARGO_PKG_VERSION"));
    assert!(head.date.ends_with('Z') && head.date.len() == 20, "{}", head.date);
    assert!(!head.cpu.is_empty() && head.seconds > 0.0);
    assert!(head.limits.iter().any(|(name, _)| name == "pipe-max-size"));
}

/// Waits until a bench whose TMPDIR is the subject's directory has opened a pair.
fn wait_for_a_pair(subject: &Subject) {
    let began = || {
        let dirs = subject.dir().read_dir().unwrap().filter_map(Result::ok);
        let mut inside = dirs.filter_map(|dir| dir.path().read_dir().ok()).flatten();
        // A lock file of a queue: its pair is open.
        inside.any(|entry| {
            entry.is_ok_and(|entry| {
                entry.file_name().to_string_lossy().contains("-there")
            })
        })
    };
    // Nothing tells us that a pair is open but what it makes.
    until("a pair was opened", began);
}

#[test]
fn interrupted_it_leaves_no_process_and_no_directory() {
    let subject = subject("posixmq");
    let mut command = ipclab(&subject, &["bench", "posixmq", "sysvmq", "shm"]);
    command.env("TMPDIR", subject.dir());
    let bench = RoleProcess::start("bench", command, Input::Nothing).unwrap();
    wait_for_a_pair(&subject);
    let outcome = bench.stop(Signal::SIGINT, deadline()).unwrap();
    assert_eq!(outcome.status.signal(), Some(2), "{}", outcome.stderr);
    subject.nothing_is_left().unwrap();
    assert_eq!(subject.dir().read_dir().unwrap().count(), 0);
}

#[test]
fn killed_it_leaves_what_clean_removes() {
    let subject = subject("posixmq");
    let mut command = ipclab(&subject, &["bench", "posixmq", "sysvmq"]);
    command.env("TMPDIR", subject.dir());
    let bench = RoleProcess::start("bench", command, Input::Nothing).unwrap();
    wait_for_a_pair(&subject);
    let outcome = bench.stop(Signal::SIGKILL, deadline()).unwrap();
    assert_eq!(outcome.status.signal(), Some(9), "{}", outcome.stderr);
    assert_ne!(subject.dir().read_dir().unwrap().count(), 0);
    let mut clean = ipclab(&subject, &["clean"]);
    clean.env("TMPDIR", subject.dir());
    let cleaned = run(clean, Input::Nothing);
    assert!(cleaned.status.success(), "{}", cleaned.stderr);
    assert_eq!(subject.dir().read_dir().unwrap().count(), 0);
    subject.nothing_is_left().unwrap();
}

#[test]
fn a_peer_that_fails_is_its_own_row_and_takes_no_other_along() {
    use std::os::unix::fs::PermissionsExt;
    let subject = subject("pipe");
    // It is a Python when it is looked for, and fails when it should work.
    let python = subject.dir().join("python");
    let script =
        "#!/bin/sh\n[ \"$2\" = -c ] && exit 0\necho it is broken >&2\nexit 1\n";
    std::fs::write(&python, script).unwrap();
    let executable = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(&python, executable).unwrap();
    let words =
        ["bench", "pipe", "--peers", "--quick", "--size", "64", "--json", "-"];
    let mut command = ipclab(&subject, &words);
    command.env("IPCLAB_PYTHON", &python);
    let outcome = run(command, Input::Nothing);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    let report: Report = serde_json::from_slice(&outcome.stdout).unwrap();
    let same =
        report.rows.iter().filter(|row| row.placement == Some(Placement::Same));
    for row in same.filter(|row| row.what != What::Operation) {
        match (&row.outcome, row.program.as_str()) {
            (Outcome::Invalid(why), "Python") => {
                assert!(why.contains("it is broken"), "{why}");
            }
            (_, "Python") => panic!("{row:?}"),
            _ => assert_eq!(fault(row), None),
        }
    }
}

#[test]
fn on_one_cpu_nothing_is_measured_across_two() {
    use_one_cpu();
    let report = bench(&["pipe", "--spin", "--size", "64"]);
    for row in &report.rows {
        assert_eq!(row.placement, Some(Placement::Same), "{row:?}");
    }
    let warned = |text: &String| text.contains("one CPU");
    assert!(report.head.warnings.iter().any(warned), "{:?}", report.head.warnings);
}

#[test]
fn an_end_that_is_started_by_hand_says_who_starts_it() {
    let subject = subject("pipe");
    let words = ["bench-end", "pipe", "pingpong", "a", "64", "/nowhere/x"];
    let outcome = run(ipclab(&subject, &words), Input::Nothing);
    assert_eq!(outcome.status.code(), Some(1));
    assert!(outcome.stderr.contains("only `ipclab bench` starts this"));
}

#[test]
fn bad_options_get_one_line() {
    let subject = subject("pipe");
    for (words, says) in [
        (&["bench", "--size", "0"][..], "--size"),
        (&["bench", "--size", "2000000"], "--size"),
        (&["bench", "nonsense"], "nonsense"),
        (&["bench", "dbus"], "'dbus'"),
        (&["bench", "--servers", "pipe"], "no servers"),
        (&["bench", "multiplex", "--size", "64"], "leave --size out"),
        (&["bench", "--json", "/nowhere/x.json"], "open /nowhere/x.json"),
    ] {
        let outcome = run(ipclab(&subject, words), Input::Nothing);
        assert!(!outcome.status.success());
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
        assert!(outcome.stderr.contains(says), "{words:?}: {}", outcome.stderr);
    }
}
