//! The verbs: `bare` as a user types it, `demo --bare` and `trace --bare`.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use bare::{Language, PROGRAMS, Program};
use lab::bare::MeetingPlaces;

use nix::sys::signal::Signal;
use os::proc::{Activity, activity};
use os::process_identity;

use super::support::{
    Input, Outcome, RoleProcess, deadline, program as ipclab, run, until,
};
use super::{is_there, with_tools};

/// Runs `ipclab bare …` in `dir`, to its end.
fn bare(dir: &Path, words: &[&str]) -> Outcome {
    let mut command = Command::new(ipclab());
    command.arg("bare").args(words).env("IPCLAB_DIR", dir).current_dir(dir);
    run(with_tools(command), Input::Nothing)
}

#[test]
fn a_place_is_told_from_a_message_by_its_form() {
    let dir = tempfile::tempdir().unwrap();
    let sent = |words: &[&str]| {
        let outcome = bare(dir.path(), words);
        assert!(outcome.status.success(), "{words:?}: {}", outcome.stderr);
        outcome.stdout
    };
    // A path has a slash.
    sent(&["file", "sender", "./elsewhere", "hello", "a/b"]);
    let file = dir.path().join("elsewhere");
    assert_eq!(std::fs::read(&file).unwrap(), b"hello\na/b\n");
    assert_eq!(sent(&["file", "receiver", "./elsewhere"]), b"hello\na/b\n");
    // Without one it is the chapter's; behind -- a message may begin with a dash.
    sent(&["file", "sender", "--", "hello", "-n"]);
    assert_eq!(sent(&["file", "receiver", "-q"]), b"hello\n-n\n");
    // A key is a name, or a number with 0x; another number is a message, or how often.
    let key = format!("0x{:x}", std::process::id());
    for place in [vec![], vec![key.as_str()], vec!["/ipclab-test-bare-key"]] {
        let words = |role, args: &[&'static str]| {
            [&["sysvmq", role], place.as_slice(), args].concat()
        };
        sent(&words("sender", &["42"]));
        assert_eq!(sent(&words("receiver", &[])), b"42\n");
    }
    sent(&["semaphore_sysv", "poster", "2"]);
    assert_eq!(sent(&["semaphore_sysv", "waiter", "2"]), b"took 1\ntook 2\n");
}

#[test]
fn the_demo_plays_them_all_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(ipclab());
    command.args(["demo", "--bare", "-q"]).env("TMPDIR", dir.path());
    let Outcome { status, stdout, stderr } = run(command, Input::Nothing);
    assert!(status.success(), "{stderr}");
    let table = String::from_utf8(stdout).unwrap();
    let marks: Vec<_> =
        table.lines().map(|line| line.split_whitespace().take(2)).collect();
    let marks: Vec<_> =
        marks.into_iter().map(|words| words.collect::<Vec<_>>()).collect();
    for program in PROGRAMS {
        let mark = if program.main.is_some() { "✓" } else { "–" };
        assert!(
            marks.contains(&vec![mark, program.name]),
            "{}: {table}",
            program.name
        );
    }
    assert_eq!(dir.path().read_dir().unwrap().count(), 0, "left behind");
}

/// The trace of a bare program hides nothing but its start: what comes first is its first call,
/// and its last is exit_group.
#[test]
fn the_trace_shows_every_call_behind_the_start() {
    let calls = |words: &[&str], role: &str| -> Vec<String> {
        let mut command = Command::new(ipclab());
        command.arg("trace").args(words).arg("--json");
        let Outcome { status, stdout, stderr } = run(command, Input::Nothing);
        assert!(status.success(), "{stderr}");
        let text = String::from_utf8(stdout).unwrap();
        let events = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let of = |event: &serde_json::Value| {
            event["process"] == role && event["call"].is_string()
        };
        let names = events
            .filter(of)
            .map(|event| event["call"].as_str().unwrap().to_owned());
        names.collect()
    };
    let receiver = calls(&["fifo", "--bare"], "receiver");
    let first: Vec<_> = receiver.iter().take(4).map(String::as_str).collect();
    assert!(
        first[0].starts_with("mknod") && first[1].starts_with("open"),
        "{receiver:?}"
    );
    assert_eq!(first[2..], ["read", "write"], "{receiver:?}");
    assert_eq!(receiver.last().unwrap(), "exit_group", "{receiver:?}");
    let all = calls(&["fifo", "--bare", "--all"], "receiver");
    assert!(all.len() > receiver.len() + 20, "the loader's calls: {all:?}");
    let of_pipe = calls(&["pipe", "--bare"], "sender");
    assert_eq!(of_pipe[..2], ["write", "write"], "{of_pipe:?}");
}

/// What is in a picture: each lane, and each call that is made there.
fn calls_of(picture: &str) -> BTreeSet<(String, String)> {
    let parsed = roxmltree::Document::parse(picture).expect("well-formed");
    let lane = |class: &str| {
        class.strip_prefix('l')?.parse::<u8>().ok().map(|_| class.to_owned())
    };
    let runs = parsed.descendants().filter(|node| node.has_attribute("x"));
    runs.filter_map(|run| {
        Some((lane(run.attribute("class")?)?, run.text()?.to_owned()))
    })
    .collect()
}

