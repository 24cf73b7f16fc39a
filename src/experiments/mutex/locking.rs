//! Which thread owns a mutex, and what another may do with it.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail};
use syscalls::Sysno;

use super::{Page, die_with, named};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::semaphore::sleeps;
use crate::stage::Stage;
use os::mutex::Attributes;

pub(super) const NOT_SHARED: Experiment = Experiment {
    name: "not-shared",
    title: "A mutex that lies in shared memory",
    level: Level::Later,
    question: "A mutex lies in memory that two processes share. It was made by \
               pthread_mutex_init(3) without attributes. A has it; B calls \
               pthread_mutex_lock(3) and sleeps. A unlocks. What happens to B?",
    answers: &[
        right(
            "B sleeps on, and the mutex is free",
            "Without PTHREAD_PROCESS_SHARED the C library sleeps and wakes by a private futex: \
             of this process. A's unlock changes the word, and its wake-up looks for sleepers in \
             A alone.",
        ),
        wrong(
            "B wakes up, and has the mutex now",
            "The word is the same for both, and B would see that it is free. But B is asleep, \
             and A's wake-up does not reach it.",
        ),
        wrong(
            "B wakes up, and its call fails with EINVAL",
            "Nothing in the memory says that another process uses it, and no function looks. \
             All works as long as nobody has to sleep.",
        ),
    ],
    kind: Kind::Kernel,
    run: not_shared,
    moral: "Between processes: pthread_mutexattr_setpshared(3) with PTHREAD_PROCESS_SHARED, and \
            the same for condition variables, reader-writer locks and barriers. The mistake \
            shows only once a process must sleep.",
    see: "pthread_mutexattr_setpshared(3), futex(2)",
    file: file!(),
    shows: &["not-shared-broken", "not-shared-cured", "not-shared"],
};

// ANCHOR: not-shared-broken
/// As pthread_mutex_init(mutex, NULL) makes it.
const OF_ONE_PROCESS: Attributes =
    Attributes { shared: false, ..Attributes::shared(false) };
// ANCHOR_END: not-shared-broken

// ANCHOR: not-shared-cured
/// With PTHREAD_PROCESS_SHARED.
const OF_ALL_PROCESSES: Attributes = Attributes::shared(false);
// ANCHOR_END: not-shared-cured

// ANCHOR: not-shared
fn not_shared(stage: &Stage) -> Result<usize> {
    let sleeps_on = |how: Attributes| {
        let page = Page::with(how)?;
        stage.call("pthread_mutex_lock(mutex)", &page.mutex.lock());
        let end = stage.gate()?;
        let b = stage.fork("B", |stage| {
            let locked = page.mutex.lock();
            end.pass()?; // so that the report has its cause first
            stage.call("pthread_mutex_lock(mutex)", &locked);
            Ok(named(locked))
        })?;
        b.until_asleep_in(&[Sysno::futex])?;
        stage.event("B", "sleeps in pthread_mutex_lock(mutex)");
        stage.call("pthread_mutex_unlock(mutex)", &page.mutex.unlock());
        if sleeps(&b)? {
            stage.event("B", "still sleeps");
            return anyhow::Ok("sleeps".to_owned());
        }
        end.open(1)?;
        b.join()
    };
    let broken = sleeps_on(OF_ONE_PROCESS)?;
    stage.event("main", "makes the mutex with PTHREAD_PROCESS_SHARED");
    let cured = sleeps_on(OF_ALL_PROCESSES)?;
    stage.saw("B, without the attribute", broken.as_str());
    stage.saw("B, with PTHREAD_PROCESS_SHARED", cured);
    match broken.as_str() {
        "sleeps" => Ok(1),
        "0" => Ok(2),
        "EINVAL" => Ok(3),
        other => bail!("pthread_mutex_lock: {other}"),
    }
}
// ANCHOR_END: not-shared

