//! The self-pipe: a signal as something to poll, before there was signalfd(2).

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, raise};
use nix::unistd::pipe;
use syscalls::Sysno;

use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::handlers;
use os::signal::{Set, read_signalfd, signalfd};

pub(super) const SELF_PIPE: Experiment = Experiment {
    name: "self-pipe",
    title: "A byte into a pipe for each signal",
    level: Level::Later,
    question: "A program sleeps in poll(2), and signals must wake it too: their handler \
               writes a byte into a pipe that poll watches. While the program is busy \
               elsewhere, so many signals come that the pipe is full. What does write(2) \
               do in the next handler?",
    answers: &[
        wrong(
            "it drops the byte and returns 1",
            "A pipe drops nothing. If there is no room, write waits, or says that it \
             cannot.",
        ),
        right(
            "it sleeps, and never returns",
            "The reader that write waits for is the program that the handler has \
             interrupted. Async-signal-safe means that write may be called there; it \
             sleeps as anywhere else.",
        ),
        wrong(
            "it returns -1, with EAGAIN",
            "That is true with O_NONBLOCK, which the cured variant sets. A pipe is not \
             made with it.",
        ),
    ],
    kind: Kind::Kernel,
    run: self_pipe,
    moral: "Both ends of a self-pipe are O_NONBLOCK, and one wake-up means: look at everything. \
            On Linux signalfd(2) spares you the pipe and the handler: what is blocked waits in \
            the kernel, where a thousand signals of one kind are one.",
    see: "signalfd(2), signal-safety(7), pipe(7)",
    file: file!(),
    shows: &["self-pipe-broken", "self-pipe-cured", "self-pipe"],
};

// ANCHOR: self-pipe-broken
/// From now on each SIGUSR1 is a byte in the pipe: its handler calls write(2), and no more.
fn tell_by(pipe: OwnedFd) -> std::io::Result<()> {
    handlers::write_a_byte(libc::SIGUSR1, pipe)
}
// ANCHOR_END: self-pipe-broken

// ANCHOR: self-pipe-cured
fn without_sleeping(pipe: &OwnedFd) -> nix::Result<i32> {
    fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
}
// ANCHOR_END: self-pipe-cured

// ANCHOR: self-pipe
/// Raises SIGUSR1 once more often than the pipe has room for; each handler has returned
/// before the next one comes.
fn flood(stage: &Stage, nonblocking: bool) -> Result<u32> {
    let (_reading, writing) = pipe().context("pipe")?;
    let room = fcntl(&writing, FcntlArg::F_SETPIPE_SZ(4096)).context("fcntl")?;
    if nonblocking {
        let set = without_sleeping(&writing);
        stage.call("fcntl(pipe, F_SETFL, O_NONBLOCK)", &set);
    }
    tell_by(writing)?;
    for _ in 0..room {
        raise(Signal::SIGUSR1)?;
    }
    let who = if nonblocking { "non-blocking" } else { "blocking" };
    stage.event(who, format!("{room} signals later the pipe is full"));
    raise(Signal::SIGUSR1)?;
    Ok(1)
}

fn self_pipe(stage: &Stage) -> Result<usize> {
    let broken = stage.fork("blocking", |stage| flood(stage, false))?;
    let hangs = broken.until_asleep_in(&[Sysno::write]).is_ok();
    stage.event("blocking", "sleeps in write(), inside its handler");
    broken.kill(Signal::SIGKILL)?;
    broken.end()?;

    let cured = stage.fork("non-blocking", |stage| flood(stage, true))?;
    let goes_on = cured.join()? == 1;
    stage.event("non-blocking", "the handler has returned, and it goes on");

    let taken = stage.fork("signalfd", |stage| {
        let set = Set::of(&[libc::SIGUSR1]);
        set.block()?;
        let signals = signalfd(&set)?;
        for _ in 0..4097 {
            raise(Signal::SIGUSR1)?;
        }
        let first = read_signalfd(&signals).map(|info| info.signal);
        stage.call("read(signalfd), the signal", &first);
        Ok(!handlers::is_pending(libc::SIGUSR1))
    })?;
    stage.saw("with a blocking pipe it hangs", hangs);
    stage.saw("with a non-blocking one it goes on", goes_on);
    stage.saw("with signalfd, one read took them all", taken.join()?);
    Ok(if hangs { 2 } else { 1 })
}
// ANCHOR_END: self-pipe
