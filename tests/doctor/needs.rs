//! The same probes decide what an experiment says: the two never disagree.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::support::*;
use crate::{Found, doctor_of, found};
use doctor::probes;
use experiments::row::Kind;
use serde_json::Value;

#[test]
fn each_need_of_an_experiment_is_a_probe_that_names_it() {
    for (chapter, list) in experiments::ALL {
        for one in *list {
            let id = format!("{chapter}/{}", one.name);
            let names_it: Vec<_> = probes::ALL
                .iter()
                .filter(|probe| probe.experiments.contains(&id.as_str()))
                .collect();
            if let Kind::Needs(probe) = one.kind {
                assert!(
                    names_it.contains(&&probe),
                    "{} does not name {id}",
                    probe.name
                );
            }
            assert!(names_it.len() <= 1, "{id} has two needs");
        }
    }
}

#[test]
fn a_probe_names_experiments_and_chapters_that_there_are() {
    let mut known = std::collections::BTreeSet::new();
    for probe in probes::ALL {
        assert!(known.insert(probe.name), "{} twice", probe.name);
        for id in probe.experiments {
            assert!(experiments::find(id).is_some(), "{}: no {id}", probe.name);
            let chapter = id.split('/').next().unwrap();
            assert!(probe.chapters.contains(&chapter), "{}: {chapter}", probe.name);
        }
        for name in probe.chapters {
            let command = ipclab::cli::command();
            assert!(
                command.find_subcommand(name).is_some(),
                "{}: {name}",
                probe.name
            );
        }
    }
}

/// Runs each experiment that some probe names, after the same words in the same environment,
/// and compares.
fn agree(
    program: &Path,
    subject: &Subject,
    before: &[&str],
    set: impl Fn(&mut Command),
) -> Found {
    let mut doctor = doctor_of(program, subject, before);
    set(&mut doctor);
    let all = found(doctor);
    for probe in probes::ALL {
        let missing = all.mark(probe.name) == "missing";
        for id in probe.experiments {
            let mut words: Vec<_> = before.to_vec();
            words.extend([
                program.to_str().unwrap(),
                "experiment",
                id,
                "--show",
                "--json",
            ]);
            let mut command = Command::new(words[0]);
            command.args(&words[1..]).current_dir(subject.dir());
            command.env("IPCLAB_DIR", subject.dir()).env("TMPDIR", subject.dir());
            set(&mut command);
            let outcome = run(command, Input::Nothing);
            let seen: Value = serde_json::from_slice(&outcome.stdout)
                .unwrap_or_else(|error| panic!("{id}: {error}: {}", outcome.stderr));
            let needs = seen["needs"].as_str();
            assert_eq!(
                needs.is_some(),
                missing,
                "{id}: {needs:?}, and doctor: {}; {}",
                all.finding(probe.name),
                outcome.stderr
            );
            assert!(
                needs.is_none_or(|needs| needs == probe.what),
                "{id}: {needs:?}"
            );
        }
    }
    all
}

#[test]
fn where_all_is_there_both_say_so() {
    let subject = subject("fifo");
    agree(&program(), &subject, &["env"], |_| ());
}

#[test]
fn where_little_is_there_both_say_so() {
    let subject = subject("fifo");
    if !["prlimit", "taskset", "unshare"].iter().all(|tool| have(tool)) {
        return;
    }
    let before = [
        "/usr/bin/env",
        "prlimit",
        "--msgqueue=1000:1000",
        "--nofile=900:900",
        "taskset",
        "-c",
        "0",
        "unshare",
        "-r",
        "env",
        "PATH=/nonexistent",
    ];
    let trial = Command::new(before[0]).args(&before[1..9]).arg("true").status();
    if !trial.is_ok_and(|status| status.success()) {
        return skip("no user namespace, or no CPU 0");
    }
    let memory =
        tempfile::Builder::new().prefix("ipclab-test-").tempdir_in("/dev/shm");
    let memory = memory.unwrap();
    let all = agree(&program(), &subject, &before, |command| {
        command.env("TMPDIR", memory.path());
    });
    for name in [
        "other-user",
        "other-network",
        "queue-bytes",
        "descriptor-1500",
        "two-cpus",
        "disk",
        "dbus-daemon",
    ] {
        assert_eq!(all.mark(name), "missing", "{name}: {}", all.finding(name));
    }
}

