//! Waiting for a signal without missing it, and calls that a signal interrupts.

use std::io::ErrorKind;
use std::os::fd::AsFd;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::{getpid, pause, pipe, read, write};
use syscalls::Sysno;

use crate::child::{End, PAUSE, POLL};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::handlers;
use os::signal::{Set, read_signalfd, signalfd, sigsuspend};

pub(super) const EINTR: Experiment = Experiment {
    name: "eintr",
    title: "SA_RESTART, in read and in poll",
    level: Level::First,
    question: "A program has installed a handler with SA_RESTART, a flag of sigaction(2) \
               by which calls that the signal interrupts are started again. The signal \
               comes while one process sleeps in read(2) on a pipe and another in \
               poll(2). What happens to the calls?",
    answers: &[
        right(
            "read goes on, poll ends with EINTR",
            "poll, select, epoll_wait, nanosleep, msgrcv, semop and others return EINTR \
             whatever the flag says: signal(7) has the list.",
        ),
        wrong(
            "read goes on, and poll goes on too",
            "SA_RESTART is a promise with exceptions. signal(7) lists them, and poll is \
             one.",
        ),
        wrong(
            "read and poll both end with EINTR",
            "That is true without SA_RESTART: the run has a third process, whose read \
             ends like this.",
        ),
    ],
    kind: Kind::Kernel,
    run: eintr,
    moral: "Handle EINTR wherever a program may get a signal that it catches. SA_RESTART \
            spares you half of the places, and hides which half.",
    see: "signal(7), sigaction(2)",
    file: file!(),
    shows: &["eintr"],
};

// ANCHOR: eintr
fn eintr(stage: &Stage) -> Result<usize> {
    let (reading, writing) = pipe().context("pipe")?;
    let reader = stage.fork("read", |stage| {
        handlers::count(libc::SIGUSR1, libc::SA_RESTART)?;
        let got = read(&reading, &mut [0; 1]);
        stage.call("read(pipe)", &got);
        Ok(got.is_ok())
    })?;
    reader.until_asleep_in(&[Sysno::read])?;
    let poller = stage.fork("poll", |stage| {
        handlers::count(libc::SIGUSR1, libc::SA_RESTART)?;
        let mut fds = [PollFd::new(reading.as_fd(), PollFlags::POLLIN)];
        let got = poll(&mut fds, PollTimeout::NONE);
        stage.call("poll(pipe)", &got);
        Ok(got.err() == Some(Errno::EINTR))
    })?;
    poller.until_asleep_in(&[POLL])?;
    stage.event("main", "sends SIGUSR1 to both");
    poller.kill(Signal::SIGUSR1)?;
    let poll_interrupted = poller.join()?;
    reader.kill(Signal::SIGUSR1)?;
    reader.until_handled(libc::SIGUSR1)?;
    let again = reader.until_asleep_in(&[Sysno::read]).is_ok();
    stage.event("read", "its handler has run, and it sleeps in read() again");
    write(&writing, b"x").context("write")?;
    let read_went_on = reader.join()? && again;
    let plain = stage.fork("no flag", |stage| {
        handlers::count(libc::SIGUSR1, 0)?;
        let got = read(&reading, &mut [0; 1]);
        stage.call("read(pipe), without SA_RESTART", &got);
        Ok(got.err() == Some(Errno::EINTR))
    })?;
    plain.until_asleep_in(&[Sysno::read])?;
    plain.kill(Signal::SIGUSR1)?;
    stage.saw("poll was interrupted", poll_interrupted);
    stage.saw("read went on", read_went_on);
    stage.saw("read without the flag was interrupted", plain.join()?);
    Ok(match (poll_interrupted, read_went_on) {
        (false, true) => 2,
        (true, true) => 1,
        _ => 3,
    })
}
// ANCHOR_END: eintr

pub(super) const LOST_WAKEUP: Experiment = Experiment {
    name: "lost-wakeup",
    title: "Check a flag, then pause",
    level: Level::Later,
    question: "A handler sets a flag. The main program does: `if (!flag) pause();`. The \
               signal comes after the check and before pause(2), which sleeps until a \
               handler has run. What does pause do?",
    answers: &[
        wrong(
            "it returns at once, with EINTR",
            "pause waits for the next signal. It knows nothing of those that came \
             before.",
        ),
        right(
            "it sleeps until another signal",
            "The signal came between looking and sleeping, and its handler ran before \
             pause. If no second signal comes, the program sleeps for ever with the flag \
             set.",
        ),
        wrong(
            "it runs the handler, then returns",
            "That is true of a signal that was blocked until then. This is the cure: \
             block it, look, and let sigsuspend(2) unblock it and sleep in one step.",
        ),
    ],
    kind: Kind::Kernel,
    run: lost_wakeup,
    moral: "Looking and sleeping must be one step: sigsuspend, ppoll, pselect or a signalfd, \
            with the signal blocked at all other times.",
    see: "pause(2), sigsuspend(2)",
    file: file!(),
    shows: &["lost-wakeup-broken", "lost-wakeup-cured", "lost-wakeup"],
};

