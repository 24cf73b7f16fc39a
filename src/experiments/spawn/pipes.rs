//! A child's standard streams as pipes: who waits for whom.

use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, pipe2, read, write};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::ioctl_fionread;
use rustix::pipe::fcntl_setpipe_size;
use rustix::process::set_child_subreaper;
use syscalls::Sysno;

use super::parents::ended_by;
use super::{all_of, piped};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use crate::until::until;
use wire::transfer::write_all;

pub(super) const WAIT_THEN_READ: Experiment = Experiment {
    name: "wait-then-read",
    title: "Wait for the child, then read what it wrote",
    level: Level::First,
    question: "A parent gives its child a pipe as standard output, calls waitpid(2), and reads \
               the pipe once that has returned. It tries three children, which write 4,096, \
               65,536 and 65,537 bytes, and exit. For which of them does waitpid(2) return?",
    answers: &[
        wrong(
            "for the first, and no other child",
            "4,096 is PIPE_BUF, the size up to which a write is not mixed with others. A pipe \
             holds 16 pages of that size.",
        ),
        right(
            "for the first and the second",
            "A pipe holds 65,536 bytes. The third child sleeps in write(2) for one byte of \
             room, its parent sleeps until the child ends, and neither can.",
        ),
        wrong(
            "for each of the three",
            "A pipe is no file: what has no room in it makes the writer wait. The third child \
             never comes to its exit.",
        ),
    ],
    kind: Kind::Kernel,
    run: wait_then_read,
    moral: "Read until the end of file, and then wait: Command::output in Rust, communicate() in \
            Python. It works in tests with little output, and hangs on the day of a long error.",
    see: "pipe(7), waitpid(2)",
    file: file!(),
    shows: &["wait-then-read"],
};

// ANCHOR: wait-then-read
fn wait_then_read(stage: &Stage) -> Result<usize> {
    let mut returned = Vec::new();
    for size in [4096, 65_536, 65_537] {
        let (child, output) = piped(stage, "child", |_| {
            let stdout = rustix::stdio::stdout();
            // Its default, unless this user has many pipes.
            fcntl_setpipe_size(stdout, 65_536)?;
            Ok(write_all(stdout, &vec![b'x'; size])?)
        })?;
        // Where it does not sleep, it has ended.
        let stuck = child.until_asleep_in(&[Sysno::write]).is_ok();
        let what = if stuck { "sleeps in write()" } else { "has ended" };
        stage.event("child", format!("of {size} bytes: {what}"));
        let got = all_of(output)?.len(); // it ends once it has been read
        stage.call("read(its pipe), to the end", &got.to_string());
        child.join()?;
        returned.push(!stuck);
    }
    stage.saw("waitpid would return", returned.clone());
    Ok(returned.iter().filter(|returned| **returned).count())
}
// ANCHOR_END: wait-then-read

pub(super) const TWO_STREAMS: Experiment = Experiment {
    name: "two-streams",
    title: "First all of the output, then all errors",
    level: Level::First,
    question: "A child has a pipe as standard output and another one as standard error. It \
               writes 65,537 bytes to standard error, then `done` to standard output, and \
               exits. Its parent reads standard output to the end, and then standard error. \
               What happens?",
    answers: &[
        wrong(
            "the parent reads `done`, and then the errors",
            "`done` was to come after the errors, and those do not fit: nobody reads them yet.",
        ),
        wrong(
            "the parent reads the errors, then `done`",
            "It reads the pipe that it has named in read(2), and sleeps there. It does not \
             know of the other one.",
        ),
        right(
            "the parent sleeps, and the child sleeps",
            "The child waits for room in standard error, the parent for the first byte or the \
             end of standard output.",
        ),
    ],
    kind: Kind::Kernel,
    run: two_streams,
    moral: "Two streams are read at once: poll(2), a thread for each, or both into one pipe \
            (2>&1). Command::output and communicate() do it for you.",
    see: "poll(2), pipe(7)",
    file: file!(),
    shows: &["two-streams-cured", "two-streams"],
};

// ANCHOR: two-streams-cured
/// Reads both until both have ended: whichever has something.
fn read_both(ends: [impl AsFd; 2]) -> Result<[usize; 2]> {
    let (mut got, mut open) = ([0; 2], [true; 2]);
    while open.contains(&true) {
        let of = |number: &usize| PollFd::new(&ends[*number], PollFlags::IN);
        let numbers: Vec<_> = (0..2).filter(|number| open[*number]).collect();
        let mut fds: Vec<_> = numbers.iter().map(of).collect();
        poll(&mut fds, None)?; // sleeps until one of the two is ready
        for (number, fd) in numbers.iter().zip(&fds) {
            if !fd.revents().is_empty() {
                let n = read(&ends[*number], &mut [0; 4096])?;
                got[*number] += n;
                open[*number] = n > 0;
            }
        }
    }
    Ok(got)
}
// ANCHOR_END: two-streams-cured

// ANCHOR: two-streams
fn two_streams(stage: &Stage) -> Result<usize> {
    let (errors, to) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
    fcntl_setpipe_size(&to, 65_536)?;
    let (child, output) = piped(stage, "child", |_| {
        dup2_stderr(&to)?;
        write_all(rustix::stdio::stderr(), &[b'x'; 65_537])?;
        Ok(write_all(rustix::stdio::stdout(), b"done")?)
    })?;
    drop(to);
    let stuck = child.until_asleep_in(&[Sysno::write]).is_ok();
    let there = ioctl_fionread(&output)?;
    stage.event("child", if stuck { "sleeps in write()" } else { "has ended" });
    stage.call("ioctl(its standard output, FIONREAD)", &there.to_string());
    stage.saw("both would sleep", stuck && there == 0);
    let got = read_both([output, errors])?;
    child.join()?;
    stage.event("main", "reads both by poll(), until both have ended");
    stage.saw("read at once, in bytes", got.to_vec());
    Ok(if stuck && there == 0 { 3 } else { 1 })
}
// ANCHOR_END: two-streams