#[test]
fn an_ordinary_user_is_told_the_same_by_both() {
    if !offers("fdpass", "other-user") || !have("setpriv") {
        return;
    }
    let subject = subject("fifo");
    // Where that user may go; copied by another process, so that none of ours has it open.
    let open = std::fs::Permissions::from_mode(0o755);
    let place = tempfile::Builder::new().permissions(open).tempdir().unwrap();
    let copy = place.path().join("ipclab");
    let copied = Command::new("cp").arg(program()).arg(&copy).status();
    assert!(copied.unwrap().success());
    std::os::unix::fs::chown(subject.dir(), Some(NOBODY), Some(NOBODY)).unwrap();
    let user = format!("--reuid={NOBODY}");
    let group = format!("--regid={NOBODY}");
    let before = ["setpriv", &user, &group, "--clear-groups", "env", "HOME=/"];
    let all = agree(&copy, &subject, &before, |_| ());
    for name in ["other-user", "other-network", "next-pid"] {
        assert_eq!(all.mark(name), "missing", "{name}: {}", all.finding(name));
    }
    assert_eq!(all.mark("ptrace"), "ok");
}

/// The section and the name of each probe that tests ask for: `offers("mmap", "mount")`.
fn asked_for() -> std::collections::BTreeSet<(String, String)> {
    let mut asked = std::collections::BTreeSet::new();
    let mut dirs = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")];
    while let Some(dir) = dirs.pop() {
        for path in
            std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path())
        {
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = std::fs::read_to_string(path).unwrap();
                for call in text.split("offers(\"").skip(1) {
                    let mut words = call.split('"');
                    let section = words.next().unwrap().to_owned();
                    asked.insert((section, words.nth(1).unwrap().to_owned()));
                }
            }
        }
    }
    asked
}

/// Run by the next test, once here and once where less is there.
#[test]
#[ignore = "the test after it runs it"]
fn asks_all_that_tests_ask() {
    for (section, name) in asked_for() {
        if offers(&section, &name) {
            println!("{name}: there");
        }
    }
}

#[test]
fn a_test_runs_where_doctor_finds_what_it_needs_and_is_skipped_elsewhere() {
    let subject = subject("fifo");
    let all = asked_for();
    assert!(all.len() > 6, "{all:?}");
    let poor: &[&str] = &["taskset", "-c", "0", "unshare", "-r", "env", "CC=/none"];
    for before in [&["env"][..], poor] {
        if !have(before[0]) || !offers("experiment", "namespaces") {
            return;
        }
        let found = found(doctor_of(&program(), &subject, before));
        let mut asks = Command::new(before[0]);
        asks.args(&before[1..]).arg(std::env::current_exe().unwrap());
        asks.args(["--exact", "needs::asks_all_that_tests_ask", "--ignored"]);
        asks.arg("--nocapture").env_remove("IPCLAB_NO_SKIP");
        let outcome = run(asks, Input::Nothing);
        let said = String::from_utf8(outcome.stdout).unwrap();
        assert!(outcome.status.success(), "{said}{}", outcome.stderr);
        for (_, name) in &all {
            let runs = said.contains(&format!("{name}: there\n"));
            assert_eq!(runs, found.mark(name) != "missing", "{name}: {said}");
        }
        let missing = all.iter().filter(|(_, name)| found.mark(name) == "missing");
        assert_eq!(outcome.stderr.matches("SKIPPED").count(), missing.count());
        assert_eq!(before.len() > 1, outcome.stderr.contains("SKIPPED"), "{said}");
    }
}