/// Which process is faster decides how often some calls are made, but not which ones. (Those of zbus,
/// of sem_open(3), and of fork with the start of a program depend on the library, and the names of
/// some on the processor.)
#[cfg(target_arch = "x86_64")]
#[test]
fn the_pictures_of_the_book_show_the_calls_of_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("chapters/traces/bare");
    let mut seen = 0;
    for file in pages.read_dir().unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if ["dbus", "semaphore", "spawn"].contains(&name) {
            continue;
        }
        let drawn = dir.path().join(name);
        let mut command = Command::new(ipclab());
        command.args(["trace", name, "--bare", "--svg"]).arg(&drawn);
        let Outcome { status, stderr, .. } = run(command, Input::Nothing);
        assert!(status.success(), "{name}: {stderr}");
        let [kept, now] = [&path, &drawn]
            .map(|path| calls_of(&std::fs::read_to_string(path).unwrap()));
        assert!(now.len() > 4, "{name}: {now:?}");
        assert_eq!(kept, now, "{name}: chapters/traces/capture {name}");
        seen += 1;
    }
    assert!(seen > 15, "only {seen}");
}

/// signal(7): after SIGSTOP and SIGCONT some calls are not taken up again, and fail with
/// EINTR. The bare programs end by it; the chapters' roles call again.
#[test]
fn a_stop_ends_a_program_that_does_not_expect_eintr() {
    for (program, role, hardened) in [
        ("signal", "receiver", &["signal", "receiver"][..]),
        ("semaphore_sysv", "waiter", &["semaphore", "waiter", "--kind", "sysv"]),
        ("multiplex_epoll", "server", &["multiplex", "server"]),
    ] {
        // Compiled before it is waited for.
        if !is_there(Program::find(program).unwrap(), Language::C) {
            return;
        }
        let stopped = |words: &[&str]| {
            let dir = tempfile::tempdir().unwrap();
            let mut command = Command::new(ipclab());
            command.args(words).env("IPCLAB_DIR", dir.path());
            let process =
                RoleProcess::start(program, with_tools(command), Input::Nothing);
            let process = process.unwrap();
            let is = |wanted: char| {
                until(&format!("{words:?} is {wanted}"), || {
                    process_identity::state(process.pid().as_raw() as u32)
                        == Some(wanted)
                });
            };
            is('S');
            process.signal(Signal::SIGSTOP).unwrap();
            is('T');
            process.signal(Signal::SIGCONT).unwrap();
            (process, dir)
        };
        let (bare, dir) = stopped(&["bare", program, "--lang", "c", role]);
        let outcome = bare.wait(deadline()).unwrap();
        let program = Program::find(program).unwrap();
        let _ = MeetingPlaces::within(dir.path(), program).remove_leftovers();
        assert!(
            outcome.stderr.ends_with(": EINTR\n"),
            "{}: {outcome:?}",
            program.name
        );
        let (role, _dir) = stopped(hardened);
        let asleep = || activity(role.pid()) != Activity::Other;
        until("the role sleeps again, or has ended", asleep);
        assert_ne!(activity(role.pid()), Activity::Ended, "{hardened:?}");
        let ended = role.stop(Signal::SIGINT, deadline()).unwrap();
        assert!(!ended.stderr.contains("EINTR"), "{ended:?}");
    }
}

#[test]
fn a_variant_is_no_chapter_without_the_option() {
    for verb in ["demo", "trace"] {
        let mut command = Command::new(ipclab());
        command.args([verb, "unix_dgram"]);
        let Outcome { status, stderr, .. } = run(command, Input::Nothing);
        assert_eq!(status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("add --bare"), "{stderr}");
    }
}

#[test]
fn mistakes_have_one_line_and_a_way_out() {
    let dir = tempfile::tempdir().unwrap();
    for (words, part) in [
        (vec!["fofo"], "did you mean 'fifo'?"),
        (vec!["queue"], "did you mean 'posixmq' or 'sysvmq'?"),
        (vec!["zzzz"], "ipclab bare lists them"),
        (vec!["fifo", "sendr"], "did you mean 'sender'?"),
        (vec!["fifo", "receiver", "f"], "'f' has not the form of a PLACE"),
        (vec!["pipe", "nope"], "pipe has sender, receiver, fork"),
        (vec!["fifo", "--lang", "java"], "invalid value 'java'"),
    ] {
        let Outcome { status, stdout, stderr } = bare(dir.path(), &words);
        assert!(!status.success() && stdout.is_empty(), "{words:?}: {status}");
        assert!(
            stderr.contains(part) && stderr.lines().count() == 1,
            "{words:?}: {stderr}"
        );
    }
}

#[test]
fn a_c_program_needs_a_compiler_and_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let run_with = |cc: &str, cache: &Path| {
        let mut command = Command::new(ipclab());
        command.args(["bare", "fifo", "--lang", "c", "receiver"]).env("CC", cc);
        command.env("XDG_CACHE_HOME", cache);
        let Outcome { status, stderr, .. } = run(command, Input::Nothing);
        assert_eq!(status.code(), Some(1), "{stderr}");
        stderr
    };
    let none = run_with("no-such-cc", dir.path());
    assert!(none.contains("exec no-such-cc") && none.contains("CC"), "{none}");
    let broken = run_with("false", dir.path());
    assert!(broken.contains("false failed to compile fifo.c"), "{broken}");
    let left = dir.path().join("ipclab/bare").read_dir().unwrap().count();
    assert_eq!(left, 0, "half a program is kept");
    let file = tempfile::NamedTempFile::new().unwrap();
    let no_directory = run_with("cc", file.path());
    assert!(no_directory.contains("set XDG_CACHE_HOME"), "{no_directory}");
}
