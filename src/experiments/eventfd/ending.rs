//! What is seen when a process goes that has the eventfd open.

use std::io::{PipeReader, PipeWriter, Read, Write, pipe};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::eventfd::EfdFlags;
use nix::sys::signal::Signal;

use super::{counter, left, sleeps};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;

pub(super) const LAST_WRITER: Experiment = Experiment {
    name: "last-writer",
    title: "The last notifier has gone",
    level: Level::First,
    question: "A waiter made an eventfd and forked a notifier, which wrote 1 and ended. \
               No other process has the eventfd open. The waiter reads the 1, and calls \
               read(2) once more. From a pipe that call returns 0, the end of file. What \
               does it do here?",
    answers: &[
        wrong(
            "it returns 0 bytes",
            "A pipe has two ends, so the kernel knows when the last descriptor of the \
             write end is closed. An eventfd has one end, and the waiter has it open.",
        ),
        right(
            "it sleeps for ever",
            "Whoever has an eventfd open may write to it, and so the waiter itself counts \
             as one that could. There is no end of file, ever.",
        ),
        wrong(
            "it fails by EPIPE",
            "EPIPE is of write(2), into a pipe or a socket that nobody can read. No call \
             on an eventfd returns it.",
        ),
    ],
    kind: Kind::Kernel,
    run: last_writer,
    moral: "An eventfd does not tell that a peer is gone. Wait for that as well: for the end of \
            a socket or a pipe that the peer has open, or for its pidfd.",
    see: "eventfd(2), pipe(7), pidfd_open(2)",
    file: file!(),
    shows: &["last-writer"],
};

// ANCHOR: last-writer
fn last_writer(stage: &Stage) -> Result<usize> {
    let event = counter(EfdFlags::empty())?;
    let (mut reading, mut writing): (PipeReader, PipeWriter) =
        pipe().context("pipe")?;
    let notifier = stage.fork("notifier", |stage| {
        stage.call("write(eventfd, 1)", &event.write(1));
        stage.call("write(pipe, \"x\", 1)", &writing.write(b"x"));
        Ok(())
    })?;
    notifier.join()?;
    drop(writing);
    stage.event("notifier", "has ended");

    let end = stage.gate()?;
    let waiter = stage.fork("waiter", |stage| {
        stage.call("read(pipe)", &reading.read(&mut [0; 8]));
        let ended = reading.read(&mut [0; 8]);
        stage.call("read(pipe)", &ended);
        stage.call("read(eventfd), the number", &event.read());
        stage.saw("the second read of the pipe", ended.ok());
        let again = event.read();
        stage.call("read(eventfd), the number", &again);
        end.pass()?;
        Ok(again.err() == Some(Errno::EPIPE))
    })?;
    let slept = sleeps(&waiter)?;
    stage.saw("the second read of the eventfd sleeps", slept);
    if slept {
        stage.event("waiter", "sleeps in read(eventfd)");
        waiter.kill(Signal::SIGKILL)?;
        waiter.end()?;
        return Ok(2);
    }
    end.open(1)?;
    Ok(if waiter.join()? { 3 } else { 1 })
}
// ANCHOR_END: last-writer

pub(super) const READER_GONE: Experiment = Experiment {
    name: "reader-gone",
    title: "The waiter has gone",
    level: Level::Later,
    question: "A notifier has an eventfd open, with its counter at 0. The waiter, the \
               only process that ever read it, has been killed. The notifier writes 1. \
               Into a pipe without a reader such a write raises SIGPIPE. And here?",
    answers: &[
        wrong(
            "SIGPIPE, as from a pipe",
            "A pipe knows its readers from its writers. Of an eventfd the kernel knows \
             only who has it open, and the notifier has.",
        ),
        wrong(
            "EPIPE, without a signal",
            "So it is with MSG_NOSIGNAL on a socket. An eventfd has no peer that the \
             kernel could miss.",
        ),
        right(
            "8, as if it were there",
            "The number is added. No process will take it, and nothing tells the \
             notifier; after very many writes it would sleep.",
        ),
    ],
    kind: Kind::Kernel,
    run: reader_gone,
    moral: "A write that returns 8 says that the counter has the number, not that a process \
            lives which will read it. To know that, look at something else of the waiter's: a \
            connection, or its pidfd.",
    see: "eventfd(2), pipe(7)",
    file: file!(),
    shows: &["reader-gone"],
};

// ANCHOR: reader-gone
fn reader_gone(stage: &Stage) -> Result<usize> {
    let event = counter(EfdFlags::empty())?;
    let (reading, mut writing) = pipe().context("pipe")?;
    let waiter = stage.fork("waiter", |_| {
        event.read().context("read")?;
        Ok(())
    })?;
    drop(reading);
    sleeps(&waiter)?;
    waiter.kill(Signal::SIGKILL)?;
    waiter.end()?;
    stage.event("waiter", "killed by SIGKILL");
    let into_pipe = writing.write(b"x"); // with SIGPIPE ignored, as Rust has it
    stage.call("write(pipe, \"x\", 1)", &into_pipe);
    let added = event.write(1);
    stage.call("write(eventfd, 1)", &added);
    let error = into_pipe.err().and_then(|error| error.raw_os_error());
    stage.saw("into the pipe: EPIPE", error == Some(libc::EPIPE));
    stage.saw("into the eventfd", added.ok());
    match added {
        Err(Errno::EPIPE) => Ok(2),
        Ok(8) => Ok(3),
        other => bail!("write: {other:?}"),
    }
}
// ANCHOR_END: reader-gone

pub(super) const NUMBER_STAYS: Experiment = Experiment {
    name: "number-stays",
    title: "A number whose writer is killed",
    level: Level::Later,
    question: "A notifier writes 3 to an eventfd that it has inherited, and is killed \
               before any process reads. One other process still has a copy of the \
               eventfd. What does it find in the counter?",
    answers: &[
        right(
            "a 3: the kernel has kept it",
            "The counter is the kernel's, and lives as long as one descriptor of it is \
             open. What was added stays added: no undo, no owner.",
        ),
        wrong(
            "a 0: the kernel takes it back",
            "That is SEM_UNDO of semop(2), if it was asked for. An eventfd does not \
             remember who has added what.",
        ),
        wrong(
            "nothing: it went with its end",
            "A copy of the eventfd is no second eventfd. The object goes with the last of \
             its descriptors, and there is another one.",
        ),
    ],
    kind: Kind::Kernel,
    run: number_stays,
    moral: "What was written before a crash is found after it, as long as one process keeps the \
            eventfd open. When the last one closes it the counter is gone: it has no name.",
    see: "eventfd(2), semop(2)",
    file: file!(),
    shows: &["number-stays"],
};

// ANCHOR: number-stays
fn number_stays(stage: &Stage) -> Result<usize> {
    let event = counter(EfdFlags::EFD_NONBLOCK)?;
    let (written, never) = (stage.gate()?, stage.gate()?);
    let notifier = stage.fork("notifier", |stage| {
        stage.call("write(3)", &event.write(3));
        written.open(1)?;
        never.pass()
    })?;
    written.pass()?;
    notifier.kill(Signal::SIGKILL)?;
    notifier.end()?;
    stage.event("notifier", "killed by SIGKILL");
    let found = left(&event)?;
    stage.call("read(), the number", &found);
    stage.saw("found", found);
    match found {
        3 => Ok(1),
        0 => Ok(2),
        other => bail!("read: {other}"),
    }
}
// ANCHOR_END: number-stays
