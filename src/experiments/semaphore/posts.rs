//! What a post is: remembered, made by any process, and a number.

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::unistd::write;

use super::{WAITS, set_of, sleeps};
use crate::record::Returned;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::semaphore::{
    sem_create, sem_getvalue, sem_getvalue_or_sleepers, sem_open, sem_post,
    sem_trywait, sem_wait,
};
use os::sysv_semaphore::{semctl_getncnt, semctl_getval, semop};

pub(super) const POSTS_ARE_KEPT: Experiment = Experiment {
    name: "posts-are-kept",
    title: "Posts that nobody waits for",
    level: Level::First,
    question: "A POSIX semaphore has the value 0, and nobody waits for it. A \
               process opens it, calls sem_post(3) three times, closes it, and \
               ends. No process has it open now. Then another opens it, and calls \
               sem_wait(3) again and again. How often does sem_wait return?",
    answers: &[
        wrong(
            "not once",
            "A wake-up that nobody waits for is lost with a condition variable, or \
             with a bare FUTEX_WAKE. A semaphore is a counter: what nobody takes \
             stays in it.",
        ),
        wrong(
            "exactly once",
            "A standard signal is a state: pending three times is pending. A semaphore \
             counts.",
        ),
        right(
            "three times",
            "Each post added 1, each wait takes 1; the fourth sleeps. Neither \
             process ever saw the other.",
        ),
    ],
    kind: Kind::Kernel,
    run: posts_are_kept,
    moral: "A semaphore needs no one to be there in time: that makes it simple to use, and \
            it is why a post too many stays as well, also over a crash.",
    see: "sem_post(3), sem_wait(3), sem_overview(7)",
    file: file!(),
    shows: &["posts-are-kept"],
};

// ANCHOR: posts-are-kept
fn posts_are_kept(stage: &Stage) -> Result<usize> {
    let name = stage.semaphore("semaphore");
    drop(sem_create(&name, 0).context("sem_open")?);
    let poster = stage.fork("poster", |stage| {
        let semaphore = sem_open(&name).context("sem_open")?;
        for _ in 0..3 {
            stage.call("sem_post()", &sem_post(&semaphore));
        }
        Ok(())
    })?;
    poster.join()?;
    stage.event("poster", "has ended");
    let semaphore = sem_open(&name).context("sem_open")?;
    stage.call("sem_getvalue()", &sem_getvalue(&semaphore));
    let (mut count, returned) = std::io::pipe().context("pipe")?;
    let waiter = stage.fork::<()>("waiter", |stage| {
        loop {
            let waited = sem_wait(&semaphore);
            stage.call("sem_wait()", &waited);
            write(&returned, &[1])?;
            waited.context("sem_wait")?;
        }
    })?;
    waiter.until_asleep_in(&WAITS)?;
    stage.event("waiter", "sleeps in sem_wait()");
    drop((waiter, returned)); // it is ended, so that the pipe ends
    let times = std::io::copy(&mut count, &mut std::io::sink()).context("read")?;
    stage.saw("sem_wait returned so often", times);
    match times {
        0 => Ok(1),
        1 => Ok(2),
        3 => Ok(3),
        other => bail!("sem_wait returned {other} times"),
    }
}
// ANCHOR_END: posts-are-kept

pub(super) const NO_OWNER: Experiment = Experiment {
    name: "no-owner",
    title: "A post by a process that has not waited",
    level: Level::First,
    question: "Processes use a POSIX semaphore of the value 1 as a lock: \
               sem_wait(3) to enter, sem_post(3) to leave. A is inside. B has not \
               entered, but calls sem_post on its way out of an error. Then C \
               calls sem_wait. What happens?",
    answers: &[
        right(
            "C enters; A is still inside too",
            "The value was 0, and B made it 1. When A leaves it is 1 again with C \
             inside: from now on there is always room for one more.",
        ),
        wrong(
            "C sleeps; B's sem_post failed",
            "Nobody holds the lock. There is a number, and no record of who took 1 \
             off it. A mutex has an owner, and an error-checking one does say \
             EPERM.",
        ),
        wrong(
            "C sleeps; B's sem_post did nothing",
            "It is a lock in your program alone. To the C library it is a counter \
             that goes up to 2,147,483,647.",
        ),
    ],
    kind: Kind::Kernel,
    run: no_owner,
    moral: "A semaphore as a lock relies on every path of every program. If only \
            the process that has taken it may give it back, use a mutex: with \
            PTHREAD_PROCESS_SHARED it works between processes.",
    see: "sem_post(3), pthread_mutexattr_init(3)",
    file: file!(),
    shows: &["no-owner"],
};

