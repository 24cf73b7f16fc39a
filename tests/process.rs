//! Processes under watch: deadlines, reaping, output.

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use support::*;

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

#[test]
fn a_role_that_outlives_its_deadline_is_killed_and_its_words_are_told() {
    let role = RoleProcess::start(
        "sleeper",
        shell("echo waiting >&2; exec cat"),
        Input::Open,
    );
    let mut role = role.unwrap();
    role.wait_for_comment("waiting", deadline()).unwrap();
    role.feed(b"hello\n").unwrap();
    role.wait_for_output(b"hello", deadline()).unwrap();
    role.signal(Signal::SIGSTOP).unwrap();
    let pid = role.pid();
    let soon = Instant::now() + Duration::from_millis(20);
    let error = format!("{:#}", role.wait(soon).unwrap_err());
    assert!(
        error.contains("sleeper still runs") && error.contains("waiting"),
        "{error}"
    );
    assert_eq!(kill(pid, None), Err(Errno::ESRCH), "it was not reaped");
}

#[test]
fn a_dropped_role_is_killed_and_reaped() {
    let role = RoleProcess::start("cat", Command::new("cat"), Input::Open).unwrap();
    let pid = role.pid();
    drop(role);
    assert_eq!(kill(pid, None), Err(Errno::ESRCH));
}

#[test]
fn output_beyond_a_pipes_capacity_never_blocks_a_role() {
    let script = "head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2";
    let outcome = run(shell(script), Input::Nothing);
    assert_eq!((outcome.stdout.len(), outcome.stderr.len()), (1_000_000, 1_000_000));
}

#[test]
fn waiting_for_words_ends_with_the_role() {
    let role = RoleProcess::start("mute", shell("exit 3"), Input::Nothing).unwrap();
    let error =
        format!("{:#}", role.wait_for_output(b"word", deadline()).unwrap_err());
    assert!(error.contains("it ended"), "{error}");
    assert_eq!(role.wait(deadline()).unwrap().status.code(), Some(3));
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let command = Command::new("/nowhere/ipclab");
    let error = RoleProcess::start("ghost", command, Input::Nothing).unwrap_err();
    let line = wire::errors::line(&error);
    assert!(line.starts_with("spawn ghost") && line.contains("ENOENT"), "{line}");
}
