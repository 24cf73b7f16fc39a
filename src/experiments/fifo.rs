//! What a FIFO does that people do not expect.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{mkfifo, read, write};
use syscalls::Sysno;

use super::row::{Experiment, Kind, right, wrong};
use super::stage::Stage;

/// The chapter's experiments, in the order of its page.
pub const ALL: &[Experiment] = &[OPEN_SLEEPS, NO_READER_ENXIO, EMPTY_OR_ENDED];

const OPEN_SLEEPS: Experiment = Experiment {
    name: "open-sleeps",
    title: "Opening a FIFO that nobody has open",
    question: "A FIFO exists, and no process has it open. A program opens it for \
               reading, with no flag but O_RDONLY. When does open(2) return?",
    answers: &[
        wrong(
            "at once; the first read(2) sleeps until something is written",
            "That is how a pipe(2) behaves, whose two ends are made together. The name \
             of a FIFO leads to one end at a time.",
        ),
        right(
            "when a writer opens it too",
            "open(2) is the rendezvous: the kernel lets neither side through before \
             the other has come. The reader slept in open, not in read.",
        ),
        wrong(
            "at once, with ENXIO, since there is no writer",
            "ENXIO exists, but for the other side: a writer that opens with O_NONBLOCK.",
        ),
    ],
    kind: Kind::Kernel,
    run: open_sleeps,
    moral: "A FIFO's open(2) waits for the peer. A program that must not hang there \
            opens with O_NONBLOCK, and meets the rules of the next two experiments.",
    see: "fifo(7)",
    file: file!(),
    shows: &["open-sleeps"],
};

// ANCHOR: open-sleeps
fn open_sleeps(stage: &Stage) -> Result<usize> {
    let path = stage.path("fifo");
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).context("mkfifo")?;
    let reader = stage.fork("reader", |stage| {
        let fifo = open(&path, OFlag::O_RDONLY, Mode::empty());
        stage.call("open(\"fifo\", O_RDONLY)", &fifo);
        Ok(fifo.is_ok())
    })?;
    // It can come to rest in one of two calls; the answer is which.
    let asleep_in = reader.until_asleep_in(&[Sysno::openat, Sysno::read])?;
    stage.event("reader", format!("sleeps in {asleep_in}()"));
    stage.saw("the reader slept in", asleep_in.name());
    let writer = open(&path, OFlag::O_WRONLY, Mode::empty());
    stage.call("open(\"fifo\", O_WRONLY)", &writer);
    let opened = reader.join()?;
    Ok(match (asleep_in, opened) {
        (Sysno::openat, true) => 2,
        (_, true) => 1,
        (_, false) => 3,
    })
}
// ANCHOR_END: open-sleeps

const NO_READER_ENXIO: Experiment = Experiment {
    name: "no-reader-enxio",
    title: "Opening for writing without waiting",
    question: "A FIFO exists, and no process has it open for reading. A program opens \
               it for writing with O_NONBLOCK, so that it need not wait. What does \
               open(2) return?",
    answers: &[
        wrong(
            "a descriptor; write(2) then fails with EAGAIN until there is a reader",
            "That is what one would build. But bytes in a FIFO that nobody has open \
             for reading have no place to be: the kernel refuses the writer instead.",
        ),
        wrong(
            "a descriptor; what is written waits in the FIFO for the reader",
            "A FIFO's name is on the disk, its bytes are not: they live in a buffer \
             that exists while a process has it open.",
        ),
        right(
            "-1, and errno is ENXIO",
            "O_NONBLOCK asks open(2) not to wait for the reader, and a FIFO without \
             one is no use to a writer. ENXIO is how it says: nobody is there.",
        ),
        wrong(
            "-1, and errno is EPIPE",
            "EPIPE is what write(2) says when readers were there and have gone.",
        ),
    ],
    kind: Kind::Kernel,
    run: no_reader_enxio,
    moral: "ENXIO is a question answered, not a failure: it is how a sender finds out \
            whether anybody listens, without waiting.",
    see: "fifo(7), open(2)",
    file: file!(),
    shows: &["no-reader-enxio"],
};