pub(super) const LOCKED_TWICE: Experiment = Experiment {
    name: "locked-twice",
    title: "A function that locks, called with the lock",
    level: Level::Later,
    question: "A function locks a mutex of the default type, and calls another function of the \
               same program, which locks the same mutex. No other process is there. What does \
               the second pthread_mutex_lock(3) do?",
    answers: &[
        wrong(
            "it returns 0, and the mutex counts to two",
            "That is PTHREAD_MUTEX_RECURSIVE, which must be asked for. A default mutex counts \
             nothing.",
        ),
        right(
            "it sleeps, until its own thread unlocks",
            "The mutex is taken, and who has it is not looked at. The one thread that could \
             unlock it is asleep: a deadlock of one.",
        ),
        wrong(
            "it returns EDEADLK, and the mutex is kept",
            "That is PTHREAD_MUTEX_ERRORCHECK, which must be asked for as well. It is worth \
             its price while you look for such a mistake.",
        ),
    ],
    kind: Kind::Kernel,
    run: locked_twice,
    moral: "Lock in the outer function, and give the inner one a version that says it is called \
            with the lock. While you look for the mistake, PTHREAD_MUTEX_ERRORCHECK names it.",
    see: "pthread_mutex_lock(3), pthread_mutexattr_settype(3posix)",
    file: file!(),
    shows: &["locked-twice"],
};

// ANCHOR: locked-twice
fn locked_twice(stage: &Stage) -> Result<usize> {
    let twice = |name: &str, kind: i32| {
        let page = Page::with(Attributes { kind, ..Attributes::shared(false) })?;
        stage.event("main", format!("makes a mutex of the type {name}"));
        let one = stage.fork("one", |stage| {
            stage.call("pthread_mutex_lock(mutex)", &page.mutex.lock());
            let again = page.mutex.lock();
            stage.call("pthread_mutex_lock(mutex)", &again);
            stage.gate()?.pass()?;
            Ok(())
        })?;
        let asleep = sleeps(&one)?;
        if asleep {
            stage.event("one", "sleeps in pthread_mutex_lock(mutex)");
        }
        anyhow::Ok(asleep)
    };
    let default = twice("PTHREAD_MUTEX_DEFAULT", libc::PTHREAD_MUTEX_DEFAULT)?;
    let checking =
        twice("PTHREAD_MUTEX_ERRORCHECK", libc::PTHREAD_MUTEX_ERRORCHECK)?;
    let recursive = twice("PTHREAD_MUTEX_RECURSIVE", libc::PTHREAD_MUTEX_RECURSIVE)?;
    stage.saw("asleep: default", default);
    stage.saw("asleep: errorcheck", checking);
    stage.saw("asleep: recursive", recursive);
    Ok(if default { 2 } else { 1 })
}
// ANCHOR_END: locked-twice

pub(super) const UNLOCKED_BY_ANOTHER: Experiment = Experiment {
    name: "unlocked-by-another",
    title: "Unlocking for somebody else",
    level: Level::Later,
    question: "A semaphore with the value 1 can be posted by any process, not only by the one \
               that took it. A has a robust mutex in shared memory, and B calls \
               pthread_mutex_unlock(3) on it. What becomes of the mutex?",
    answers: &[
        wrong(
            "it is free: the call returns 0 in B",
            "That is how a semaphore behaves, and why a semaphore protects against nobody's \
             mistake. This mutex has an owner.",
        ),
        wrong(
            "it is B's: the call returns EOWNERDEAD",
            "Its owner lives. EOWNERDEAD comes from a call that locks, once the owner has died.",
        ),
        right(
            "it is A's still: the call returns EPERM",
            "A mutex has an owner, a thread: it locks, and it unlocks. A robust one, and one of \
             PTHREAD_MUTEX_ERRORCHECK, compare the caller with it.",
        ),
    ],
    kind: Kind::Kernel,
    run: unlocked_by_another,
    moral: "To wake another process, use a condition variable, a semaphore or an eventfd. An \
            unlock by another thread is a mistake: of a default mutex POSIX leaves its effect \
            undefined.",
    see: "pthread_mutex_unlock(3), sem_post(3)",
    file: file!(),
    shows: &["unlocked-by-another"],
};