// ANCHOR: no-owner
fn no_owner(stage: &Stage) -> Result<usize> {
    let name = stage.semaphore("lock");
    let lock = sem_create(&name, 1).context("sem_open")?;
    let (inside, leave) = (stage.gate()?, stage.gate()?);
    let a = stage.fork("A", |stage| {
        let lock = sem_open(&name).context("sem_open")?;
        stage.call("sem_wait(lock)", &sem_wait(&lock));
        stage.event("A", "is inside");
        inside.open(1)?;
        leave.pass()?;
        stage.call("sem_post(lock)", &sem_post(&lock));
        Ok(())
    })?;
    inside.pass()?;
    let b = stage.fork("B", |stage| {
        let lock = sem_open(&name).context("sem_open")?;
        let posted = sem_post(&lock);
        stage.call("sem_post(lock)", &posted);
        Ok(posted.map_err(|error| error as i32))
    })?;
    let posted = b.join()?;
    let c = stage.fork("C", |stage| {
        let lock = sem_open(&name).context("sem_open")?;
        let entered = sem_trywait(&lock); // as sem_wait, but never sleeps
        stage.call("sem_trywait(lock)", &entered);
        if entered.is_ok() {
            stage.event("C", "is inside too");
        }
        Ok(entered.is_ok())
    })?;
    let entered = c.join()?;
    leave.open(1)?;
    a.join()?;
    let value = sem_getvalue(&lock);
    stage.call("sem_getvalue(lock), with C inside", &value);
    stage.saw("B's sem_post", posted.map_err(Errno::from_raw).shown());
    stage.saw("C entered while A was inside", entered);
    stage.saw("the value once A has left", value);
    match (posted, entered) {
        (Err(_), _) => Ok(2),
        (Ok(()), false) => Ok(3),
        (Ok(()), true) => Ok(1),
    }
}
// ANCHOR_END: no-owner

pub(super) const VALUE_OF_SLEEPERS: Experiment = Experiment {
    name: "value-of-sleepers",
    title: "How many are waiting?",
    level: Level::First,
    question: "Two processes sleep in sem_wait(3) on a POSIX semaphore. A third \
               would like to know how many wait, and calls sem_getvalue(3). You \
               may have read that POSIX allows two answers. Which value does it \
               get on Linux?",
    answers: &[
        wrong(
            "minus two",
            "POSIX allows it, and Dijkstra's own description of a semaphore can be \
             read like that. Linux has chosen the other way that POSIX allows.",
        ),
        right(
            "zero",
            "On Linux the value is never below 0. A POSIX semaphore does not tell \
             how many sleep; a System V one does, by semctl(2) with GETNCNT.",
        ),
        wrong(
            "plus two",
            "The value is how many may still pass without sleeping. It is 0, or \
             nobody would sleep.",
        ),
    ],
    kind: Kind::Kernel,
    run: value_of_sleepers,
    moral: "Do not count sleepers by sem_getvalue. And whatever it says may be old when you \
            look at it: it is for a display, not for a decision.",
    see: "sem_getvalue(3), semctl(2)",
    file: file!(),
    shows: &["value-of-sleepers"],
};

// ANCHOR: value-of-sleepers
fn value_of_sleepers(stage: &Stage) -> Result<usize> {
    let semaphore =
        sem_create(&stage.semaphore("semaphore"), 0).context("sem_open")?;
    let id = set_of(stage, &[0])?;
    let mut all = Vec::new();
    for who in ["waiter 1", "waiter 2"] {
        let waiter = stage.fork(who, |_| Ok(sem_wait(&semaphore)?))?;
        waiter.until_asleep_in(&WAITS)?;
        stage.event(who, "sleeps in sem_wait()");
        all.push(waiter);
    }
    let value = sem_getvalue_or_sleepers(&semaphore);
    stage.call("sem_getvalue()", &value);
    for who in ["waiter 3", "waiter 4"] {
        let waiter = stage.fork(who, |_| Ok(semop(id, -1, 0)?))?;
        waiter.until_asleep_in(&WAITS)?;
        stage.event(who, "sleeps in semop(id, {0, -1, 0}, 1)");
        all.push(waiter);
    }
    let system_v = semctl_getval(id).context("semctl")?;
    stage.call("semctl(id, 0, GETVAL)", &system_v);
    let counted = semctl_getncnt(id).context("semctl")?;
    stage.call("semctl(id, 0, GETNCNT)", &counted);
    let asleep = all.iter().map(sleeps).collect::<Result<Vec<_>>>()?;
    stage.saw("sem_getvalue with two sleepers", value);
    stage.saw("GETVAL with two sleepers", system_v);
    stage.saw("GETNCNT with two sleepers", counted);
    stage.saw("all four sleep", asleep.iter().all(|asleep| *asleep));
    match value {
        -2 => Ok(1),
        0 => Ok(2),
        2 => Ok(3),
        other => bail!("sem_getvalue: {other}"),
    }
}
// ANCHOR_END: value-of-sleepers