// ANCHOR: lost-wakeup-broken
/// Looks, then sleeps. `gap` is what happens in between.
fn check_then_pause(gap: impl FnOnce() -> Result<()>) -> Result<()> {
    handlers::count(libc::SIGUSR1, 0)?;
    if handlers::counted() == 0 {
        gap()?;
        pause();
    }
    Ok(())
}
// ANCHOR_END: lost-wakeup-broken

// ANCHOR: lost-wakeup-cured
/// Blocks the signal, looks, and sleeps with it unblocked: a signal in the gap waits.
fn block_then_suspend(gap: impl FnOnce() -> Result<()>) -> Result<()> {
    let set = Set::of(&[libc::SIGUSR1]);
    handlers::count(libc::SIGUSR1, 0)?;
    set.block()?;
    if handlers::counted() == 0 {
        gap()?;
        sigsuspend(&set);
    }
    Ok(())
}
// ANCHOR_END: lost-wakeup-cured

// ANCHOR: lost-wakeup
fn lost_wakeup(stage: &Stage) -> Result<usize> {
    // The signal is sent from inside the gap, so it always comes there.
    let in_the_gap = |stage: &Stage| {
        let sent = handlers::kill(getpid(), libc::SIGUSR1);
        stage.call("kill(self, SIGUSR1), between look and sleep", &sent);
        Ok(())
    };
    let broken = stage.fork("pause", |s| check_then_pause(|| in_the_gap(s)))?;
    let sleeps = broken.until_asleep_in(&[PAUSE]).is_ok();
    stage.event("pause", "the flag is set, and it sleeps in pause()");
    broken.kill(Signal::SIGKILL)?;
    broken.end()?;
    let cured =
        stage.fork("sigsuspend", |s| block_then_suspend(|| in_the_gap(s)))?;
    cured.join()?;
    stage.event("sigsuspend", "took the signal from the gap, and went on");
    stage.saw("pause slept with the flag set", sleeps);
    stage.saw("sigsuspend returned", true);
    Ok(if sleeps { 2 } else { 1 })
}
// ANCHOR_END: lost-wakeup

pub(super) const SIGNALFD: Experiment = Experiment {
    name: "signalfd",
    title: "A signalfd, and a signal that is not blocked",
    level: Level::Later,
    question: "A program opens a signalfd(2) for SIGTERM, a descriptor from which the \
               signal can be read, and waits in poll(2) until it is readable. It has not \
               blocked SIGTERM. Another process sends SIGTERM. What happens?",
    answers: &[
        wrong(
            "the program reads the signal",
            "A signalfd takes signals that are pending. One that is not blocked does not \
             stay pending: it is delivered.",
        ),
        right(
            "the signal ends the program",
            "The default action comes first. signalfd is another way to take a signal \
             that waits, and a signal waits only while it is blocked.",
        ),
        wrong(
            "the program reads it and ends",
            "A signal is taken once: by its action, by sigwaitinfo or by a read.",
        ),
    ],
    kind: Kind::Kernel,
    run: without_block,
    moral: "First sigprocmask(SIG_BLOCK), then signalfd. And unblock before exec: the new \
            program would inherit the mask.",
    see: "signalfd(2)",
    file: file!(),
    shows: &["signalfd"],
};

// ANCHOR: signalfd
fn without_block(stage: &Stage) -> Result<usize> {
    let mut ends = Vec::new();
    for (who, blocks) in [("unblocked", false), ("blocked", true)] {
        let program = stage.fork(who, |stage| {
            let set = Set::of(&[libc::SIGTERM]);
            if blocks {
                stage.call("sigprocmask(SIG_BLOCK, {SIGTERM})", &set.block());
            }
            let signals = signalfd(&set);
            stage.call("signalfd({SIGTERM})", &signals);
            let signals = signals?;
            let mut fds = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
            while let Err(Errno::EINTR) = poll(&mut fds, PollTimeout::NONE) {}
            let taken = read_signalfd(&signals).map(|info| info.signal);
            stage.call("read(signalfd), the signal", &taken);
            Ok(taken? == libc::SIGTERM)
        })?;
        program.until_asleep_in(&[POLL])?;
        program.kill(Signal::SIGTERM)?;
        let end = program.end()?;
        if end == End::Killed(Signal::SIGTERM) {
            stage.event(who, "ended by SIGTERM");
        }
        stage.saw(
            who,
            match end {
                End::Killed(signal) => format!("ended by {signal}"),
                End::Done(true) => "read the signal".into(),
                End::Done(false) => format!("{:?}", ErrorKind::InvalidData),
            },
        );
        ends.push(end);
    }
    Ok(match ends[0] {
        End::Killed(_) => 2,
        End::Done(_) => 1,
    })
}
// ANCHOR_END: signalfd
