//! A pipe carries bytes, not messages.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;
use nix::unistd::{pipe, read, write};
use syscalls::Sysno;

use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use wire::transfer::write_all;

pub(super) const SHORT_READS: Experiment = Experiment {
    name: "short-reads",
    title: "Three writes, and a reader in no hurry",
    level: Level::First,
    question: "A writer makes three calls of write(2) on a pipe: `one`, `two`, `three`. Then \
               the reader makes its first call, read(2) with room for 100 bytes. What does \
               it get?",
    answers: &[
        wrong(
            "`one`, the first of the writes",
            "A pipe keeps no boundaries between writes, unless it was made with \
             O_DIRECT.",
        ),
        wrong(
            "nothing, until 100 bytes have come",
            "read returns as soon as there is anything at all. A full buffer is never \
             promised: that is what a short read is.",
        ),
        right(
            "`onetwothree`, all that is there",
            "The bytes are in the pipe one after the other, and read takes what is \
             there. That there were three writes cannot be seen any more.",
        ),
    ],
    kind: Kind::Kernel,
    run: short_reads,
    moral: "If you want messages on a stream, mark them: by a newline, or a length in \
            front. If you want 100 bytes, call read in a loop.",
    see: "read(2), pipe(7)",
    file: file!(),
    shows: &["short-reads"],
};

// ANCHOR: short-reads
fn short_reads(stage: &Stage) -> Result<usize> {
    let (reading, writing) = pipe().context("pipe")?;
    for word in ["one", "two", "three"] {
        stage.call(format!("write({word:?})"), &write(&writing, word.as_bytes()));
    }
    let mut room = [0; 100];
    let n = read(&reading, &mut room);
    stage.call("read(100 bytes)", &n);
    let got = String::from_utf8_lossy(&room[..n?]).into_owned();
    stage.saw("got", got.as_str());
    match got.as_str() {
        "one" => Ok(1),
        "onetwothree" => Ok(3),
        other => bail!("read {other:?}"),
    }
}
// ANCHOR_END: short-reads

pub(super) const ATOMIC_WRITES: Experiment = Experiment {
    name: "atomic-writes",
    title: "Two writers at once",
    level: Level::Later,
    question: "You may have read that Linux never mixes the bytes of two writes to a \
               pipe if they have at most 4096 bytes, PIPE_BUF. Two processes write \
               40,960 bytes each, by one write(2) each, at the same time, while the pipe \
               is full. How do the bytes come out?",
    answers: &[
        right(
            "pieces of each, in turns",
            "The sentence is true, and true only up to PIPE_BUF: such a write waits \
             until all of it fits. A longer one is written as room comes, and the other \
             writer gets its share of that room.",
        ),
        wrong(
            "one whole, then the other",
            "Not even a regular file promises this to a reader: two writes do not mix on \
             ext4 or tmpfs, but a read can see half of one. For a pipe POSIX promises it \
             up to PIPE_BUF.",
        ),
        wrong(
            "one whole, then what still fits",
            "A write that may wait returns when all of its bytes are in the pipe. \
             Nothing is cut off; with O_NONBLOCK it could be.",
        ),
    ],
    kind: Kind::Kernel,
    run: atomic_writes,
    moral: "Several writers may share a pipe for log lines, as long as no line is longer \
            than PIPE_BUF, 4096 bytes, and each is one write.",
    see: "pipe(7), write(2)",
    file: file!(),
    shows: &["atomic-writes"],
};

// ANCHOR: atomic-writes
/// How often the writer changes from one byte of the stream to the next, when two write
/// `size` bytes each at the same time. One message after the other: once.
fn changes(stage: &Stage, size: usize) -> Result<usize> {
    let (reading, writing) = pipe().context("pipe")?;
    let capacity =
        fcntl(&writing, FcntlArg::F_GETPIPE_SZ).context("fcntl")? as usize;
    write_all(&writing, &vec![b'.'; capacity]).context("fill the pipe")?;
    let mut writers = Vec::new();
    for (name, letter) in [("A", b'a'), ("B", b'b')] {
        let writer =
            stage.fork(name, |_| Ok(write(&writing, &vec![letter; size])?))?;
        writer.until_asleep_in(&[Sysno::write])?;
        writers.push(writer);
    }
    // Both sleep in write(). The reader makes room for a page, and waits until they sleep
    // again, or have ended: so neither can finish while the other is kept waiting.
    let mut letters = vec![0; capacity + 2 * size];
    let mut filled = 0;
    while filled < letters.len() {
        let room = filled.saturating_add(4096).min(letters.len());
        filled += read(&reading, &mut letters[filled..room]).context("read")?;
        for writer in &writers {
            let _ended = writer.until_asleep_in(&[Sysno::write]).is_err();
        }
    }
    for writer in writers {
        writer.join()?;
    }
    let letters = &letters[capacity..];
    Ok(letters.windows(2).filter(|pair| pair[0] != pair[1]).count())
}

