//! Which process holds which end of a pipe, and what that decides.

use std::fs::{read_dir, read_link};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::unistd::{dup2_stdin, dup2_stdout, pipe, pipe2, read, write};
use rustix::io::ioctl_fionread;
use syscalls::Sysno;

use crate::child::End;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use crate::until::until;
use os::signal;

pub(super) const FORGOTTEN_END: Experiment = Experiment {
    name: "forgotten-end",
    title: "A reader that forked and closed nothing",
    level: Level::First,
    question: "A parent makes a pipe and forks. The child reads until read(2) returns 0. \
               The parent writes `done`, closes both of its ends, and waits for the \
               child. The child has closed neither of its own. What does the child do?",
    answers: &[
        right(
            "it reads `done`, then it sleeps",
            "The child waits for an end that only it could bring about: it is the last \
             writer. And the parent waits for the child.",
        ),
        wrong(
            "it reads `done`, then it reads 0",
            "read returns 0 when no process has the pipe open for writing. One still \
             has: the child itself, which got a copy of the write end from fork(2).",
        ),
        wrong(
            "it reads `done`, then it gets EPIPE",
            "EPIPE is a writer's error. A reader is told by 0, and only when the last \
             writer has closed.",
        ),
    ],
    kind: Kind::Kernel,
    run: forgotten_end,
    moral: "After fork(2), each process closes the end that it does not use, first of all. \
            A pipeline that never ends has a forgotten write end somewhere: \
            `ipclab map` shows who holds it, from /proc/PID/fd.",
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
/// Closes its copy of the write end first: then the parent's is the last.
fn close_and_read_all(
    stage: &Stage,
    reading: &OwnedFd,
    writing: &mut Option<OwnedFd>,
) -> Result<()> {
    *writing = None;
    stage.event("cured", "closes its write end");
    read_all(stage, reading)
}
// ANCHOR_END: forgotten-end-cured

// ANCHOR: forgotten-end
fn forgotten_end(stage: &Stage) -> Result<usize> {
    let (reading, writing) = pipe().context("pipe")?;
    let pipe_itself = read_link(format!("/proc/self/fd/{}", reading.as_raw_fd()))?;
    let child = stage.fork("child", |stage| read_all(stage, &reading))?;
    child.until_asleep_in(&[Sysno::read])?;
    stage.event("main", "writes \"done\", and closes both ends");
    write(&writing, b"done").context("write")?;
    drop((reading, writing));
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
    stage.saw("with its write end closed", "it ends");
    Ok(if asleep { 1 } else { 2 })
}
// ANCHOR_END: forgotten-end

pub(super) const SIGPIPE: Experiment = Experiment {
    name: "sigpipe",
    title: "Writing to a pipe that nobody reads",
    level: Level::First,
    question: "The last reader of a pipe has gone. A C program and a Rust program write \
               to it; neither has said anything about signals. A write without a reader \
               causes SIGPIPE, which by default ends the process. In which program does \
               write(2) return, with EPIPE?",
    answers: &[
        right(
            "in the Rust program, not in the C one",
            "SIGPIPE and EPIPE belong to both. But Rust's runtime has set SIGPIPE to be \
             ignored before main, and only the error is left.",
        ),
        wrong(
            "in the C program and the Rust one",
            "In the C program write never returns: the signal comes first, and its \
             default is to end the process.",
        ),
        wrong(
            "in neither of the two programs",
            "A signal knows no language. But its disposition is a setting of the \
             process, and Rust's runtime changes this one at the start.",
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

pub(super) const STDIO_BUFFER: Experiment = Experiment {
    name: "stdio-buffer",
    title: "A filter that has printed, and nothing comes",
    level: Level::First,
    question: "`grep one` reads lines from one pipe and prints those with `one` to another, \
               by the C library's stdio. On a terminal each line comes at once. Now the \
               line `one` is written into the first pipe, which stays open. When does a \
               reader of the second pipe get it?",
    answers: &[
        wrong(
            "when grep has printed the line",
            "That is true of a terminal. There stdio calls write(2) at the end of each line, \
             and on standard error for each piece.",
        ),
        right(
            "when grep comes to its end",
            "Into a pipe or a file stdio writes when its buffer is full, a few thousand bytes, \
             or when the program calls fflush(3) or exits. The line is still in grep's memory.",
        ),
        wrong(
            "when a reader calls read(2)",
            "A reader can take what is in the pipe. It cannot make the writer write.",
        ),
    ],
    kind: Kind::Kernel,
    run: stdio_buffer,
    moral: "A filter in the middle of a pipeline must flush after each line, or be told to: \
            `grep --line-buffered`, `sed -u`, `python3 -u`, stdbuf(1). In C: fflush(3) after each \
            message, or setvbuf(3). What is still in the buffer is lost if a signal ends the \
            program, and printed twice if it forks.",
    see: "setvbuf(3), stdio(3), stdbuf(1)",
    file: file!(),
    shows: &["stdio-buffer"],
};

// ANCHOR: stdio-buffer
/// Gives grep(1), started with `arguments`, a line. Is there something to read, once it
/// waits for the next one?
fn comes_at_once(stage: &Stage, arguments: &[&str]) -> Result<bool> {
    let (from, input) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
    let (output, to) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
    let grep = stage.fork("grep", |_| -> Result<()> {
        dup2_stdin(&from)?;
        dup2_stdout(&to)?; // exec closes all ends but these two copies
        Err(Command::new("grep").args(arguments).exec().into())
    })?;
    drop((from, to));
    stage
        .event("main", format!("writes \"one\\n\" to grep {}", arguments.join(" ")));
    write(&input, b"one\n").context("write")?;
    until(
        || "grep has not read its line".into(),
        || Ok((ioctl_fionread(&input).context("ioctl")? == 0).then_some(())),
    )?;
    grep.until_asleep_in(&[Sysno::read])?;
    stage.event("grep", "has read the line, and sleeps in read()");
    let waiting = ioctl_fionread(&output);
    stage.call("ioctl(output, FIONREAD)", &waiting);
    drop(input);
    grep.status()?;
    stage.event("grep", "has read the end of its input, and has ended");
    let got = read(&output, &mut [0; 16]);
    stage.call("read(output)", &got);
    stage.saw(&format!("bytes at the end, {}", arguments.join(" ")), got.ok());
    Ok(waiting? > 0)
}

fn stdio_buffer(stage: &Stage) -> Result<usize> {
    let at_once = comes_at_once(stage, &["one"])?;
    stage.saw("one line comes at once", at_once);
    let told = comes_at_once(stage, &["--line-buffered", "one"])?;
    stage.saw("with --line-buffered it does", told);
    Ok(if at_once { 1 } else { 2 })
}
// ANCHOR_END: stdio-buffer
