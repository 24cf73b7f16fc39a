//! Which ends of a pipe another program gets by execve(2).

use std::fs::{read_dir, read_link};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::unistd::{pipe, pipe2, read, write};
use syscalls::Sysno;

use crate::row::{Experiment, Kind, right, wrong};
use crate::stage::Stage;

pub(super) const OVER_EXEC: Experiment = Experiment {
    name: "over-exec",
    title: "A helper that knows nothing of the pipe",
    question: "A program calls pipe(2), and starts a reader, which has the read end alone. \
               It also starts `sleep 600` by fork(2) and execve(2), which has nothing to do \
               with the pipe. Then it writes `done`, closes both of its ends, and goes on \
               with something else. The reader reads `done`, and calls read(2) again. When \
               does this second read return?",
    answers: &[
        wrong(
            "at once: nobody writes any more",
            "Nobody will write, but read(2) counts who could. An end of file comes when no \
             process has the write end open.",
        ),
        wrong(
            "when the program itself ends",
            "The program has closed its ends already. It need not end for that, and its end \
             would change nothing.",
        ),
        right(
            "when `sleep` has come to its end",
            "The child of fork(2) has copies of both ends, and execve(2) keeps each descriptor \
             that is not close-on-exec. So `sleep` is the last writer, and does not know it.",
        ),
    ],
    kind: Kind::Kernel,
    run: over_exec,
    moral: "Make each descriptor close-on-exec when you make it: pipe2(2), open(2), \
            socket(2) and accept4(2) have a flag for it. Rust's standard library and Python \
            set it; C and a shell do not. If a reader waits for an end that does not come, \
            `ipclab map` with its PID shows each process that has the write end; a \
            descriptor with a `c` there is close-on-exec.",
    see: "pipe2(2), execve(2), fcntl(2)",
    file: file!(),
    shows: &["over-exec-broken", "over-exec-cured", "over-exec"],
};

// ANCHOR: over-exec-broken
/// Another program gets both ends.
fn for_all_programs() -> Result<(OwnedFd, OwnedFd)> {
    pipe().context("pipe")
}
// ANCHOR_END: over-exec-broken

// ANCHOR: over-exec-cured
/// execve(2) closes both ends, in the process that calls it.
fn for_this_program() -> Result<(OwnedFd, OwnedFd)> {
    pipe2(OFlag::O_CLOEXEC).context("pipe2")
}
// ANCHOR_END: over-exec-cured

// ANCHOR: over-exec
/// What the reader does while `sleep` runs: it waits, or it has read the end.
fn waits(
    stage: &Stage,
    how: &str,
    (reading, writing): (OwnedFd, OwnedFd),
) -> Result<bool> {
    let pipe_itself = read_link(format!("/proc/self/fd/{}", reading.as_raw_fd()))?;
    let helper = stage.fork("sleep", |_| -> Result<()> {
        Err(Command::new("sleep").arg("600").exec().into())
    })?;
    helper.until_asleep_in(&[Sysno::clock_nanosleep])?;
    let open = read_dir(format!("/proc/{}/fd", helper.pid()))?;
    let open = open.filter_map(|entry| read_link(entry.ok()?.path()).ok());
    let held = open.filter(|link| *link == pipe_itself).count();
    stage.event("sleep", format!("runs, and holds {held} ends of the pipe"));
    stage.saw(&format!("ends that sleep holds, {how}"), held);

    let (mut writing, read_done) = (Some(writing), stage.gate()?);
    let reader = stage.fork("reader", |stage| {
        drop(writing.take()); // its copy
        let done = read(&reading, &mut [0; 16]);
        stage.call("read()", &done);
        read_done.open(1)?;
        let end = read(&reading, &mut [0; 16]);
        stage.call("read()", &end);
        end.context("read")
    })?;
    stage.event("main", "writes \"done\", and closes both ends");
    write(writing.iter().next().context("its own copy")?, b"done")?;
    drop((reading, writing));
    read_done.pass()?;
    // Where it does not sleep, it has ended.
    let waits = reader.until_asleep_in(&[Sysno::read]).is_ok();
    if waits {
        stage.event("reader", "sleeps in read()");
        stage.event("main", "ends sleep by SIGKILL");
        helper.kill(Signal::SIGKILL)?;
        helper.status()?;
    }
    let end = reader.join()?; // main is still there
    stage.saw(&format!("the second read, {how}"), end);
    Ok(waits)
}

fn over_exec(stage: &Stage) -> Result<usize> {
    let waited = waits(stage, "by pipe()", for_all_programs()?)?;
    stage.saw("the reader waits for sleep", waited);
    let cured = waits(stage, "by pipe2()", for_this_program()?)?;
    stage.saw("with O_CLOEXEC it waits", cured);
    Ok(if waited { 3 } else { 1 })
}
// ANCHOR_END: over-exec
