//! Reader-writer locks and barriers.

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use syscalls::Sysno;

use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::semaphore::sleeps;
use crate::stage::Stage;
use os::mutex::{Barrier, ReaderWriterLock, page};

pub(super) const READER_DIES: Experiment = Experiment {
    name: "reader-dies",
    title: "A reader-writer lock, and a reader that is killed",
    level: Level::Later,
    question: "A reader-writer lock lies in shared memory, with PTHREAD_PROCESS_SHARED. A reader \
               has it, which changes nothing, and is killed by SIGKILL. Then another process \
               calls pthread_rwlock_wrlock(3). What does the call do?",
    answers: &[
        wrong(
            "it gets the lock, since a reader leaves no mess",
            "The lock counts readers in its bytes, and the dead one is counted. That it changed \
             nothing helps nobody.",
        ),
        wrong(
            "it gets EOWNERDEAD, for the reader that died",
            "There are no robust reader-writer locks. The kernel's list is for mutexes alone: a \
             mutex has one owner, this lock can have many.",
        ),
        right(
            "it sleeps for ever, behind a reader that is gone",
            "One reader is counted, and nobody will count it down. New readers get the lock; \
             no writer ever does.",
        ),
    ],
    kind: Kind::Kernel,
    run: reader_dies,
    moral: "Between processes that may be killed, a robust mutex is better than a reader-writer \
            lock; or a lock on a file, flock(2) with LOCK_SH, which the kernel gives back.",
    see: "pthread_rwlock_wrlock(3posix), flock(2)",
    file: file!(),
    shows: &["reader-dies"],
};

// ANCHOR: reader-dies
fn reader_dies(stage: &Stage) -> Result<usize> {
    let memory = page().context("mmap")?;
    let lock =
        ReaderWriterLock::init_at(memory, 0).context("pthread_rwlock_init")?;
    let has_it = stage.gate()?;
    let reader = stage.fork("reader", |stage| {
        stage.call("pthread_rwlock_rdlock(lock)", &lock.read());
        has_it.open(1)?;
        stage.gate()?.pass()
    })?;
    has_it.pass()?;
    reader.kill(Signal::SIGKILL)?;
    reader.end()?;
    stage.event("reader", "killed by SIGKILL, while it has the lock");
    let writer = stage.fork("writer", |stage| {
        let locked = lock.write();
        stage.call("pthread_rwlock_wrlock(lock)", &locked);
        stage.gate()?.pass()?;
        Ok(())
    })?;
    let asleep = sleeps(&writer)?;
    if asleep {
        stage.event("writer", "sleeps in pthread_rwlock_wrlock(lock)");
    }
    stage.saw("the writer sleeps", asleep);
    Ok(if asleep { 3 } else { 1 })
}
// ANCHOR_END: reader-dies

pub(super) const READER_BESIDE_WRITER: Experiment = Experiment {
    name: "reader-beside-writer",
    title: "A reader, a writer that waits, and one more reader",
    level: Level::Deep,
    question: "A reader has a reader-writer lock of default attributes. A writer comes, and \
               sleeps in pthread_rwlock_wrlock(3). Then a second reader calls \
               pthread_rwlock_rdlock(3). What does the GNU C library do with it?",
    answers: &[
        right(
            "it gets the lock, and the writer waits on",
            "The default prefers readers. As long as one comes before the last has left, no \
             writer gets the lock: it starves.",
        ),
        wrong(
            "it sleeps, until the writer has been there",
            "So it is with PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP of \
             pthread_rwlockattr_setkind_np(3), and in some other C libraries.",
        ),
        wrong(
            "it fails with EBUSY, for the writer is first",
            "EBUSY is what pthread_rwlock_tryrdlock(3posix) returns while a writer has the \
             lock. Here none has it.",
        ),
    ],
    kind: Kind::Kernel,
    run: reader_beside_writer,
    moral: "If a writer must come through, ask for the kind that prefers writers; or take a \
            mutex. A reader-writer lock pays only where reads are long and many.",
    see: "pthread_rwlockattr_setkind_np(3)",
    file: file!(),
    shows: &["reader-beside-writer"],
};

