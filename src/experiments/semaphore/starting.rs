//! Which process makes a semaphore, with which value, and whether it is still the same one.

use std::fs::File;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use libc::{IPC_CREAT, IPC_EXCL, IPC_NOWAIT};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use rustix::fs::{FlockOperation, flock};
use syscalls::Sysno;

use super::{WAITS, set_of, sleeps};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::cleanup::Object;
use os::semaphore::{
    sem_create, sem_getvalue, sem_open, sem_open_or_create, sem_post, sem_unlink,
    sem_wait,
};
use os::sysv_semaphore::{semctl_getval, semctl_setval, semctl_stat, semget, semop};

pub(super) const CREATE_THEN_INIT: Experiment = Experiment {
    name: "create-then-init",
    title: "A semaphore that is there and not ready",
    level: Level::Later,
    question: "A makes a System V semaphore that counts items: semget(2) with \
               IPC_CREAT and IPC_EXCL, then semctl(2) with SETVAL to 0. Between \
               these two calls B finds the semaphore by its key, has an item, and \
               posts it: semop(2) of +1. What is the value in the end?",
    answers: &[
        wrong(
            "one, from B's post",
            "It was 1 for a moment. Then A set it to 0, whatever had been there.",
        ),
        wrong(
            "one, since B had to wait for A",
            "Nothing made B wait: the set exists from semget on, and the kernel \
             does not know that A has not finished.",
        ),
        right(
            "zero, without B's post",
            "Making and initialising are two calls, and SETVAL sets: it does not \
             add. The item lies there, and nobody will ever be woken for it.",
        ),
    ],
    kind: Kind::Kernel,
    run: create_then_init,
    moral: "A ends with a semop(2), and B waits until sem_otime, the time of the last semop, \
            is not 0. Where you may choose: sem_open(3) makes a POSIX semaphore with its \
            value, in one step.",
    see: "semget(2), semctl(2)",
    file: file!(),
    shows: &[
        "create-then-init-broken",
        "create-then-init-cured",
        "create-then-init",
    ],
};

// ANCHOR: create-then-init-broken
/// The end of A's making.
fn set_value(stage: &Stage, id: i32) {
    stage.call("semctl(id, 0, SETVAL, 0)", &semctl_setval(id, 0));
}

/// What B does before it uses a set that it found: nothing.
fn use_at_once(_: i32) -> nix::Result<()> {
    Ok(())
}
// ANCHOR_END: create-then-init-broken

// ANCHOR: create-then-init-cured
/// The end of A's making, with a semop that changes nothing: it waits for the value to be
/// 0, which it is.
fn set_value_and_say_so(stage: &Stage, id: i32) {
    stage.call("semctl(id, 0, SETVAL, 0)", &semctl_setval(id, 0));
    stage.call("semop(id, {0, 0, 0}, 1)", &semop(id, 0, 0));
}

/// What B does before it uses a set that it found: waits for A's semop.
fn wait_for_otime(id: i32) -> nix::Result<()> {
    while semctl_stat(id)?.sem_otime == 0 {
        sleep(Duration::from_micros(200)); // nothing tells when: look again in a moment
    }
    Ok(())
}
// ANCHOR_END: create-then-init-cured

// ANCHOR: create-then-init
fn create_then_init(stage: &Stage) -> Result<usize> {
    type End = fn(&Stage, i32);
    type Before = fn(i32) -> nix::Result<()>;
    let value_in_the_end = |key: i32, end: End, before_use: Before| {
        let id = semget(key, 1, IPC_CREAT | IPC_EXCL | 0o600);
        stage.call("semget(key, 1, IPC_CREAT | IPC_EXCL | 0600)", &id);
        let id = id.context("semget")?;
        stage.made(&Object::SysvSemaphore(id, u32::MAX));
        let (told, never) = (stage.gate()?, stage.gate()?);
        let b = stage.fork("B", |stage| {
            let found = semget(key, 0, 0);
            stage.call("semget(key, 0, 0)", &found);
            let found = found?;
            before_use(found)?;
            told.pass()?; // so that the report has its cause first
            stage.call("semop(id, {0, +1, 0}, 1)", &semop(found, 1, 0));
            never.pass()
        })?;
        // B is about to post, or sleeps between two looks at sem_otime.
        let calls = [Sysno::readv, Sysno::clock_nanosleep];
        let waits = b.until_asleep_in(&calls)? == Sysno::clock_nanosleep;
        if waits {
            stage.event("B", "waits: sem_otime is 0");
            end(stage, id);
        }
        told.open(1)?; // which has woken B when it returns
        b.until_asleep_in(&[Sysno::readv])?;
        if !waits {
            end(stage, id);
        }
        let value = semctl_getval(id);
        stage.call("semctl(id, 0, GETVAL)", &value);
        value.context("semctl")
    };
    let key = 0x6900_0000 + std::process::id() as i32; // a pid has at most 22 bits
    let broken = value_in_the_end(key, set_value, use_at_once)?;
    let key = key + 0x80_0000;
    let cured = value_in_the_end(key, set_value_and_say_so, wait_for_otime)?;
    stage.saw("the value, where B posts at once", broken);
    stage.saw("the value, where B waits for sem_otime", cured);
    match broken {
        0 => Ok(3),
        1 => Ok(1),
        other => bail!("the value is {other}"),
    }
}
// ANCHOR_END: create-then-init

