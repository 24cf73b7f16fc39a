//! A lock in shared memory, and the death of its owner.

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use syscalls::Sysno;

use crate::experiments::row::{Experiment, Kind, right, wrong};
use crate::experiments::stage::Stage;
use crate::os::mutex::Mutex;

/// A child takes the mutex and is killed while it has it.
fn die_as_owner(stage: &Stage, mutex: &Mutex) -> Result<()> {
    let has_it = stage.gate()?;
    let owner = stage.fork("owner", |stage| {
        stage.call("pthread_mutex_lock(mutex)", &mutex.lock());
        has_it.open(1)?;
        loop {
            nix::unistd::pause();
        }
        #[allow(unreachable_code)]
        Ok(())
    })?;
    has_it.pass()?;
    owner.kill(Signal::SIGKILL)?;
    owner.end()?;
    stage.event("owner", "killed by SIGKILL, while it has the mutex");
    Ok(())
}

pub(super) const OWNER_DIES: Experiment = Experiment {
    name: "owner-dies",
    title: "A lock whose owner was killed",
    question: "A mutex lies in shared memory, made with PTHREAD_PROCESS_SHARED and nothing \
               else. A process locks it and is killed by kill -9. Another process calls \
               pthread_mutex_lock. What happens?",
    answers: &[
        wrong(
            "it gets the mutex: the kernel unlocks what a dead process held",
            "So it is for flock(2) and fcntl(2), whose locks the kernel keeps. This mutex \
             is a few bytes of memory; the kernel has never heard of it.",
        ),
        right(
            "it sleeps for ever",
            "The word in memory says `locked`, and only the owner would have changed it.",
        ),
        wrong(
            "it gets EOWNERDEAD",
            "That is the cure: a robust mutex. It must have been asked for when the mutex \
             was made, by pthread_mutexattr_setrobust.",
        ),
        wrong(
            "it is killed as well",
            "A death is nobody else's business, unless a process asked to die with its \
             parent.",
        ),
    ],
    kind: Kind::Kernel,
    run: owner_dies,
    moral: "A lock in shared memory outlives whoever held it. Make it robust, so that the \
            kernel finds it in a list at the owner's death; or lock a file, which ends by \
            itself.",
    see: "pthread_mutexattr_setrobust(3), get_robust_list(2)",
    file: file!(),
    shows: &["owner-dies-broken", "owner-dies-cured", "owner-dies"],
};

// ANCHOR: owner-dies-broken
const ORDINARY: bool = false;
// ANCHOR_END: owner-dies-broken

// ANCHOR: owner-dies-cured
/// With PTHREAD_MUTEX_ROBUST.
const ROBUST: bool = true;

/// Locks it, and mends what a dead owner may have left half done.
fn lock_and_mend(stage: &Stage, mutex: &Mutex) -> Result<bool> {
    let locked = mutex.lock();
    stage.call("pthread_mutex_lock(mutex)", &locked);
    match locked {
        Ok(()) => Ok(false),
        Err(Errno::EOWNERDEAD) => {
            // We have it. Here one would make whole what the mutex protects.
            stage.call("pthread_mutex_consistent(mutex)", &mutex.consistent());
            Ok(true)
        }
        Err(error) => bail!("pthread_mutex_lock: {error}"),
    }
}
// ANCHOR_END: owner-dies-cured

// ANCHOR: owner-dies
fn owner_dies(stage: &Stage) -> Result<usize> {
    let ordinary = Mutex::init(ORDINARY).context("pthread_mutex_init")?;
    die_as_owner(stage, &ordinary)?;
    let next = stage.fork("next", |_| Ok(ordinary.lock().map_err(|e| e as i32)))?;
    // It either falls asleep or ends.
    let asleep = next.until_asleep_in(&[Sysno::futex]).is_ok();
    let locked = if asleep {
        stage.event("next", "sleeps in pthread_mutex_lock()");
        next.kill(Signal::SIGKILL)?;
        None
    } else {
        Some(next.join()?)
    };
    stage.saw("asleep for ever", asleep);

    let robust = Mutex::init(ROBUST).context("pthread_mutex_init")?;
    stage.event("main", "makes a robust mutex");
    die_as_owner(stage, &robust)?;
    let told = stage.fork("next", |stage| {
        let told = lock_and_mend(stage, &robust)?;
        robust.unlock()?;
        Ok(told)
    })?;
    stage.saw("told, by a robust mutex", told.join()?);
    let after = stage.fork("third", |stage| lock_and_mend(stage, &robust))?;
    stage.saw("told again, once it is mended", after.join()?);
    Ok(match locked {
        None => 2,
        Some(Ok(())) => 1,
        Some(Err(_)) => 3,
    })
}
// ANCHOR_END: owner-dies

pub(super) const NOT_MENDED: Experiment = Experiment {
    name: "not-mended",
    title: "Unlocking after EOWNERDEAD",
    question: "The owner of a robust mutex has died. The next process locks it, gets \
               EOWNERDEAD, takes that for `locked, with a warning`, does its work and \
               unlocks. It never calls pthread_mutex_consistent. What does the process \
               after that get when it locks?",
    answers: &[
        wrong(
            "the mutex, as ever: the unlock made it whole",
            "The unlock says only that its owner is done. That the data are whole again \
             must be said by name.",
        ),
        wrong(
            "EOWNERDEAD again, until somebody mends it",
            "The warning is given once. Who ignores it has given the mutex up for all.",
        ),
        right(
            "ENOTRECOVERABLE, and so does everybody from then on",
            "Unlocked without consistent, the mutex is broken for good: nobody vouches for \
             what it protects. Only destroying it and making it anew helps.",
        ),
        wrong(
            "nothing: it sleeps for ever",
            "That is the ordinary mutex. A robust one always has an answer.",
        ),
    ],
    kind: Kind::Kernel,
    run: not_mended,
    moral: "EOWNERDEAD means: you hold the lock, and what it protects may be half done. Mend \
            it, call pthread_mutex_consistent, then unlock; in this order.",
    see: "pthread_mutex_consistent(3), pthread_mutexattr_setrobust(3)",
    file: file!(),
    shows: &["not-mended"],
};

// ANCHOR: not-mended
fn not_mended(stage: &Stage) -> Result<usize> {
    let mutex = Mutex::init(true).context("pthread_mutex_init")?;
    die_as_owner(stage, &mutex)?;
    let next = stage.fork("next", |stage| {
        let locked = mutex.lock();
        stage.call("pthread_mutex_lock(mutex)", &locked);
        stage.call("pthread_mutex_unlock(mutex)", &mutex.unlock());
        Ok(locked.err().map(|error| error.to_string()))
    })?;
    stage.saw("the next got", next.join()?);
    let mut got = Vec::new();
    for who in ["third", "fourth"] {
        let later = stage.fork(who, |stage| {
            let locked = mutex.lock();
            stage.call("pthread_mutex_lock(mutex)", &locked);
            Ok(locked.err().map(|error| error as i32))
        })?;
        let asleep = later.until_asleep_in(&[Sysno::futex]).is_ok();
        got.push(if asleep {
            None
        } else {
            Some(later.join()?.map(Errno::from_raw))
        });
    }
    let shown = got.iter().flatten().flatten().map(Errno::to_string);
    stage.saw("all others got", shown.collect::<Vec<_>>());
    Ok(match got[0] {
        Some(None) => 1,
        Some(Some(Errno::EOWNERDEAD)) => 2,
        Some(Some(_)) => 3,
        None => 4,
    })
}
// ANCHOR_END: not-mended
