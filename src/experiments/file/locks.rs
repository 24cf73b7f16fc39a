//! Three kinds of locks on a file, and what really holds them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, Flock, FlockArg, fcntl};
use nix::sys::signal::Signal;
use rustix::fs::FlockOperation;
use syscalls::Sysno;

use crate::child::Child;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::{Gate, Stage};
use wire::meet::byte;

pub(super) const CLOSE_DROPS_LOCK: Experiment = Experiment {
    name: "close-drops-lock",
    title: "A lock, and a library that reads the same file",
    level: Level::Later,
    question: "With F_SETLK, fcntl(2) locks bytes of a file. A program holds such a \
               lock, and calls a library that opens the same file, reads a byte, and \
               closes its own descriptor. Later the program closes the descriptor with \
               the lock. At which close(2) is the file unlocked?",
    answers: &[
        right(
            "at the library's close",
            "POSIX says this. At every close, by whatever descriptor, the kernel removes \
             all the locks that this process has on this file.",
        ),
        wrong(
            "at the program's own close",
            "That would be sensible, and flock(2) and OFD locks do it. A traditional \
             lock belongs to the process and the file, and knows no descriptor.",
        ),
        wrong(
            "at whichever of the two is last",
            "That is how an open file ends. A traditional lock does not count \
             descriptors: the first close of any is enough, even of one that was open \
             only for reading.",
        ),
    ],
    kind: Kind::Kernel,
    run: close_drops_lock,
    moral: "Where a library might open the same file (the locked database itself, \
            /etc/passwd), use open file description locks: F_OFD_SETLK, or flock(2).",
    see: "fcntl(2), flock(2)",
    file: file!(),
    shows: &["close-drops-lock"],
};

// ANCHOR: close-drops-lock
/// What a library may do at any time: nothing here looks like unlocking.
fn innocent_library(path: &Path) -> Result<()> {
    let mut byte = [0];
    File::open(path)?.read_exact(&mut byte)?;
    Ok(())
}

fn close_drops_lock(stage: &Stage) -> Result<usize> {
    let path = stage.path("data");
    std::fs::write(&path, "x").context("write")?;
    let mut kept = Vec::new();
    for kind in ["fcntl", "OFD", "flock"] {
        let file = File::options().read(true).write(true).open(&path)?;
        let lock = byte(libc::F_WRLCK, 0);
        let mut _held = None;
        match kind {
            "fcntl" => drop(fcntl(&file, FcntlArg::F_SETLK(&lock))?),
            "OFD" => drop(fcntl(&file, FcntlArg::F_OFD_SETLK(&lock))?),
            _ => {
                let locked = Flock::lock(file.try_clone()?, FlockArg::LockExclusive);
                _held = Some(locked.map_err(|(_, error)| error)?);
            }
        }
        innocent_library(&path)?;
        // Another process tries to take the lock, without waiting for it.
        let other = stage.fork("other", |stage| {
            let file = File::options().read(true).write(true).open(&path)?;
            let taken = match kind {
                "flock" => Flock::lock(file, FlockArg::LockExclusiveNonblock)
                    .map(drop)
                    .map_err(|(_, error)| error),
                "OFD" => fcntl(&file, FcntlArg::F_OFD_SETLK(&lock)).map(drop),
                _ => fcntl(&file, FcntlArg::F_SETLK(&lock)).map(drop),
            };
            stage.call(format!("the same lock, by {kind}"), &taken);
            Ok(taken.is_err())
        })?;
        let still_locked = other.join()?;
        stage.saw(&format!("still locked, {kind}"), still_locked);
        kept.push(still_locked);
    }
    Ok(if kept[0] { 2 } else { 1 })
}
// ANCHOR_END: close-drops-lock

pub(super) const LOCK_AND_FORK: Experiment = Experiment {
    name: "lock-and-fork",
    title: "A locked file, and a fork",
    level: Level::Later,
    question: "A process holds two locks, one by flock(2) on one file, one by fcntl(2) \
               on another. It forks. The child unlocks both, with LOCK_UN and F_UNLCK. \
               Which of the parent's locks are still held?",
    answers: &[
        right(
            "the fcntl lock, not the flock lock",
            "flock(2) locks the open file, of which the child has a duplicate: its \
             LOCK_UN unlocked the parent's. fcntl(2) locks for the process, and the \
             child has no lock to give back.",
        ),
        wrong(
            "the flock lock and the fcntl lock",
            "A flock lock belongs to no process. It belongs to the open file, which \
             parent and child share, and either may unlock it.",
        ),
        wrong(
            "neither the flock nor the fcntl lock",
            "The child has inherited descriptors. A traditional fcntl lock is not \
             inherited by a child.",
        ),
    ],
    kind: Kind::Kernel,
    run: lock_and_fork,
    moral: "A flock lock is shared by fork and dup, and passed on to what you exec. A fcntl \
            lock is yours alone, and goes when you close any descriptor of the file.",
    see: "flock(2), fcntl(2)",
    file: file!(),
    shows: &["lock-and-fork"],
};

