//! A lock in shared memory, and the death of its owner.

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use syscalls::Sysno;

use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::mutex::Mutex;

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
    level: Level::Later,
    question: "A pthread mutex in shared memory, made with PTHREAD_PROCESS_SHARED and \
               nothing else, can be locked by every process that maps it. One process locks \
               it and is killed by kill -9. Another then calls pthread_mutex_lock(3). What \
               happens?",
    answers: &[
        wrong(
            "it gets the mutex at once",
            "That is true of the locks of flock(2) and fcntl(2), which the kernel keeps. \
             This mutex is a few bytes of memory, and the kernel does not know what they \
             mean.",
        ),
        right(
            "it waits for the mutex for ever",
            "The word in memory says `locked`, and only its owner would have changed it.",
        ),
        wrong(
            "it gets the error EOWNERDEAD",
            "That is what a robust mutex does. It must be asked for when the mutex is made, \
             by pthread_mutexattr_setrobust(3).",
        ),
        wrong(
            "it is killed by a signal too",
            "A process does not die because another did, unless it asked for that by \
             prctl(2) with PR_SET_PDEATHSIG.",
        ),
    ],
    kind: Kind::Kernel,
    run: owner_dies,
    moral: "A lock in shared memory outlives the process that held it. Make it robust: then \
            the kernel, which gets a list of such locks from each thread, marks them when \
            their owner dies. Or lock a file: that lock ends with its owner.",
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

/// Locks it, and repairs what a dead owner may have left half done.
fn lock_and_mend(stage: &Stage, mutex: &Mutex) -> Result<bool> {
    let locked = mutex.lock();
    stage.call("pthread_mutex_lock(mutex)", &locked);
    match locked {
        Ok(()) => Ok(false),
        Err(Errno::EOWNERDEAD) => {
            // We have it. A real program repairs here what the mutex protects.
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
    level: Level::Deep,
    question: "A robust mutex reports that its owner died: the next pthread_mutex_lock gets \
               the mutex, and returns EOWNERDEAD. Then pthread_mutex_consistent(3) declares \
               that the data are whole. One process gets EOWNERDEAD and unlocks without that \
               call. What does the next one get when it locks?",
    answers: &[
        wrong(
            "the mutex, and no error at all",
            "The unlock says only that the process is done. That the data are whole must be \
             declared.",
        ),
        wrong(
            "the mutex, with EOWNERDEAD again",
            "EOWNERDEAD is returned once. A process that ignores it has lost the mutex for \
             all.",
        ),
        right(
            "no mutex, but ENOTRECOVERABLE",
            "Unlocked without pthread_mutex_consistent, the mutex cannot be used any more, \
             by anybody. Only destroying it and making it anew helps.",
        ),
        wrong(
            "no mutex, but a sleep for ever",
            "That is true of an ordinary mutex whose owner died. A robust one always \
             returns.",
        ),
    ],
    kind: Kind::Kernel,
    run: not_mended,
    moral: "EOWNERDEAD means: you hold the lock, and what it protects may be half done. Make \
            that whole, call pthread_mutex_consistent, then unlock; in this order.",
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
