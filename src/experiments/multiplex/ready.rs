//! What it means that a descriptor is ready.

use std::fs::File;
use std::os::fd::AsFd;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::signal::Signal;
use nix::unistd::{pipe, read, write};
use syscalls::Sysno;

use crate::child::{Child, POLL};
use crate::record::Returned;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::{Gate, Stage};

pub(super) const REGULAR_FILE: Experiment = Experiment {
    name: "regular-file",
    title: "Waiting for a file to grow",
    level: Level::First,
    question: "A program has read a log file to its end, and wants to sleep until another \
               process appends to it. It asks poll(2), with POLLIN; then it tries epoll(7). \
               What happens?",
    answers: &[
        wrong(
            "poll sleeps for it, and epoll_wait does, too",
            "Ready means that read(2) would not wait for another process. At the end \
             of a regular file read returns 0 at once.",
        ),
        right(
            "poll says ready at once; epoll_ctl says EPERM",
            "A read of a regular file never waits for another process (it may sleep \
             for the disk, open(2)), so poll calls it ready, always. epoll is told of \
             changes, and here there would never be one: epoll_ctl refuses it.",
        ),
        wrong(
            "poll says ready at once; epoll_wait does, too",
            "That would be consistent. But epoll takes only what can tell it of \
             changes.",
        ),
    ],
    kind: Kind::Kernel,
    run: regular_file,
    moral: "A loop that polls a file spins. inotify(7) is a descriptor that tells of \
            changes to files. And a server that watches its standard input by epoll \
            must expect EPERM, since it may be `< file`.",
    see: "poll(2), epoll_ctl(2), inotify(7)",
    file: file!(),
    shows: &["regular-file"],
};

// ANCHOR: regular-file
fn regular_file(stage: &Stage) -> Result<usize> {
    let path = stage.path("log");
    std::fs::write(&path, "a line\n").context("write")?;
    let epoll =
        Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("epoll_create1")?;
    let (reading, _writing) = pipe().context("pipe")?;
    let log = File::open(&path).context("open")?;
    while read(&log, &mut [0; 64]).context("read")? > 0 {}
    let directory = File::open(path.parent().context("a directory")?)?;
    let null = File::open("/dev/null").context("open")?;

    let mut outcomes = Vec::new();
    for (name, fd) in [
        ("a file at its end", log.as_fd()),
        ("a directory", directory.as_fd()),
        ("/dev/null", null.as_fd()),
        ("an empty pipe", reading.as_fd()),
    ] {
        let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
        let polled = poll(&mut fds, PollTimeout::ZERO);
        stage.call(format!("poll({name}, POLLIN)"), &polled);
        let added = epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, 0));
        stage.call(format!("epoll_ctl(EPOLL_CTL_ADD, {name})"), &added);
        stage.saw(&format!("{name}: poll"), polled.shown());
        stage.saw(&format!("{name}: epoll"), added.shown());
        outcomes.push((polled, added));
    }
    match outcomes[0] {
        (Ok(0), _) => Ok(1),
        (Ok(1), Err(Errno::EPERM)) => Ok(2),
        (Ok(1), Ok(())) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: regular-file

pub(super) const READY_THEN_BLOCKS: Experiment = Experiment {
    name: "ready-then-blocks",
    title: "poll said that it is readable",
    level: Level::First,
    question: "Two processes wait in poll(2) for the same pipe. One byte is written, \
               and poll tells each of them that the pipe is readable. Then the two call \
               read(2), one after the other. The pipe is blocking, as pipes are. What \
               does the second read do?",
    answers: &[
        wrong(
            "it returns one, with the same byte",
            "poll looks, and promises nothing. A byte is read once.",
        ),
        wrong(
            "it returns zero, with no byte",
            "0 is the end: no writer is left. An empty pipe that has a writer makes \
             its reader wait.",
        ),
        right(
            "it sleeps until one more byte comes",
            "Between the two calls the first reader took the byte. Readiness was true \
             when poll looked. It is a hint about the past.",
        ),
    ],
    kind: Kind::Kernel,
    run: ready_then_blocks,
    moral: "Make every descriptor that you watch non-blocking, and take EAGAIN as an \
            answer: it was ready, and is no more. There need not be another reader: on \
            Linux select(2) may name a datagram with a wrong checksum, which is thrown \
            away on read.",
    see: "poll(2), select(2)",
    file: file!(),
    shows: &[
        "ready-then-blocks-broken",
        "ready-then-blocks-cured",
        "ready-then-blocks",
    ],
};

// ANCHOR: ready-then-blocks-broken
/// Waits until it is readable, then reads. `gap` is what happens in between.
fn poll_and_read(
    stage: &Stage,
    fd: impl AsFd,
    gap: impl FnOnce() -> Result<()>,
) -> Result<nix::Result<usize>> {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    stage.call("poll()", &poll(&mut fds, PollTimeout::NONE));
    gap()?;
    let got = read(&fd, &mut [0; 16]);
    stage.call("read()", &got);
    Ok(got)
}
// ANCHOR_END: ready-then-blocks-broken

// ANCHOR: ready-then-blocks-cured
/// The same, with O_NONBLOCK: read never sleeps, and returns EAGAIN instead.
fn poll_and_try(
    stage: &Stage,
    fd: impl AsFd,
    gap: impl FnOnce() -> Result<()>,
) -> Result<nix::Result<usize>> {
    let flags = fcntl(&fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
    stage.call("fcntl(F_SETFL, O_NONBLOCK)", &flags);
    poll_and_read(stage, fd, gap)
}
// ANCHOR_END: ready-then-blocks-cured

// ANCHOR: ready-then-blocks
fn ready_then_blocks(stage: &Stage) -> Result<usize> {
    let (reading, writing) = pipe().context("pipe")?;
    let ready = stage.gate()?;
    let polls_then_reads = |who, go: &Gate| -> Result<Child<Option<usize>>> {
        let reader = stage.fork(who, |stage| {
            let gap = || ready.open(1).and_then(|()| go.pass());
            Ok(poll_and_read(stage, &reading, gap)?.ok())
        })?;
        reader.until_asleep_in(&[POLL])?;
        Ok(reader)
    };
    let (go_first, go) = (stage.gate()?, stage.gate()?);
    let first = polls_then_reads("first", &go_first)?;
    let second = polls_then_reads("second", &go)?;
    stage.event("main", "writes one byte");
    write(&writing, b"x").context("write")?;
    ready.pass()?;
    ready.pass()?; // both have been told
    go_first.open(1)?;
    let first = first.join()?;
    go.open(1)?;
    let sleeps = second.until_asleep_in(&[Sysno::read]).is_ok();
    let got = match sleeps {
        true => {
            stage.event("second", "sleeps in read()");
            second.kill(Signal::SIGKILL)?;
            second.end()?;
            None
        }
        false => second.join()?,
    };

    let cured = stage.fork("cured", |stage| {
        let gap = || ready.open(1).and_then(|()| go.pass());
        Ok(poll_and_try(stage, &reading, gap)?.shown())
    })?;
    cured.until_asleep_in(&[POLL])?;
    write(&writing, b"x").context("write")?;
    ready.pass()?;
    read(&reading, &mut [0; 1]).context("read")?; // somebody was faster
    go.open(1)?;
    stage.saw("the first read", first);
    stage.saw("the second sleeps in read", sleeps);
    stage.saw("with O_NONBLOCK it reads", cured.join()?);
    Ok(match (sleeps, got) {
        (true, _) => 3,
        (false, Some(1)) => 1,
        _ => 2,
    })
}
// ANCHOR_END: ready-then-blocks