// ANCHOR: lock-and-fork
fn lock_and_fork(stage: &Stage) -> Result<usize> {
    let make = |name: &str| File::create_new(stage.path(name)).context("open");
    let (by_flock, by_fcntl) = (make("flock")?, make("fcntl")?);
    rustix::fs::flock(&by_flock, FlockOperation::LockExclusive).context("flock")?;
    fcntl(&by_fcntl, FcntlArg::F_SETLK(&byte(libc::F_WRLCK, 0))).context("fcntl")?;
    let child = stage.fork("child", |stage| {
        let unlocked = rustix::fs::flock(&by_flock, FlockOperation::Unlock);
        stage.call("flock(LOCK_UN)", &unlocked);
        let unlocked = fcntl(&by_fcntl, FcntlArg::F_SETLK(&byte(libc::F_UNLCK, 0)));
        stage.call("fcntl(F_SETLK, F_UNLCK)", &unlocked);
        Ok(())
    })?;
    child.join()?;
    let other = stage.fork("other", |stage| {
        let file = File::open(stage.path("flock"))?;
        let flock =
            rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
        stage.call("flock(LOCK_EX | LOCK_NB)", &flock);
        let file = File::options().write(true).open(stage.path("fcntl"))?;
        let lock = fcntl(&file, FcntlArg::F_SETLK(&byte(libc::F_WRLCK, 0)));
        stage.call("fcntl(F_SETLK, F_WRLCK)", &lock);
        Ok((flock.is_err(), lock.is_err()))
    })?;
    let (flock_held, fcntl_held) = other.join()?;
    stage.saw("flock's lock is held", flock_held);
    stage.saw("fcntl's lock is held", fcntl_held);
    Ok(match (flock_held, fcntl_held) {
        (true, true) => 2,
        (false, true) => 1,
        _ => 3,
    })
}
// ANCHOR_END: lock-and-fork

pub(super) const DEADLOCK: Experiment = Experiment {
    name: "deadlock",
    title: "Two locks, taken in opposite order",
    level: Level::Later,
    question: "A holds a lock on byte 0 of a file and wants byte 1. B holds byte 1 and wants \
               byte 0. Both ask with fcntl(2) F_SETLKW, which waits. What happens?",
    answers: &[
        wrong(
            "both wait for ever",
            "That is true of mutexes, of flock(2) and of OFD locks. For the traditional \
             locks the kernel keeps track of which process waits for which.",
        ),
        wrong(
            "both get EDEADLK at once",
            "To wait is not yet a mistake. The second call closes the circle, and only \
             that one is refused.",
        ),
        right(
            "one gets EDEADLK, the other waits",
            "The kernel looks for a circle before it lets a process wait for a lock, and \
             refuses the call that would close it.",
        ),
    ],
    kind: Kind::Kernel,
    run: deadlock,
    moral: "Only traditional fcntl locks have EDEADLK: with OFD locks, with flock and \
            with two FIFOs (`fifo/wrong-order`) both sides hang. Take locks in one \
            order, and it never comes to that.",
    see: "fcntl(2)",
    file: file!(),
    shows: &["deadlock"],
};

// ANCHOR: deadlock
/// Locks byte `first`, waits until the other has its byte too, then wants `second`.
fn take_two(
    stage: &Stage,
    (first, second): (i64, i64),
    (mine, both): (&Gate, &Gate),
    ofd: bool,
) -> Result<i32> {
    let file = File::options().write(true).open(stage.path("data"))?;
    let (have, want) = (byte(libc::F_WRLCK, first), byte(libc::F_WRLCK, second));
    let locked = match ofd {
        true => fcntl(&file, FcntlArg::F_OFD_SETLK(&have)),
        false => fcntl(&file, FcntlArg::F_SETLK(&have)),
    };
    locked.context("fcntl")?;
    mine.open(1)?;
    both.pass()?;
    let (command, wanted) = match ofd {
        true => ("F_OFD_SETLKW", fcntl(&file, FcntlArg::F_OFD_SETLKW(&want))),
        false => ("F_SETLKW", fcntl(&file, FcntlArg::F_SETLKW(&want))),
    };
    stage.call(format!("fcntl({command}, byte {second})"), &wanted);
    Ok(wanted.err().map_or(0, |error| error as i32))
}

/// Two processes in a circle: both are held at the gates until each has its first lock.
fn circle(stage: &Stage, ofd: bool) -> Result<(Child<i32>, Child<i32>)> {
    let (has_first, both) = (stage.gate()?, stage.gate()?);
    let gates = (&has_first, &both);
    let a = stage.fork("A", |stage| take_two(stage, (0, 1), gates, ofd))?;
    let b = stage.fork("B", |stage| take_two(stage, (1, 0), gates, ofd))?;
    has_first.pass()?;
    has_first.pass()?;
    both.open(2)?;
    Ok((a, b))
}

fn deadlock(stage: &Stage) -> Result<usize> {
    File::create_new(stage.path("data")).context("open")?;
    let (a, b) = circle(stage, false)?;
    let errors = [a.join()?, b.join()?];
    let refused = errors.iter().filter(|e| **e == Errno::EDEADLK as i32).count();
    stage.saw("refused with EDEADLK", refused);
    let (a, b) = circle(stage, true)?;
    let mut asleep = 0;
    for (who, child) in [("A", &a), ("B", &b)] {
        asleep += usize::from(child.until_asleep_in(&[Sysno::fcntl]).is_ok());
        stage.event(who, "with OFD locks: sleeps in fcntl()");
    }
    stage.event("main", "ends A, and then B");
    for child in [a, b] {
        child.kill(Signal::SIGKILL)?;
        child.end()?;
    }
    stage.saw("asleep for ever with OFD locks", asleep);
    Ok(match refused {
        0 => 1,
        1 => 3,
        _ => 2,
    })
}
// ANCHOR_END: deadlock
