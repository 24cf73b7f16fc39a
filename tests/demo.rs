//! The demo: every chapter in one terminal.

mod support;

use nix::sys::signal::Signal;
use support::*;

#[test]
fn the_tour_shows_every_chapter_and_checks_it() {
    let subject = subject("fifo");
    let outcome = run(ipclab(&subject, &["demo"]), Input::Nothing);
    assert!(outcome.status.success(), "{}", outcome.stderr);
    let table = String::from_utf8(outcome.stdout).unwrap();
    let rows = chapters::rows();
    assert_eq!(table.lines().count(), rows.len(), "{table}");
    for (line, row) in table.lines().zip(rows) {
        let mark = if row.missing().is_none() { '✓' } else { '–' };
        assert!(line.starts_with(&format!("{mark} {} ", row.name)), "{line}");
        let heading = format!("── {}: ", row.name);
        assert!(outcome.stderr.contains(&heading), "{}", outcome.stderr);
    }
    subject.nothing_is_left().unwrap();
    // Nobody is there to start anything, and what is next is said at the end.
    assert!(!outcome.stderr.contains("start the other"), "{}", outcome.stderr);
    let next = outcome.stderr.rsplit("Next:").next().unwrap();
    assert!(next.contains("ipclab trace fifo"), "{next}");
    assert!(outcome.stderr.matches("apt-get install").count() <= 1);
    assert!(!table.contains("apt-get install"), "{table}");
}

#[test]
fn quiet_leaves_the_table_alone() {
    let subject = subject("fifo");
    let outcome =
        run(ipclab(&subject, &["demo", "-q", "fifo", "pipe"]), Input::Nothing);
    assert_eq!(outcome.stderr, "");
    assert_eq!(String::from_utf8(outcome.stdout).unwrap().lines().count(), 2);
}

#[test]
fn a_chapter_that_cannot_run_fails_the_demo() {
    let subject = subject("fifo");
    let mut command = ipclab(&subject, &["demo", "fifo"]);
    command.env("TMPDIR", "/nowhere");
    let outcome = run(command, Input::Nothing);
    assert_eq!(outcome.status.code(), Some(1));
    let table = String::from_utf8(outcome.stdout).unwrap();
    assert!(table.starts_with("✗ fifo "), "{table}");
    assert!(outcome.stderr.ends_with("ipclab: 1 of 1 chapters failed\n"));
}

#[test]
fn interrupted_it_leaves_nothing_behind() {
    use std::os::unix::process::ExitStatusExt;
    let subject = subject("fifo");
    let mut command = ipclab(&subject, &["demo"]);
    command.env("TMPDIR", subject.dir());
    let demo = RoleProcess::start("demo", command, Input::Nothing).unwrap();
    demo.wait_for_comment("── ", deadline()).unwrap();
    let outcome = demo.stop(Signal::SIGINT, deadline()).unwrap();
    assert_eq!(outcome.status.signal(), Some(2), "{}", outcome.stderr);
    subject.nothing_is_left().unwrap();
}
