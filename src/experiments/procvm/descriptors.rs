//! What pidfd_getfd(2) takes over.

use std::fs::File;
use std::io::{Read, pipe};
use std::os::fd::{AsFd, AsRawFd};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use nix::unistd::read;
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use syscalls::Sysno;

use super::fetch;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;

pub(super) const ONE_OFFSET: Experiment = Experiment {
    name: "one-offset",
    title: "A file that the target is reading",
    level: Level::Later,
    question: "A target has opened a file with abcdef in it, and has read 3 bytes. Another \
               process gets the descriptor by pidfd_getfd(2), and reads 3 bytes as well. \
               What does it read?",
    answers: &[
        right(
            "the def that comes next",
            "The two descriptors are of one open file description, as after dup(2) or \
             fork(2). The offset is there, and both move it.",
        ),
        wrong(
            "the abc that comes first",
            "So it is for a process that opens the file itself, /proc/PID/fd/N as well: \
             that is an open file description of its own.",
        ),
        wrong(
            "no byte: it gets EBADF",
            "The number is the target's. What the call returns is a number of our own.",
        ),
    ],
    kind: Kind::Kernel,
    run: one_offset,
    moral: "A fetched descriptor is shared, and not copied: offset, O_NONBLOCK and locks of the open \
            file are the target's, too. Who only wants the content opens /proc/PID/fd/N.",
    see: "pidfd_getfd(2), dup(2), proc_pid_fd(5)",
    file: file!(),
    shows: &["one-offset"],
};

// ANCHOR: one-offset
fn one_offset(stage: &Stage) -> Result<usize> {
    let path = stage.path("file");
    std::fs::write(&path, "abcdef").context("write")?;
    let (mut says, tells) = pipe().context("pipe")?;
    let never = stage.gate()?;
    // Opened after the fork: it is the target's alone.
    let target = stage.fork("target", |stage| {
        let file = File::open(&path).context("open")?;
        let mut text = [0; 3];
        let n = read(&file, &mut text);
        let text = String::from_utf8_lossy(&text).into_owned();
        stage.call("read(file, buffer, 3)", &n.map(|n| format!("{n} {text:?}")));
        nix::unistd::write(&tells, &file.as_raw_fd().to_ne_bytes())?;
        never.pass()
    })?;
    let mut number = [0; 4];
    says.read_exact(&mut number).context("read")?;
    let file = fetch(target.pid(), i32::from_ne_bytes(number))?;
    stage.call("pidfd_getfd(target, the file)", &"a descriptor");
    let mut text = [0; 3];
    let n = read(&file, &mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    stage.call("read(the copy, buffer, 3)", &n.map(|n| format!("{n} {text:?}")));
    stage.saw("read", text.as_str());
    match (n, text.as_str()) {
        (Ok(3), "def") => Ok(1),
        (Ok(3), "abc") => Ok(2),
        (Err(nix::Error::EBADF), _) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: one-offset

pub(super) const ITS_FLAG: Experiment = Experiment {
    name: "its-flag",
    title: "A flag that nobody has asked for",
    level: Level::Deep,
    question: "A target has a descriptor without FD_CLOEXEC: each program that it executes \
               inherits it. Another process gets the descriptor by pidfd_getfd(2), whose \
               flags must be 0. How is FD_CLOEXEC on the copy?",
    answers: &[
        right(
            "it is set on the copy",
            "pidfd_getfd(2) sets it on each descriptor that it returns, whatever the \
             target's has.",
        ),
        wrong(
            "it is off on the copy",
            "So it is with dup(2), and with SCM_RIGHTS unless MSG_CMSG_CLOEXEC is given. \
             Newer calls begin with the safe value.",
        ),
    ],
    kind: Kind::Kernel,
    run: its_flag,
    moral: "The flag belongs to the descriptor, and not to the open file. If a program that you \
            execute is to have the copy, clear the flag by fcntl(2), F_SETFD.",
    see: "pidfd_getfd(2), fcntl(2)",
    file: file!(),
    shows: &["its-flag"],
};

// ANCHOR: its-flag
fn is_closed_by_exec(fd: impl AsFd) -> Result<bool> {
    let flags = fcntl_getfd(fd).context("fcntl(F_GETFD)")?;
    Ok(flags.contains(FdFlags::CLOEXEC))
}

fn its_flag(stage: &Stage) -> Result<usize> {
    let (reading, _writing) = pipe().context("pipe")?;
    fcntl_setfd(&reading, FdFlags::empty()).context("fcntl")?;
    let never = stage.gate()?;
    let target = stage.fork("target", |_| never.pass())?;
    let copy = fetch(target.pid(), reading.as_raw_fd())?;
    let theirs = is_closed_by_exec(&reading)?;
    let ours = is_closed_by_exec(&copy)?;
    stage.call("FD_CLOEXEC of the target's", &theirs);
    stage.call("FD_CLOEXEC of the copy", &ours);
    stage.saw("of the target's", theirs);
    stage.saw("of the copy", ours);
    Ok(if ours { 1 } else { 2 })
}
// ANCHOR_END: its-flag

pub(super) const KEPT_OPEN: Experiment = Experiment {
    name: "kept-open",
    title: "The last writer, and a copy of its end",
    level: Level::Later,
    question: "A target is the only process that has the write end of a pipe open. A \
               debugger gets a copy of it by pidfd_getfd(2), writes nothing, and keeps it. \
               The target ends. What does the next read(2) of the pipe do?",
    answers: &[
        wrong(
            "it returns 0: end of file",
            "It would, without the copy. The kernel counts descriptors, and not intentions.",
        ),
        right(
            "it sleeps: a writer is left",
            "The debugger has become a writer. As long as it has the copy, there is no end \
             of file, and nobody will write.",
        ),
        wrong(
            "it fails: the error is EPIPE",
            "EPIPE is of a write(2), into a pipe that no process reads.",
        ),
    ],
    kind: Kind::Kernel,
    run: kept_open,
    moral: "Close what you have fetched as soon as you have looked at it. A tool that keeps copies \
            changes what it looks at.",
    see: "pidfd_getfd(2), pipe(7)",
    file: file!(),
    shows: &["kept-open"],
};

// ANCHOR: kept-open
fn kept_open(stage: &Stage) -> Result<usize> {
    let (mut reading, writing) = pipe().context("pipe")?;
    let never = stage.gate()?;
    let target = stage.fork("target", |_| never.pass())?;
    let number = writing.as_raw_fd();
    drop(writing);
    let end = stage.gate()?;
    let reader = stage.fork("reader", |stage| {
        let n = reading.read(&mut [0; 8]);
        stage.call("read(pipe)", &n);
        end.pass()?;
        Ok(n.ok())
    })?;
    let copy = fetch(target.pid(), number)?;
    stage.call("pidfd_getfd(target, the write end)", &"a descriptor");
    target.kill(Signal::SIGKILL)?;
    target.end()?;
    stage.event("target", "has ended");
    let slept = reader.until_asleep_in(&[Sysno::read, Sysno::readv])? == Sysno::read;
    stage.saw("it sleeps", slept);
    if slept {
        stage.event("reader", "sleeps in read(pipe)");
    }
    drop(copy);
    stage.event("main", "closes the copy");
    end.open(1)?;
    let n = reader.join()?;
    stage.saw("once the copy is closed, it returns", n);
    match (slept, n) {
        (false, Some(0)) => Ok(1),
        (true, Some(0)) => Ok(2),
        (_, None) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: kept-open