pub(super) const CREATOR_DIES: Experiment = Experiment {
    name: "creator-dies",
    title: "A set that is made by half",
    level: Level::Later,
    question: "A makes a System V set by semget(2) with IPC_CREAT and IPC_EXCL, and is killed by \
               SIGKILL before its semctl(2) with SETVAL, and its first semop(2). B finds the set \
               by its key, and does as one should: it looks until sem_otime is not 0. What \
               happens to B?",
    answers: &[
        wrong(
            "it gets EIDRM, as the set has gone",
            "A set goes by IPC_RMID, not with the process that has made it.",
        ),
        wrong(
            "it goes on, as A's end sets it",
            "sem_otime is the time of the last semop. A has made none, and its end is none.",
        ),
        right(
            "it looks on, as sem_otime stays 0",
            "0 says `not yet`, whether A lives or not. Each process that starts later joins B.",
        ),
    ],
    kind: Kind::Kernel,
    run: creator_dies,
    moral: "Make the set under a lock that the kernel releases when its holder dies, such as \
            flock(2) on a file: the process that gets the lock, and finds sem_otime 0, gives the \
            value itself, with a semop behind it. It need not know who made the set.",
    see: "semget(2), semctl(2), flock(2)",
    file: file!(),
    shows: &["creator-dies-broken", "creator-dies-cured", "creator-dies"],
};

// ANCHOR: creator-dies-broken
/// Looks until A has called semop; here at most so often.
fn look_for_otime(id: i32, _: &File) -> Result<bool> {
    for _ in 0..100 {
        if semctl_stat(id)?.sem_otime != 0 {
            return Ok(true);
        }
        sleep(Duration::from_millis(1));
    }
    Ok(false)
}
// ANCHOR_END: creator-dies-broken

// ANCHOR: creator-dies-cured
/// Sleeps while A lives and is not done; does what a dead A has not.
fn lock_and_look(id: i32, lock: &File) -> Result<bool> {
    flock(lock, FlockOperation::LockExclusive).context("flock")?;
    if semctl_stat(id)?.sem_otime == 0 {
        semctl_setval(id, 0)?;
        semop(id, 1, 0)?; // the value that it is to have, and sem_otime
    }
    flock(lock, FlockOperation::Unlock).context("flock")?;
    Ok(semctl_stat(id)?.sem_otime != 0)
}
// ANCHOR_END: creator-dies-cured

// ANCHOR: creator-dies
fn creator_dies(stage: &Stage) -> Result<usize> {
    type Join = fn(i32, &File) -> Result<bool>;
    let goes_on = |key: i32, join: Join| {
        let lock = || File::create(stage.path("lock")).context("open");
        let made = stage.gate()?;
        let a = stage.fork("A", |stage| {
            let lock = lock()?;
            flock(&lock, FlockOperation::LockExclusive).context("flock")?;
            let id = semget(key, 1, IPC_CREAT | IPC_EXCL | 0o600);
            stage.call("semget(key, 1, IPC_CREAT | IPC_EXCL | 0600)", &id);
            stage.made(&Object::SysvSemaphore(id.context("semget")?, u32::MAX));
            made.open(1)?;
            stage.gate()?.pass()
        })?;
        made.pass()?;
        a.kill(Signal::SIGKILL)?;
        a.end()?;
        stage.event("A", "killed by SIGKILL");
        let b = stage.fork("B", |stage| {
            let id = semget(key, 0, 0);
            stage.call("semget(key, 0, 0)", &id);
            let id = id?;
            let goes_on = join(id, &lock()?)?;
            let otime = if semctl_stat(id)?.sem_otime == 0 { "0" } else { "a time" };
            stage.call("semctl(id, 0, IPC_STAT), sem_otime", &otime);
            stage.call("semctl(id, 0, GETVAL)", &semctl_getval(id));
            Ok(goes_on)
        })?;
        b.join()
    };
    let key = 0x6a00_0000 + std::process::id() as i32; // a pid has at most 22 bits
    let broken = goes_on(key, look_for_otime)?;
    stage.event("B", "has looked a hundred times, and would go on looking");
    let cured = goes_on(key + 0x80_0000, lock_and_look)?;
    stage.saw("B goes on, where it looks for sem_otime", broken);
    stage.saw("B goes on, where it takes A's lock", cured);
    Ok(if broken { 2 } else { 3 })
}
// ANCHOR_END: creator-dies