// ANCHOR: no-reader-enxio
fn no_reader_enxio(stage: &Stage) -> Result<usize> {
    let path = stage.path("fifo");
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).context("mkfifo")?;
    let without_waiting = OFlag::O_WRONLY | OFlag::O_NONBLOCK;

    let alone = open(&path, without_waiting, Mode::empty());
    stage.call("open(\"fifo\", O_WRONLY | O_NONBLOCK)", &alone);
    stage.saw("without a reader", alone.as_ref().err().map(|e| e.to_string()));

    // The cure, or the proof: once there is a reader, the same call succeeds.
    let reader = open(&path, OFlag::O_RDONLY | OFlag::O_NONBLOCK, Mode::empty());
    stage.call("open(\"fifo\", O_RDONLY | O_NONBLOCK)", &reader);
    let joined = open(&path, without_waiting, Mode::empty());
    stage.call("open(\"fifo\", O_WRONLY | O_NONBLOCK)", &joined);
    stage.saw("with a reader", joined.is_ok());

    match alone {
        Err(Errno::ENXIO) => Ok(3),
        Err(Errno::EPIPE) => Ok(4),
        Err(error) => bail!("open: {error}"),
        Ok(fifo) => match write(&fifo, b"?") {
            Err(Errno::EAGAIN) => Ok(1),
            _ => Ok(2),
        },
    }
}
// ANCHOR_END: no-reader-enxio

const EMPTY_OR_ENDED: Experiment = Experiment {
    name: "empty-or-ended",
    title: "Nothing to read: empty, or ended?",
    question: "A program reads a FIFO with O_NONBLOCK. Nothing is in it. You may have \
               read that it cannot tell a FIFO that is empty from one whose writers \
               have all gone. What does read(2) return in the two cases?",
    answers: &[
        wrong(
            "0 in both: they cannot be told apart",
            "Some System V kernels had a flag, O_NDELAY, under which both were 0, and \
             texts of that time live on. POSIX settled it with O_NONBLOCK.",
        ),
        wrong(
            "-1 and EAGAIN in both",
            "EAGAIN means: something may still come. Without a writer nothing can.",
        ),
        right(
            "-1 and EAGAIN while a writer has it open, 0 when none is left",
            "0 is the end of the file: no process has it open for writing. EAGAIN is \
             an empty buffer with a writer. They have different causes and different \
             values.",
        ),
    ],
    kind: Kind::Kernel,
    run: empty_or_ended,
    moral: "0 is the end of a stream, EAGAIN is \"not yet\". A FIFO that never had a \
            writer also reads 0: poll(2) tells these two apart, by POLLHUP.",
    see: "fifo(7), read(2), poll(2)",
    file: file!(),
    shows: &["empty-or-ended"],
};

// ANCHOR: empty-or-ended
fn empty_or_ended(stage: &Stage) -> Result<usize> {
    let path = stage.path("fifo");
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).context("mkfifo")?;
    let mut without_waiting = File::options();
    without_waiting.custom_flags(libc::O_NONBLOCK);
    let reader = without_waiting.read(true).open(&path).context("open")?;
    let writer = File::options().write(true).open(&path).context("open")?;

    let mut byte = [0; 1];
    let empty = read(&reader, &mut byte);
    stage.call("read() while a writer has it open", &empty);
    drop(writer);
    let ended = read(&reader, &mut byte);
    stage.call("read() when the last writer has closed", &ended);
    stage.saw("empty", empty.err().map(|e| e.to_string()));
    stage.saw("ended", ended.ok());
    Ok(match (empty, ended) {
        (Ok(0), Ok(0)) => 1,
        (Err(Errno::EAGAIN), Err(Errno::EAGAIN)) => 2,
        (Err(Errno::EAGAIN), Ok(0)) => 3,
        other => bail!("read: {other:?}"),
    })
}
// ANCHOR_END: empty-or-ended
