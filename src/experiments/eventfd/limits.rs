//! How much goes in, and calls that do not sleep.

use std::io::IoSliceMut;
use std::os::fd::AsFd;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EfdFlags;
use nix::sys::signal::Signal;
use nix::unistd::{pipe2, write};
use rustix::io::{ReadWriteFlags, preadv2};
use syscalls::Sysno;

use super::{counter, left, sleeps};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;

/// The most that the counter holds.
const MOST: u64 = u64::MAX - 1;

pub(super) const NEVER_FULL: Experiment = Experiment {
    name: "never-full",
    title: "A hundred thousand wake-ups, and no reader",
    level: Level::Later,
    question: "A handler of signals wakes a loop by a write of one byte into a pipe, with \
               O_NONBLOCK; another wakes its loop by a write of 1 to an eventfd. The \
               loops are stuck, and 100,000 signals come to each. Whose writes all \
               succeed?",
    answers: &[
        wrong(
            "those into both of them",
            "A pipe holds 65,536 bytes, unless it was made larger. The next write fails \
             with EAGAIN; without O_NONBLOCK the handler would sleep.",
        ),
        wrong(
            "those into the pipe alone",
            "A pipe keeps every byte, and so it becomes full.",
        ),
        right(
            "those to the eventfd alone",
            "A hundred thousand writes are one number, which takes 8 bytes, as one write \
             does. It would be full after 2^64 - 2 of them.",
        ),
    ],
    kind: Kind::Kernel,
    run: never_full,
    moral: "An eventfd replaces the pipe of a self-pipe: one descriptor for two, and never full. \
            A pipe that is full does no harm there either, if its write does not sleep: the loop \
            is woken all the same.",
    see: "eventfd(2), pipe(7), signal-safety(7)",
    file: file!(),
    shows: &["never-full"],
};

// ANCHOR: never-full
fn never_full(stage: &Stage) -> Result<usize> {
    const WRITES: u64 = 100_000;
    let event = counter(EfdFlags::EFD_NONBLOCK)?;
    let (_reading, writing) =
        pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).context("pipe")?;
    let into_pipe = (0..WRITES).filter(|_| write(&writing, b"x").is_ok()).count();
    let failed = write(&writing, b"x");
    stage.call("write(pipe, \"x\", 1), a hundred thousand times; the last", &failed);
    let to_event = (0..WRITES).filter(|_| event.write(1).is_ok()).count();
    let number = left(&event)?;
    stage.event("main", "write(eventfd, 1), a hundred thousand times");
    stage.call("read(eventfd), the number", &number);
    let (all_in_pipe, all) = (into_pipe as u64 == WRITES, to_event as u64 == WRITES);
    stage.saw("the pipe took all", all_in_pipe);
    stage.saw("the eventfd took", to_event);
    stage.saw("in the counter", number);
    match (all_in_pipe, all) {
        (true, true) => Ok(1),
        (true, false) => Ok(2),
        (false, true) => Ok(3),
        (false, false) => bail!("neither"),
    }
}
// ANCHOR_END: never-full

pub(super) const DOES_NOT_FIT: Experiment = Experiment {
    name: "does-not-fit",
    title: "More than the counter holds",
    level: Level::Deep,
    question: "The counter of an eventfd is 2^64 - 2, the most that it holds. A process \
               writes 1. The eventfd was made without EFD_NONBLOCK. What does the \
               write do?",
    answers: &[
        wrong(
            "it wraps the counter round to 0",
            "Then so many notifications would be lost. The kernel never lets a write \
             overflow it.",
        ),
        right(
            "it sleeps until there is a read",
            "As a write into a full pipe does. When the counter is read the write goes on, \
             and adds its 1 to 0.",
        ),
        wrong(
            "it fails by ERANGE, as semop does",
            "semop(2) does so at SEMVMX, 32,767. ERANGE is no error of an eventfd.",
        ),
    ],
    kind: Kind::Kernel,
    run: does_not_fit,
    moral: "A write of 1 never sleeps in practice: it takes 2^64 of them. A program that writes \
            large numbers, or the first one of 2^64 - 2, must expect it.",
    see: "eventfd(2), semop(2)",
    file: file!(),
    shows: &["does-not-fit"],
};