pub(super) const SETVAL_LEAVES_OTIME: Experiment = Experiment {
    name: "setval-leaves-otime",
    title: "Has anybody set a value?",
    level: Level::Deep,
    question: "A System V set has sem_otime, the time of its last semop(2). It is \
               0 in a new set. A program makes a set and gives it the value 5 by \
               semctl(2) with SETVAL. Another looks at sem_otime to see whether \
               the set is initialised. What does it find?",
    answers: &[
        right(
            "the zero of a new set",
            "SETVAL is no semop. It sets sem_ctime, the time of the last change by \
             semctl, which semget has set as well: that tells nothing.",
        ),
        wrong(
            "the time of the SETVAL",
            "The value was changed then, but by semctl. sem_otime is of semop \
             alone, which is what makes it useful.",
        ),
        wrong(
            "the time of the semget",
            "That is in sem_ctime. A new set's sem_otime is 0 by definition.",
        ),
    ],
    kind: Kind::Kernel,
    run: setval_leaves_otime,
    moral: "To give a value and say so, end with a semop, or give the value by one: semop of \
            +5 on a new set, whose value is 0 on Linux. A semop that fails leaves sem_otime \
            as it was.",
    see: "semctl(2), semget(2), semop(2)",
    file: file!(),
    shows: &["setval-leaves-otime"],
};

// ANCHOR: setval-leaves-otime
fn setval_leaves_otime(stage: &Stage) -> Result<usize> {
    let id = set_of(stage, &[0])?;
    let look = |after: &str| {
        let about = semctl_stat(id).context("semctl(IPC_STAT)")?;
        let known = |time| if time == 0 { "0" } else { "a time" };
        let (otime, ctime) = (known(about.sem_otime), known(about.sem_ctime));
        let seen = format!("sem_otime {otime}, sem_ctime {ctime}");
        stage.call("semctl(id, 0, IPC_STAT, &about)", &seen);
        stage.saw(&format!("sem_otime after {after}"), otime);
        anyhow::Ok(otime)
    };
    let new = look("semget")?;
    stage.call("semctl(id, 0, SETVAL, 5)", &semctl_setval(id, 5));
    let set = look("SETVAL")?;
    let refused = semop(id, -6, IPC_NOWAIT);
    stage.call("semop(id, {0, -6, IPC_NOWAIT}, 1)", &refused);
    look("a semop that failed")?;
    stage.call("semop(id, {0, -1, 0}, 1)", &semop(id, -1, 0));
    look("a semop")?;
    match (new, set) {
        ("0", "0") => Ok(1),
        ("0", _) => Ok(2),
        _ => Ok(3),
    }
}
// ANCHOR_END: setval-leaves-otime

pub(super) const STALE_VALUE: Experiment = Experiment {
    name: "stale-value",
    title: "Starting again after a crash",
    level: Level::First,
    question: "A program calls sem_open(3) with O_CREAT and the value 1, uses the \
               semaphore as a lock, and is killed by SIGKILL while it holds the \
               lock. It is started again and makes the same call. What is the \
               value now?",
    answers: &[
        wrong(
            "one, in the old semaphore",
            "O_CREAT makes it if it is not there. It is there, and mode and value \
             of the call are not looked at. No error says that.",
        ),
        wrong(
            "one, in a new semaphore",
            "A named semaphore does not go with its last process. It stays until \
             sem_unlink(3) or the end of the system: on Linux it is a file in \
             /dev/shm. Where systemd removes what a user leaves behind (RemoveIPC= \
             in logind.conf(5)), it stays until the end of the user's last \
             session.",
        ),
        right(
            "zero, in the old semaphore",
            "The value that the dead process left is the value, and the program \
             waits for itself for ever. A POSIX semaphore knows no owner, and \
             nobody can give it back.",
        ),
    ],
    kind: Kind::Kernel,
    run: stale_value,
    moral: "A lock that must survive a crash is one that the kernel gives back: \
            flock(2) or fcntl(2) on a file, SEM_UNDO, or a robust mutex. A POSIX \
            semaphore is not.",
    see: "sem_open(3), sem_overview(7)",
    file: file!(),
    shows: &["stale-value"],
};