fn atomic_writes(stage: &Stage) -> Result<usize> {
    let within = changes(stage, 4096)?;
    stage.event("both", "wrote 4096 bytes with one write() each");
    stage.saw("changes of writer at 4096 bytes", within);
    let beyond = changes(stage, 40_960)?;
    stage.event("both", "wrote 40,960 bytes with one write() each");
    stage.saw("changes of writer at 40,960 bytes", beyond);
    Ok(match (within, beyond) {
        (1, 1) => 2,
        (1, _) => 1,
        (within, _) => bail!("at 4096 bytes the writer changes {within} times"),
    })
}
// ANCHOR_END: atomic-writes

pub(super) const BOTH_FULL: Experiment = Experiment {
    name: "both-full",
    title: "Two pipes, and both sides write first",
    level: Level::First,
    question: "Two processes talk through two pipes, one for each direction. Each has a \
               megabyte for the other, writes all of it, and then reads. What happens to \
               their write(2)?",
    answers: &[
        wrong(
            "each write returns when the pipe has it",
            "A pipe holds 65,536 bytes by default. Beyond that write waits for a reader, \
             and each of the two would be the other's.",
        ),
        right(
            "each write sleeps and never returns",
            "Each waits until the other reads, and the other will, once it has written. \
             Neither comes to its read.",
        ),
        wrong(
            "each write fails with EAGAIN",
            "That is true with O_NONBLOCK. Then the program can do something better than \
             wait: read meanwhile.",
        ),
    ],
    kind: Kind::Kernel,
    run: both_full,
    moral: "A program that writes much to a peer which answers must read at the same \
            time: with poll(2) and O_NONBLOCK, or a second process. Small messages hide \
            this mistake for years.",
    see: "pipe(7), poll(2)",
    file: file!(),
    shows: &["both-full"],
};

// ANCHOR: both-full
/// Writes a megabyte, then reads one: both sides do.
fn write_then_read(writing: &OwnedFd, reading: &OwnedFd) -> Result<()> {
    write_all(writing, &vec![b'x'; 1 << 20])?;
    let mut left = 1 << 20;
    while left > 0 {
        left -= read(reading, &mut [0; 65_536])?;
    }
    Ok(())
}

fn both_full(stage: &Stage) -> Result<usize> {
    let (b_reads, a_writes) = pipe().context("pipe")?;
    let (a_reads, b_writes) = pipe().context("pipe")?;
    let a = stage.fork("A", |_| write_then_read(&a_writes, &a_reads))?;
    let b = stage.fork("B", |_| write_then_read(&b_writes, &b_reads))?;
    let asleep = [
        ("A", a.until_asleep_in(&[Sysno::write])),
        ("B", b.until_asleep_in(&[Sysno::write])),
    ];
    // Asleep, and the pipe that it writes is full: no process will ever read it.
    let mut stuck = 0;
    for ((who, asleep), writing) in asleep.iter().zip([&a_writes, &b_writes]) {
        let before = fcntl(writing, FcntlArg::F_GETFL).context("fcntl")?;
        let flags = OFlag::from_bits_retain(before) | OFlag::O_NONBLOCK;
        fcntl(writing, FcntlArg::F_SETFL(flags)).context("fcntl")?;
        let more = write(writing, b"?");
        stage.event(who, "sleeps in write()");
        stage.call("one byte more, with O_NONBLOCK", &more);
        stuck += usize::from(asleep.is_ok() && more == Err(Errno::EAGAIN));
    }
    stage.saw("stuck in write", stuck);
    a.kill(Signal::SIGKILL)?;
    b.kill(Signal::SIGKILL)?;
    Ok(if stuck == 2 { 2 } else { 1 })
}
// ANCHOR_END: both-full