// ANCHOR: does-not-fit
fn does_not_fit(stage: &Stage) -> Result<usize> {
    let event = counter(EfdFlags::empty())?;
    stage.call("write(2^64 - 2)", &event.write(MOST));
    let end = stage.gate()?;
    let notifier = stage.fork("notifier", |stage| {
        let added = event.write(1);
        end.pass()?; // so that the report has its cause first
        stage.call("write(1)", &added);
        Ok(added.err().map(|error| error as i32))
    })?;
    let asleep = notifier.until_asleep_in(&[Sysno::write, Sysno::readv])?;
    let slept = asleep == Sysno::write;
    if slept {
        stage.event("notifier", "sleeps in write(1)");
    }
    let first = event.read();
    stage.call("read(), the number", &first);
    end.open(1)?;
    let error = notifier.join()?;
    let second = event.read();
    stage.call("read(), the number", &second);
    stage.saw("the write slept", slept);
    stage.saw("then it added", second.ok());
    match (slept, error, first) {
        (true, None, Ok(MOST)) => Ok(2),
        (false, None, Ok(0)) => Ok(1),
        (false, Some(libc::ERANGE), _) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: does-not-fit

pub(super) const ONE_TOO_MANY: Experiment = Experiment {
    name: "one-too-many",
    title: "All bits set",
    level: Level::Deep,
    question: "The counter of an eventfd is 0. A program in C writes -1 to it, as a \
               uint64_t: that is 2^64 - 1, one more than the most that it holds. What \
               does the write do?",
    answers: &[
        wrong(
            "it takes 1 off it",
            "write(2) only adds, and the counter is never below 0. What takes is a read.",
        ),
        right(
            "it fails with EINVAL",
            "This number would never fit, however long the write slept. So it is refused, \
             at once and always.",
        ),
        wrong(
            "it sleeps for a read",
            "So it is with a number that would fit later. This one never would.",
        ),
    ],
    kind: Kind::Kernel,
    run: one_too_many,
    moral: "2^64 - 1 is no number for an eventfd: the kernel keeps it for an overflow by its own \
            AIO, after which poll(2) reports POLLERR.",
    see: "eventfd(2)",
    file: file!(),
    shows: &["one-too-many"],
};

// ANCHOR: one-too-many
fn one_too_many(stage: &Stage) -> Result<usize> {
    let event = counter(EfdFlags::empty())?;
    let end = stage.gate()?;
    let notifier = stage.fork("notifier", |stage| {
        let added = event.write(u64::MAX);
        stage.call("write(2^64 - 1)", &added);
        end.pass()?;
        Ok(added.err().map(|error| error as i32))
    })?;
    if notifier.until_asleep_in(&[Sysno::write, Sysno::readv])? == Sysno::write {
        notifier.kill(Signal::SIGKILL)?;
        notifier.end()?;
        return Ok(3);
    }
    end.open(1)?;
    let error = notifier.join()?.map(Errno::from_raw);
    stage.saw("the write", error.map(|error| error.to_string()));
    match error {
        None => Ok(1),
        Some(Errno::EINVAL) => Ok(2),
        Some(other) => bail!(other),
    }
}
// ANCHOR_END: one-too-many

pub(super) const ROOM_FOR_ONE: Experiment = Experiment {
    name: "room-for-one",
    title: "poll says POLLOUT",
    level: Level::Deep,
    question: "The counter of an eventfd, made with EFD_NONBLOCK, is 4 below the most that \
               it holds. A program wants to write 9. It asks poll(2) for POLLOUT, and \
               then calls write(2). What does it see?",
    answers: &[
        wrong(
            "no event, and then EAGAIN",
            "poll does not know that it is 9 which the program wants to write.",
        ),
        right(
            "POLLOUT, and then EAGAIN",
            "POLLOUT says that a write of 1 would not sleep. For 9 there is no room, so \
             the write fails, and the next poll reports POLLOUT again: a loop that spins.",
        ),
        wrong(
            "POLLOUT, and 4 are added",
            "A pipe takes a part of what is written. An eventfd takes the whole number or \
             none.",
        ),
    ],
    kind: Kind::Kernel,
    run: room_for_one,
    moral: "A write that must not sleep and is more than 1 cannot wait in poll(2). Write 1s, or \
            let the write sleep.",
    see: "eventfd(2), poll(2)",
    file: file!(),
    shows: &["room-for-one"],
};

// ANCHOR: room-for-one
fn room_for_one(stage: &Stage) -> Result<usize> {
    let event = counter(EfdFlags::EFD_NONBLOCK)?;
    stage.call("write(2^64 - 6)", &event.write(MOST - 4));
    let mut fds = [PollFd::new(event.as_fd(), PollFlags::POLLOUT)];
    poll(&mut fds, PollTimeout::ZERO).context("poll")?;
    let events = fds[0].revents().unwrap_or(PollFlags::empty());
    stage.call("poll(eventfd), events", &events);
    let added = event.write(9);
    stage.call("write(9)", &added);
    let number = left(&event)?;
    stage.saw("POLLOUT", events == PollFlags::POLLOUT);
    stage.saw("write(9)", added.err().map(|error| error.to_string()));
    stage.saw("nothing was added", number == MOST - 4);
    match (events == PollFlags::POLLOUT, added) {
        (false, Err(Errno::EAGAIN)) => Ok(1),
        (true, Err(Errno::EAGAIN)) => Ok(2),
        (true, Ok(_)) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: room-for-one

pub(super) const ADDS_ZERO: Experiment = Experiment {
    name: "adds-zero",
    title: "A write of 0",
    level: Level::Deep,
    question: "A process sleeps in read(2) on an eventfd, whose counter is 0. Another one \
               writes the number 0 to it. The write returns 8. What does the reader \
               do?",
    answers: &[
        wrong(
            "it reads 0, and returns",
            "read never returns 0 in those 8 bytes: it returns once there is something to \
             take.",
        ),
        wrong(
            "it fails, with EAGAIN",
            "EAGAIN is for O_NONBLOCK. This reader sleeps, and goes on sleeping.",
        ),
        right(
            "it sleeps, as before",
            "The sum is still 0, so there is nothing to take. The write is allowed, and \
             tells nobody.",
        ),
    ],
    kind: Kind::Kernel,
    run: adds_zero,
    moral: "To wake, add at least 1. A program that writes \"how many jobs there are\" wakes \
            nobody when there are none.",
    see: "eventfd(2)",
    file: file!(),
    shows: &["adds-zero"],
};

// ANCHOR: adds-zero
fn adds_zero(stage: &Stage) -> Result<usize> {
    let event = counter(EfdFlags::empty())?;
    let end = stage.gate()?;
    let reader = stage.fork("reader", |stage| {
        let number = event.read();
        stage.call("read(), the number", &number);
        end.pass()?;
        Ok(number.ok())
    })?;
    reader.until_asleep_in(&[Sysno::read])?;
    stage.event("reader", "sleeps in read()");
    stage.call("write(0)", &event.write(0));
    let slept = sleeps(&reader)?;
    stage.saw("it sleeps on", slept);
    if slept {
        stage.event("reader", "still sleeps");
        reader.kill(Signal::SIGKILL)?;
        reader.end()?;
        return Ok(3);
    }
    end.open(1)?;
    Ok(if reader.join()?.is_some() { 1 } else { 2 })
}
// ANCHOR_END: adds-zero

pub(super) const NOWAIT: Experiment = Experiment {
    name: "nowait",
    title: "One read that must not sleep",
    level: Level::Deep,
    question: "recv(2) has MSG_DONTWAIT: this one call does not sleep. read(2) has no \
               flags. An eventfd was made without EFD_NONBLOCK, and its counter is 0. A \
               program calls preadv2(2) on it, with the offset -1 and RWF_NOWAIT. What \
               happens?",
    answers: &[
        wrong(
            "it fails with EOPNOTSUPP",
            "The flag began with files, whose data may not be in memory yet. Pipes, \
             sockets and eventfds have learnt it since, an eventfd in Linux 5.8.",
        ),
        right(
            "it fails with an EAGAIN",
            "The call looks and returns. O_NONBLOCK, which all who have the eventfd would \
             share, is not set: another process's read sleeps as before.",
        ),
        wrong(
            "it sleeps until a write",
            "It would sleep without the flag. A kernel that did not know it would say \
             so.",
        ),
    ],
    kind: Kind::Kernel,
    run: nowait,
    moral: "RWF_NOWAIT is MSG_DONTWAIT for read(2). The role `eventfd waiter` reads so: a \
            notifier that takes the number away cannot make it sleep.",
    see: "preadv2(2), eventfd(2), recv(2)",
    file: file!(),
    shows: &["nowait"],
};

// ANCHOR: nowait
fn nowait(stage: &Stage) -> Result<usize> {
    let event = counter(EfdFlags::empty())?;
    let end = stage.gate()?;
    let reader = stage.fork("reader", |stage| {
        let mut number = [0; 8];
        let mut room = [IoSliceMut::new(&mut number)];
        let got = preadv2(&event, &mut room, u64::MAX, ReadWriteFlags::NOWAIT);
        stage.call("preadv2(eventfd, 8 bytes, -1, RWF_NOWAIT)", &got);
        end.pass()?;
        Ok(got.err().map(|error| error.raw_os_error()))
    })?;
    if reader.until_asleep_in(&[Sysno::preadv2, Sysno::readv])? == Sysno::preadv2 {
        reader.kill(Signal::SIGKILL)?;
        reader.end()?;
        return Ok(3);
    }
    end.open(1)?;
    let error = reader.join()?.map(Errno::from_raw);
    stage.saw("preadv2", error.map(|error| error.to_string()));
    match error {
        Some(Errno::EOPNOTSUPP) => Ok(1),
        Some(Errno::EAGAIN) => Ok(2),
        other => bail!("preadv2: {other:?}"),
    }
}
// ANCHOR_END: nowait