// ANCHOR: stale-value
fn stale_value(stage: &Stage) -> Result<usize> {
    let name = stage.semaphore("lock");
    let never = stage.gate()?;
    let held = stage.gate()?;
    let first = stage.fork("first", |stage| {
        let lock = sem_open_or_create(&name, 1);
        stage.call("sem_open(\"/lock\", O_CREAT, 0600, 1)", &lock);
        stage.call("sem_wait(lock)", &sem_wait(&lock?));
        stage.event("first", "holds the lock");
        held.open(1)?;
        never.pass()
    })?;
    held.pass()?;
    first.kill(Signal::SIGKILL)?;
    first.end()?;
    stage.event("first", "killed by SIGKILL; nobody has the semaphore open");
    let second = stage.fork("second", |stage| {
        let lock = sem_open_or_create(&name, 1);
        stage.call("sem_open(\"/lock\", O_CREAT, 0600, 1)", &lock);
        let lock = lock?;
        let value = sem_getvalue(&lock);
        stage.call("sem_getvalue(lock)", &value);
        held.open(1)?;
        stage.call("sem_wait(lock)", &sem_wait(&lock));
        never.pass()
    })?;
    held.pass()?;
    let asleep = sleeps(&second)?;
    if asleep {
        stage.event("second", "sleeps in sem_wait(lock)");
    }
    let value = sem_getvalue(&sem_open(&name).context("sem_open")?);
    stage.saw("the program sleeps in sem_wait", asleep);
    stage.saw("the value then", value);
    Ok(if asleep { 3 } else { 1 })
}
// ANCHOR_END: stale-value

pub(super) const UNLINK_SPLITS: Experiment = Experiment {
    name: "unlink-splits",
    title: "Unlink first, to be sure",
    level: Level::Later,
    question: "A program begins with sem_unlink(3) and then sem_open(3) with \
               O_CREAT, to be sure of the value. A waiter of an earlier run still \
               sleeps in sem_wait(3) on the semaphore of that name. The program \
               posts. What happens to the waiter?",
    answers: &[
        wrong(
            "it wakes, and has taken the post",
            "The name is the same, but it is only for opening. The waiter has the \
             semaphore that had this name when it came; the program has made \
             another one.",
        ),
        wrong(
            "it gets EIDRM, and the post stays",
            "That is true of a System V set, whose IPC_RMID wakes all sleepers. \
             sem_unlink takes away the name, and touches nobody.",
        ),
        right(
            "it sleeps on, and the post stays",
            "There are two semaphores now: one with the name and a post in it, one \
             without a name and with a sleeper. They will never meet, though each \
             process has done what it should.",
        ),
        wrong(
            "it wakes; sem_unlink failed with EBUSY",
            "sem_unlink fails only if the name is not there or not yours. The file \
             system keeps no count of sleepers.",
        ),
    ],
    kind: Kind::Kernel,
    run: unlink_splits,
    moral: "A name is not the object: queues, shared memory and Unix sockets have \
            the same trap. Unlink at the end, or at the start under a lock which \
            says that nobody else is here.",
    see: "sem_unlink(3), sem_open(3)",
    file: file!(),
    shows: &["unlink-splits"],
};

// ANCHOR: unlink-splits
fn unlink_splits(stage: &Stage) -> Result<usize> {
    let name = stage.semaphore("jobs");
    let old = sem_create(&name, 0).context("sem_open")?;
    let end = stage.gate()?;
    let waiter = stage.fork("waiter", |stage| {
        let semaphore = sem_open(&name).context("sem_open")?;
        let waited = sem_wait(&semaphore);
        end.pass()?;
        stage.call("sem_wait(jobs)", &waited);
        Ok(waited.is_ok())
    })?;
    waiter.until_asleep_in(&WAITS)?;
    stage.event("waiter", "sleeps in sem_wait(jobs)");
    let unlinked = sem_unlink(&name);
    stage.call("sem_unlink(\"/jobs\")", &unlinked);
    if unlinked == Err(Errno::EBUSY) {
        return Ok(4);
    }
    let new = sem_open_or_create(&name, 0);
    stage.call("sem_open(\"/jobs\", O_CREAT, 0600, 0)", &new);
    let new = new.context("sem_open")?;
    stage.call("sem_post(jobs)", &sem_post(&new));
    let slept_on = sleeps(&waiter)?;
    let values = [sem_getvalue(&new), sem_getvalue(&old)];
    stage.call("sem_getvalue(the new one)", &values[0]);
    stage.call("sem_getvalue(the old one)", &values[1]);
    if slept_on {
        stage.event("waiter", "still sleeps");
        stage.call("sem_post(the old one)", &sem_post(&old)); // which main has open
    }
    end.open(1)?;
    let waited = waiter.join()?;
    stage.saw("the waiter slept on", slept_on);
    stage.saw("the value of the new one", values[0]);
    stage.saw("the value of the old one", values[1]);
    stage.saw("a post to the old one woke it", waited && slept_on);
    Ok(match (slept_on, waited) {
        (true, _) => 3,
        (false, true) => 1,
        (false, false) => 2,
    })
}
// ANCHOR_END: unlink-splits