// ANCHOR: reader-beside-writer
fn reader_beside_writer(stage: &Stage) -> Result<usize> {
    let memory = page().context("mmap")?;
    let lock =
        ReaderWriterLock::init_at(memory, 0).context("pthread_rwlock_init")?;
    stage.call("pthread_rwlock_rdlock(lock)", &lock.read());
    let writer = stage.fork("writer", |stage| {
        stage.call("pthread_rwlock_wrlock(lock)", &lock.write());
        Ok(())
    })?;
    writer.until_asleep_in(&[Sysno::futex])?;
    stage.event("writer", "sleeps in pthread_rwlock_wrlock(lock)");
    let second = stage.fork("second reader", |stage| {
        let locked = lock.read();
        stage.call("pthread_rwlock_rdlock(lock)", &locked);
        stage.gate()?.pass()?;
        Ok(())
    })?;
    let asleep = sleeps(&second)?;
    let waits = sleeps(&writer)?;
    stage.saw("the second reader sleeps", asleep);
    stage.saw("the writer sleeps", waits);
    match (asleep, waits) {
        (false, true) => Ok(1),
        (true, true) => Ok(2),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: reader-beside-writer

pub(super) const BARRIER_COUNTS_THE_DEAD: Experiment = Experiment {
    name: "barrier-counts-the-dead",
    title: "Three must come, and one was killed there",
    level: Level::Later,
    question: "A barrier in shared memory is for three processes. A comes to \
               pthread_barrier_wait(3), sleeps, and is killed there. Then B comes, and then C. \
               What happens at the barrier?",
    answers: &[
        wrong(
            "B and C sleep: only two are there",
            "Two are there, and three have come. A counted itself when it came, and nobody \
             counts it down.",
        ),
        right(
            "B and C go on: three have come",
            "The count is in the bytes of the barrier. The dead process is one of the three, \
             and its part of the work is not done.",
        ),
        wrong(
            "B and C get an error: one is dead",
            "There are no robust barriers: pthread_barrier_wait has no error for it.",
        ),
    ],
    kind: Kind::Kernel,
    run: barrier_counts_the_dead,
    moral: "A barrier says how many have come, not how many have done their work. Between \
            processes that may be killed, look who lives: waitpid(2), a pidfd, a robust mutex.",
    see: "pthread_barrier_wait(3posix)",
    file: file!(),
    shows: &["barrier-counts-the-dead"],
};

// ANCHOR: barrier-counts-the-dead
fn barrier_counts_the_dead(stage: &Stage) -> Result<usize> {
    let memory = page().context("mmap")?;
    let barrier = Barrier::init_at(memory, 0, 3).context("pthread_barrier_init")?;
    let end = stage.gate()?;
    let come = |who| {
        stage.fork(who, |_| {
            let serial = barrier.wait()?;
            end.pass()?;
            Ok(serial)
        })
    };
    let a = come("A")?;
    a.until_asleep_in(&[Sysno::futex])?;
    a.kill(Signal::SIGKILL)?;
    a.end()?;
    stage.event("A", "sleeps in pthread_barrier_wait(barrier), and is killed there");
    let b = come("B")?;
    b.until_asleep_in(&[Sysno::futex])?;
    stage.event("B", "sleeps in pthread_barrier_wait(barrier)");
    let c = come("C")?;
    let asleep = sleeps(&c)?;
    let both = asleep && sleeps(&b)?;
    let mut chosen = 0;
    if !asleep {
        end.open(2)?;
        for process in [b, c] {
            chosen += u32::from(process.join()?);
        }
        stage.event("main", "B and C have returned from pthread_barrier_wait");
    }
    stage.saw("B and C sleep", both);
    stage.saw("of B and C, PTHREAD_BARRIER_SERIAL_THREAD got", chosen);
    Ok(if asleep { 1 } else { 2 })
}
// ANCHOR_END: barrier-counts-the-dead