// ANCHOR: unlocked-by-another
fn unlocked_by_another(stage: &Stage) -> Result<usize> {
    let page = Page::robust()?;
    let (has_it, end) = (stage.gate()?, stage.gate()?);
    let a = stage.fork("A", |stage| {
        stage.call("pthread_mutex_lock(mutex)", &page.mutex.lock());
        has_it.open(1)?;
        end.pass()?;
        Ok(named(page.mutex.unlock()))
    })?;
    has_it.pass()?;
    let unlocked = page.mutex.unlock();
    stage.event("main", "is B");
    stage.call("pthread_mutex_unlock(mutex)", &unlocked);
    let tried = page.mutex.trylock();
    stage.call("pthread_mutex_trylock(mutex)", &tried);
    end.open(1)?;
    let own = a.join()?;
    stage.saw("B's unlock", named(unlocked));
    stage.saw("B's trylock after it", named(tried));
    stage.saw("A's own unlock", own);
    match (named(unlocked).as_str(), named(tried).as_str()) {
        ("0", "0") => Ok(1),
        ("EOWNERDEAD", _) => Ok(2),
        ("EPERM", "EBUSY") => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: unlocked-by-another

pub(super) const TRYLOCK_OF_THE_DEAD: Experiment = Experiment {
    name: "trylock-of-the-dead",
    title: "A look at a mutex whose owner was killed",
    level: Level::Deep,
    question: "The owner of a robust mutex was killed. B wants to know whether the owner still \
               lives, and calls pthread_mutex_trylock(3), which never sleeps. What has B got \
               after the call?",
    answers: &[
        right(
            "the mutex, and the error EOWNERDEAD",
            "An error that says: you have it. B must make the data whole, call \
             pthread_mutex_consistent(3), and unlock.",
        ),
        wrong(
            "no mutex, and the error EOWNERDEAD",
            "The one error of these calls that comes with the mutex. Whoever returns at each \
             error without an unlock keeps it.",
        ),
        wrong(
            "no mutex, and the error EBUSY",
            "That would be true of a mutex that is not robust: its word says `locked`, whoever \
             lives or not.",
        ),
    ],
    kind: Kind::Kernel,
    run: trylock_of_the_dead,
    moral: "EBUSY means: its owner lives. So a robust mutex which a process keeps for its whole \
            life tells others whether it lives; this chapter's roles look at each other so.",
    see: "pthread_mutex_trylock(3posix), pthread_mutex_consistent(3)",
    file: file!(),
    shows: &["trylock-of-the-dead"],
};

// ANCHOR: trylock-of-the-dead
fn trylock_of_the_dead(stage: &Stage) -> Result<usize> {
    let page = Page::robust()?;
    die_with(stage, &page, |_| ())?;
    let tried = page.mutex.trylock();
    stage.event("main", "is B");
    stage.call("pthread_mutex_trylock(mutex)", &tried);
    let third = stage.fork("C", |stage| {
        let tried = page.mutex.trylock();
        stage.call("pthread_mutex_trylock(mutex)", &tried);
        Ok(named(tried))
    })?;
    let third = third.join()?;
    stage.call("pthread_mutex_consistent(mutex)", &page.mutex.consistent());
    stage.call("pthread_mutex_unlock(mutex)", &page.mutex.unlock());
    stage.saw("B's trylock", named(tried));
    stage.saw("C's trylock after it", third.as_str());
    match (named(tried).as_str(), third.as_str()) {
        ("EOWNERDEAD", "EBUSY") => Ok(1),
        ("EOWNERDEAD", _) => Ok(2),
        ("EBUSY", _) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: trylock-of-the-dead

pub(super) const OWNER_IS_A_THREAD: Experiment = Experiment {
    name: "owner-is-a-thread",
    title: "The owner has ended, its process has not",
    level: Level::Deep,
    question: "A process has two threads. One locks a robust mutex in shared memory and returns \
               from its function without an unlock. The process goes on with the other thread. \
               What does pthread_mutex_lock(3) do in a second process?",
    answers: &[
        wrong(
            "it sleeps, until the process ends",
            "The kernel keeps a list of robust mutexes for each thread, and walks along it when \
             that thread ends.",
        ),
        right(
            "it gets the mutex, with EOWNERDEAD",
            "The owner of a mutex is a thread. It has ended, and so the owner is dead, although \
             its process lives.",
        ),
        wrong(
            "it gets the mutex, with no error",
            "The end of a thread unlocks nothing by itself. That the data may be half done is \
             what EOWNERDEAD tells.",
        ),
    ],
    kind: Kind::Kernel,
    run: owner_is_a_thread,
    moral: "A thread pool that ends a thread with a lock looks like a crash to the other \
            processes. The same holds for pthread_exit(3) and pthread_cancel(3).",
    see: "get_robust_list(2), pthread_mutexattr_setrobust(3)",
    file: file!(),
    shows: &["owner-is-a-thread"],
};

// ANCHOR: owner-is-a-thread
fn owner_is_a_thread(stage: &Stage) -> Result<usize> {
    let page = Page::robust()?;
    let ended = stage.gate()?;
    let mutex = page.mutex;
    let process = stage.fork("A", |stage| {
        let thread = std::thread::spawn(move || named(mutex.lock()));
        let locked = thread.join().ok().context("pthread_join")?;
        stage.call("pthread_mutex_lock(mutex), in a thread that ends", &locked);
        ended.open(1)?;
        stage.gate()?.pass()
    })?;
    ended.pass()?;
    // The process is there, and sleeps.
    process.until_asleep_in(&[Sysno::readv])?;
    let b = stage.fork("B", |stage| {
        let locked = mutex.lock();
        stage.call("pthread_mutex_lock(mutex)", &locked);
        Ok(named(locked))
    })?;
    let asleep = b.until_asleep_in(&[Sysno::futex]).is_ok();
    let locked = if asleep { "sleeps".to_owned() } else { b.join()? };
    stage.saw("B, while A's process lives", locked.as_str());
    match locked.as_str() {
        "sleeps" => Ok(1),
        "EOWNERDEAD" => Ok(2),
        "0" => Ok(3),
        other => bail!("pthread_mutex_lock: {other}"),
    }
}
// ANCHOR_END: owner-is-a-thread

pub(super) const OWNER_BY_EXEC: Experiment = Experiment {
    name: "owner-by-exec",
    title: "The owner becomes another program",
    level: Level::Deep,
    question: "A process has a robust mutex in shared memory, and calls execve(2) to become \
               another program: its pid stays the same, and it lives on. What does \
               pthread_mutex_trylock(3) return in another process?",
    answers: &[
        wrong(
            "EBUSY: the pid lives, and has it still",
            "The memory of the old program is gone, its threads too, and with them the list of \
             what they had locked. The pid counts for nothing here.",
        ),
        wrong(
            "EINVAL: the owner has not got it mapped",
            "The mutex is a few bytes, and nobody asks who else has them mapped.",
        ),
        right(
            "EOWNERDEAD: for the mutex it has died",
            "When execve(2) throws away the old memory, the kernel first walks along the list of \
             robust mutexes, as at the end of a process.",
        ),
    ],
    kind: Kind::Kernel,
    run: owner_by_exec,
    moral: "A lock of flock(2) goes through execve(2) with its descriptor, a mutex does not. \
            Unlock before you become another program.",
    see: "execve(2), get_robust_list(2)",
    file: file!(),
    shows: &["owner-by-exec"],
};

// ANCHOR: owner-by-exec
fn owner_by_exec(stage: &Stage) -> Result<usize> {
    let page = Page::robust()?;
    let owner = stage.fork::<()>("owner", |stage| {
        stage.call("pthread_mutex_lock(mutex)", &page.mutex.lock());
        stage.event("owner", "calls execve(2): from now on it is `sleep 1000`");
        Err(Command::new("sleep").arg("1000").exec()).context("execve sleep")
    })?;
    owner.until_asleep_in(&[Sysno::clock_nanosleep])?;
    let tried = page.mutex.trylock();
    stage.call("pthread_mutex_trylock(mutex)", &tried);
    // It lives: until here it can be found asleep.
    owner.until_asleep_in(&[Sysno::clock_nanosleep])?;
    stage.saw("trylock, while the pid lives", named(tried));
    match named(tried).as_str() {
        "EBUSY" => Ok(1),
        "EINVAL" => Ok(2),
        "EOWNERDEAD" => Ok(3),
        other => bail!("pthread_mutex_trylock: {other}"),
    }
}
// ANCHOR_END: owner-by-exec
