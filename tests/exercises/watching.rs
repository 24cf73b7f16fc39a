//! `check --watch`, `--trace`, the hint for a failure, and `show` with both programs' calls.

use std::path::Path;
use std::process::Command;

use bare::Language;

use super::programs::{Which, text};
use super::support::{
    self, Input, Outcome, RoleProcess, deadline, run, skip, until,
};

const ID: &str = "fifo/receiver";

fn exercise(home: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(support::program());
    command.arg("exercise").args(words).current_dir(home).env("NO_COLOR", "1");
    command.env("HOME", home).env("XDG_STATE_HOME", home.join("state"));
    command
}

fn done(home: &Path, words: &[&str]) -> Outcome {
    run(exercise(home, words), Input::Nothing)
}

fn printed(outcome: &Outcome) -> String {
    String::from_utf8(outcome.stdout.clone()).unwrap()
}

/// A learner who has begun in Python; the file with the program.
fn begun() -> (tempfile::TempDir, std::path::PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let started = done(home.path(), &["start", ID, "--lang", "python"]);
    assert!(started.status.success(), "{}", started.stderr);
    let file = home.path().join("ipclab-exercises").join(ID).join("python/main.py");
    (home, file)
}

fn solution() -> String {
    text(ID, &Which::Solution, Language::Python)
}

/// Watches, saves the solution, and ends it.
fn watches(options: &[&str], how: &str) {
    let (home, file) = begun();
    let words = [&["check", ID, "--watch"], options].concat();
    let mut watch =
        RoleProcess::start("watch", exercise(home.path(), &words), Input::Open)
            .unwrap();
    watch.wait_for_comment(how, deadline()).unwrap();
    watch.wait_for_comment("\nWatching: ", deadline()).unwrap();
    std::fs::write(&file, solution()).unwrap();
    watch.wait_for_output(b"fifo/receiver is passed", deadline()).unwrap();
    watch.feed(b"q\n").unwrap();
    let outcome = watch.wait(deadline()).unwrap();
    assert!(outcome.status.success(), "{}", outcome.stderr);
    assert!(printed(&outcome).contains("--stage plain"), "it did not check at once");
}

#[test]
fn a_saved_file_is_checked() {
    watches(&[], "by inotify(7)");
}

#[test]
fn where_no_event_comes_the_files_are_looked_at() {
    watches(&["--poll"], "by a look each second");
}

#[test]
fn a_check_that_still_runs_is_ended_with_all_of_its_processes() {
    let (home, file) = begun();
    let told = home.path().join("pids");
    let hangs = format!(
        "import os, signal\nopen({told:?}, 'a').write(f'{{os.getpid()}} ')\n\
         while True: signal.pause()\n"
    );
    std::fs::write(&file, hangs).unwrap();
    let words = ["check", ID, "--watch"];
    let mut watch =
        RoleProcess::start("watch", exercise(home.path(), &words), Input::Open)
            .unwrap();
    let pids = || -> Vec<String> {
        let text = std::fs::read_to_string(&told).unwrap_or_default();
        let whole = text.rfind(' ').map_or("", |end| &text[..end]);
        whole.split_whitespace().map(str::to_owned).collect()
    };
    until("a program", || pids().len() == 1);
    watch.feed(b"r\n").unwrap();
    until("another one", || pids().len() == 2);
    let first = Path::new("/proc").join(&pids()[0]);
    assert!(!first.exists(), "the one before it still runs");
    watch.feed(b"q\n").unwrap();
    assert!(watch.wait(deadline()).unwrap().status.success());
    let second = Path::new("/proc").join(&pids()[1]);
    assert!(!second.exists(), "the last one still runs");
}

#[test]
fn the_hint_is_the_one_for_the_failure_then_all_come_in_order() {
    let (home, file) = begun();
    // It fails at `large`, whose hint is the third.
    let wrong = solution().replace(
        "data = data[os.write(1, data):]",
        "data = data[os.write(1, data.decode().encode()):]",
    );
    assert_ne!(wrong, solution());
    std::fs::write(&file, wrong).unwrap();
    let failed = done(home.path(), &["check", ID]);
    assert!(failed.stderr.contains("large"), "{}", failed.stderr);
    let hints: Vec<_> =
        (0..4).map(|_| printed(&done(home.path(), &["hint", ID]))).collect();
    assert!(hints[0].starts_with("3/3 (for the stage large) "), "{hints:?}");
    assert!(
        hints[0].contains("\nUnicodeDecodeError: what comes is bytes"),
        "{hints:?}"
    );
    assert!(!hints[1].contains("UnicodeDecodeError"), "{hints:?}");
    for (number, hint) in (1..).zip(&hints[1..]) {
        assert!(hint.starts_with(&format!("{number}/3 ")), "{hints:?}");
    }
    let list = printed(&done(home.path(), &["list"]));
    assert!(list.contains("3 hints"), "{list}");
}

#[test]
fn the_calls_of_both_sides_are_drawn_and_counted() {
    let (home, file) = begun();
    let slow = solution().replace("os.read(fifo, 65536)", "os.read(fifo, 1)");
    assert_ne!(slow, solution());
    std::fs::write(&file, slow).unwrap();
    let passed = done(home.path(), &["check", ID, "--trace"]);
    assert!(passed.status.success(), "{}", printed(&passed));
    let text = printed(&passed);
    if text.contains("Its calls cannot be seen") {
        return skip("tracing is forbidden here");
    }
    for part in ["receiver (pid", "partner (pid", "write(", "1) = 1"] {
        assert!(text.contains(part), "no {part}: {text}");
    }
    assert!(
        !text.contains("partner │"),
        "the partner's log is no call of the scene: {text}"
    );

    let shown = printed(&done(home.path(), &["show", ID]));
    let row = shown.lines().find(|line| line.starts_with("read "));
    let row = row.unwrap_or_else(|| panic!("no row read: {shown}"));
    // Yours takes a byte a call, ours all that is there.
    let numbers: Vec<u64> =
        row.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [yours, yours_bytes, ours, ours_bytes] = numbers[..] else {
        panic!("{row}")
    };
    assert!(yours > ours && ours_bytes == yours_bytes, "{row}");
    // What both print counts, too.
    assert!(shown.lines().any(|line| line.starts_with("write ")), "{shown}");
    assert!(shown.contains("Yours: ") && shown.contains("Ours: "), "{shown}");
}