pub(super) const OPEN_STDIN: Experiment = Experiment {
    name: "open-stdin",
    title: "A child that waits for more",
    level: Level::Later,
    question: "A parent starts `sort` with a pipe at each side, writes `b` and `a`, a line \
               each, and reads sort's output. It keeps the pipe to sort open, to send more \
               later. When does sort write its first line?",
    answers: &[
        wrong(
            "when sort has read its two lines",
            "Sort cannot know which line is the first one before it has seen the last one.",
        ),
        wrong(
            "when the parent calls read(2)",
            "A reader takes what there is, and makes nobody write.",
        ),
        right(
            "when the parent calls close(2)",
            "Sort reads to the end of its input, and the end is the close of the last write \
             end. Until then both sleep in read(2).",
        ),
    ],
    kind: Kind::Kernel,
    run: open_stdin,
    moral: "Close the child's standard input once all is written. Forgotten, `wc`, `sort` and `cat` \
            hang; kept by a second child, it is the same (`pipe/over-exec`).",
    see: "pipe(7), close(2)",
    file: file!(),
    shows: &["open-stdin"],
};

// ANCHOR: open-stdin
fn open_stdin(stage: &Stage) -> Result<usize> {
    let (from, input) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
    let (sort, output) = piped(stage, "sort", |_| {
        dup2_stdin(&from)?;
        Err(Command::new("sort").exec().into())
    })?;
    drop(from);
    stage.call("write(its standard input)", &write(&input, b"b\na\n"));
    until(
        || "sort has not read its lines".into(),
        || Ok((ioctl_fionread(&input)? == 0).then_some(())),
    )?;
    sort.until_asleep_in(&[Sysno::read])?;
    let before = ioctl_fionread(&output);
    stage.event("sort", "has read both lines, and sleeps in read()");
    stage.call("ioctl(its standard output, FIONREAD)", &before);
    drop(input);
    stage.event("main", "closes sort's standard input");
    let got = all_of(output)?;
    stage.call("read(its standard output)", &format!("{}: {got:?}", got.len()));
    sort.status()?;
    stage.saw("bytes before the close", before?);
    stage.saw("after the close", got);
    Ok(if before? > 0 { 1 } else { 3 })
}
// ANCHOR_END: open-stdin

pub(super) const HELD_PIPE: Experiment = Experiment {
    name: "held-pipe",
    title: "The child has ended, the read goes on",
    level: Level::Later,
    question: "A parent starts `sh -c 'sleep 600 & echo done'` with a pipe as standard output, \
               and reads to the end of file. The shell prints `done`, and ends. When does the \
               parent read the end of file?",
    answers: &[
        wrong(
            "when it has called waitpid",
            "The wait tells of the shell's end. It closes nothing in sleep.",
        ),
        wrong(
            "when the shell has ended",
            "The shell was one of two writers. A pipe does not know which of them is the child \
             of the reader.",
        ),
        right(
            "when sleep has ended, too",
            "sleep has the shell's standard output, since fork(2) and execve(2) keep it. It is \
             the pipe's last writer, and never writes.",
        ),
    ],
    kind: Kind::Kernel,
    run: held_pipe,
    moral: "The end of a child and the end of its output are two events: wait for both, by a pidfd \
            and poll(2), or end the whole process group. A background job should redirect its \
            output: `sleep 600 > /dev/null &`.",
    see: "pipe(7), fork(2), pidfd_open(2)",
    file: file!(),
    shows: &["held-pipe"],
};

// ANCHOR: held-pipe
fn held_pipe(stage: &Stage) -> Result<usize> {
    // So that main can wait for sleep, whose parent ends.
    set_child_subreaper(Some(rustix::process::getpid())).context("prctl")?;
    let (shell, output) = piped(stage, "sh", |_| {
        let script = "sleep 600 & echo $!";
        Err(Command::new("sh").args(["-c", script]).exec().into())
    })?;
    stage.call("waitpid(sh)", &ended_by(shell.status()?));
    let mut text = [0; 16];
    let n = read(&output, &mut text).context("read")?;
    let pid = std::str::from_utf8(&text[..n])?.trim().parse()?;
    stage.call("read(its standard output)", &"the pid that sh printed");
    let hung_up = || -> Result<bool> {
        let mut fds = [PollFd::new(&output, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default()))?;
        Ok(fds[0].revents().contains(PollFlags::HUP))
    };
    let before = hung_up()?;
    stage.call("poll(the pipe, 0)", &if before { "POLLHUP" } else { "nothing" });
    kill(Pid::from_raw(pid), Signal::SIGKILL).context("kill")?;
    waitpid(Pid::from_raw(pid), None).context("waitpid")?;
    stage.event("sleep", "is ended by SIGKILL");
    let after = hung_up()?;
    stage.call("poll(the pipe, 0)", &if after { "POLLHUP" } else { "nothing" });
    stage.saw("end of file while sleep runs", before);
    stage.saw("end of file after it", after);
    Ok(if before { 2 } else { 3 })
}
// ANCHOR_END: held-pipe
