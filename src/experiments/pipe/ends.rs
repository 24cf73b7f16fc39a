//! Who holds which end of a pipe, and what that decides.

use std::fs::{read_dir, read_link};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use nix::unistd::{dup2_stdin, dup2_stdout, pipe, pipe2, read, write};
use syscalls::Sysno;

use crate::experiments::child::End;
use crate::experiments::row::{Experiment, Kind, right, wrong};
use crate::experiments::stage::Stage;
use crate::os::signal;

pub(super) const FORGOTTEN_END: Experiment = Experiment {
    name: "forgotten-end",
    title: "A reader that forked and closed nothing",
    question: "A parent makes a pipe and forks. The child reads until read(2) returns 0. \
               The parent writes `done`, closes both of its ends, and waits for the child. \
               The child has closed neither of its own. What happens?",
    answers: &[
        right(
            "the child reads `done`, then sleeps for ever, and the parent with it",
            "The child waits for an end that only it could bring about: it is the last \
             writer. And the parent waits for the child.",
        ),
        wrong(
            "the child reads `done`, then 0, and ends",
            "read returns 0 when no process has the pipe open for writing. One still has: \
             the child itself, which got a copy of the writing end from fork(2).",
        ),
        wrong(
            "the child's second read fails with EPIPE, since the parent has gone",
            "EPIPE is a writer's error. A reader is told by 0, and only when the last \
             writer has closed.",
        ),
    ],
    kind: Kind::Kernel,
    run: forgotten_end,
    moral: "After fork(2), each process closes the end that it does not use, first of all. \
            A pipeline that never ends has a forgotten writing end somewhere: look in \
            /proc/PID/fd.",
    see: "pipe(7), fork(2)",
    file: file!(),
    shows: &["forgotten-end-broken", "forgotten-end-cured", "forgotten-end"],
};

// ANCHOR: forgotten-end-broken
/// Reads until the end, with whatever ends are open in this process.
fn read_all(stage: &Stage, reading: &OwnedFd) -> Result<()> {
    loop {
        let got = read(reading, &mut [0; 16]);
        stage.call("read()", &got);
        if got? == 0 {
            return Ok(());
        }
    }
}
// ANCHOR_END: forgotten-end-broken

// ANCHOR: forgotten-end-cured
/// Closes its copy of the writing end first: then the parent's is the last.
fn close_and_read_all(
    stage: &Stage,
    reading: &OwnedFd,
    writing: &mut Option<OwnedFd>,
) -> Result<()> {
    *writing = None;
    stage.event("cured", "closes its writing end");
    read_all(stage, reading)
}
// ANCHOR_END: forgotten-end-cured

// ANCHOR: forgotten-end
fn forgotten_end(stage: &Stage) -> Result<usize> {
    let (reading, writing) = pipe().context("pipe")?;
    let pipe_itself = read_link(format!("/proc/self/fd/{}", reading.as_raw_fd()))?;
    let child = stage.fork("child", |stage| read_all(stage, &reading))?;
    child.until_asleep_in(&[Sysno::read])?;
    stage.call("write(\"done\")", &write(&writing, b"done"));
    drop((reading, writing));
    stage.event("main", "closes both ends");
    let asleep = child.until_asleep_in(&[Sysno::read]).is_ok();
    let open = read_dir(format!("/proc/{}/fd", child.pid()))?;
    let held = open
        .filter_map(|entry| read_link(entry.ok()?.path()).ok())
        .filter(|link| *link == pipe_itself);
    let held = held.count();
    stage.event(
        "child",
        format!("sleeps in read(), and holds {held} ends of the pipe"),
    );
    stage.saw("the child sleeps", asleep);
    stage.saw("ends that the child holds", held);
    child.kill(Signal::SIGKILL)?;
    child.end()?;

    let (reading, writing) = pipe().context("pipe")?;
    let mut writing = Some(writing);
    let child = stage
        .fork("cured", |stage| close_and_read_all(stage, &reading, &mut writing))?;
    write(writing.iter().next().context("the parent's copy")?, b"done")?;
    drop(writing);
    child.join()?;
    stage.saw("with its writing end closed", "it ends");
    Ok(if asleep { 1 } else { 2 })
}
// ANCHOR_END: forgotten-end

pub(super) const SIGPIPE: Experiment = Experiment {
    name: "sigpipe",
    title: "Writing to a pipe that nobody reads",
    question: "The last reader of a pipe has gone. A C program and a Rust program each write \
               to it, and neither has said anything about signals. What happens to them?",
    answers: &[
        right(
            "SIGPIPE ends the C program; in the Rust program write(2) fails with EPIPE",
            "The kernel sends SIGPIPE and sets EPIPE, to both. Rust's runtime has set \
             SIGPIPE to be ignored before main, so only the error is left.",
        ),
        wrong(
            "write(2) fails with EPIPE in both",
            "In the C program write never returns: the signal comes first, and its default \
             is to end the process.",
        ),
        wrong(
            "SIGPIPE ends both: signals know no language",
            "They do not, but a disposition is a setting of the process, and Rust's \
             runtime changes this one at the start.",
        ),
    ],
    kind: Kind::Kernel,
    run: sigpipe,
    moral: "A filter in C dies quietly when `head` has seen enough; one in Rust must treat \
            EPIPE on standard output as a quiet end itself. And an ignored SIGPIPE is \
            inherited by what you exec, unless it is reset.",
    see: "pipe(7), write(2), signal(7)",
    file: file!(),
    shows: &["sigpipe"],
};

// ANCHOR: sigpipe
fn sigpipe(stage: &Stage) -> Result<usize> {
    let as_rust = stage.fork("Rust", |stage| {
        signal::ignore(libc::SIGPIPE)?; // as it is when a Rust program's main begins
        let (reading, writing) = pipe()?;
        drop(reading);
        let wrote = write(&writing, b"x");
        stage.call("write()", &wrote);
        Ok(wrote == Err(Errno::EPIPE))
    })?;
    let as_c = stage.fork("C", |_| {
        signal::reset(libc::SIGPIPE)?; // as it is when a C program's main begins
        let (reading, writing) = pipe()?;
        drop(reading);
        Ok(write(&writing, b"x").is_err())
    })?;
    let rust_saw_epipe = as_rust.join()?;
    let c_ended = as_c.end()?;
    let killed = c_ended == End::Killed(Signal::SIGPIPE);
    stage.event(
        "C",
        match killed {
            true => "ended by SIGPIPE, inside write()",
            false => "still there after write()",
        },
    );
    stage.saw("Rust saw EPIPE", rust_saw_epipe);
    stage.saw("C was ended by SIGPIPE", killed);
    Ok(match (killed, rust_saw_epipe) {
        (false, _) => 2,
        (true, true) => 1,
        (true, false) => 3,
    })
}
// ANCHOR_END: sigpipe

pub(super) const DUP2_EXEC: Experiment = Experiment {
    name: "dup2-exec",
    title: "ls | wc -l, by hand",
    question: "A shell runs `printf a | wc -c`. It makes a pipe, forks twice, connects the \
               ends by dup2(2), and waits for both. Both children close their copies of the \
               pipe, but the shell has forgotten that it holds both ends itself. What \
               happens?",
    answers: &[
        wrong(
            "nothing bad: the shell neither reads nor writes the pipe",
            "An end counts because it is open, not because it is used.",
        ),
        wrong(
            "printf is ended by SIGPIPE",
            "SIGPIPE is sent when no reader is left. There is one too many here, not one \
             too few.",
        ),
        right(
            "printf ends; wc waits for the end of its input, and the shell waits for wc",
            "wc has a descriptor of its own and closed the copy of the writing end. The \
             shell has not: it is a writer that will never write.",
        ),
    ],
    kind: Kind::Kernel,
    run: dup2_exec,
    moral: "dup2 makes another descriptor of the same end, and every one counts. With \
            O_CLOEXEC the children's copies go at exec; the shell's own must be closed by \
            hand.",
    see: "dup(2), pipe(2), execve(2)",
    file: file!(),
    shows: &["dup2-exec"],
};

// ANCHOR: dup2-exec
fn dup2_exec(stage: &Stage) -> Result<usize> {
    // O_CLOEXEC: exec closes the children's copies, but not the one that dup2 made.
    let (reading, writing) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
    let printf = stage.fork("printf", |_| -> Result<()> {
        dup2_stdout(&writing)?;
        Err(Command::new("printf").arg("a").exec().into())
    })?;
    let wc = stage.fork("wc", |_| -> Result<()> {
        dup2_stdin(&reading)?;
        Err(Command::new("wc").arg("-c").exec().into())
    })?;
    let printf = printf.status()?;
    stage.event("printf", format!("ended: {}", ended(printf)));
    let hangs = wc.until_asleep_in(&[Sysno::read]).is_ok();
    stage.event("wc", "has read 1 byte, and sleeps in read()");

    // The cure: one line that the shell forgot.
    drop((reading, writing));
    stage.event("main", "closes both ends of the pipe");
    let wc = wc.status()?;
    stage.event("wc", format!("ended: {}", ended(wc)));
    stage.saw("wc hung while the shell held the pipe", hangs);
    stage.saw("wc ended once the shell had closed it", ended(wc));
    Ok(match (printf, hangs) {
        (WaitStatus::Signaled(..), _) => 2,
        (_, false) => 1,
        (_, true) => 3,
    })
}

fn ended(status: WaitStatus) -> String {
    match status {
        WaitStatus::Exited(_, code) => format!("exit status {code}"),
        WaitStatus::Signaled(_, signal, _) => format!("by {signal}"),
        other => format!("{other:?}"),
    }
}
// ANCHOR_END: dup2-exec
