//! Several semaphores in one call, and waiting for several or for none.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use libc::IPC_NOWAIT;
use nix::errno::Errno;

use super::{WAITS, set_of, sleeps};
use crate::experiments::child::Child;
use crate::experiments::record::Returned;
use crate::experiments::row::{Experiment, Kind, right, wrong};
use crate::experiments::stage::{Gate, Stage};
use crate::os::sysv_semaphore::{
    semctl_getall, semctl_getval, semop, semop_all, semtimedop,
};

pub(super) const ALL_OR_NOTHING: Experiment = Experiment {
    name: "all-or-nothing",
    title: "Two resources in one call",
    question: "A set of two System V semaphores has the values 1 and 0. A wants both: one \
               call of semop(2) with two operations, -1 on the first and -1 on the second. \
               It sleeps, as the second is 0. B wants the first one alone. Can it have it, \
               while A sleeps?",
    answers: &[
        wrong(
            "no: A has taken the first, and sleeps for the second",
            "That would be two calls. One call takes all that it asks for, or nothing.",
        ),
        wrong(
            "no: the first is 1, but it is reserved for A, who came earlier",
            "There is no reservation. Whoever can go on, does.",
        ),
        right(
            "yes: A has taken nothing so far",
            "The kernel looks at all operations; if one cannot be done, none is, and A \
             sleeps. B takes the first, and A's chance gets worse.",
        ),
    ],
    kind: Kind::Kernel,
    run: all_or_nothing,
    moral: "This is what System V sets are for: whoever needs several resources takes them \
            in one semop, and never holds one while he sleeps for another. POSIX semaphores \
            cannot do it.",
    see: "semop(2)",
    file: file!(),
    shows: &["all-or-nothing"],
};

// ANCHOR: all-or-nothing
fn all_or_nothing(stage: &Stage) -> Result<usize> {
    let set = set_of(stage, &[1, 0])?;
    let told = stage.gate()?;
    let a = stage.fork("A", |stage| {
        let both = semop_all(set, &[(0, -1, 0), (1, -1, 0)]);
        told.pass()?; // so that the report has its cause first
        stage.call("semop(set, {0, -1, 0}, {1, -1, 0}, 2)", &both);
        Ok(both?)
    })?;
    a.until_asleep_in(&WAITS)?;
    stage.event("A", "sleeps in semop(set, {0, -1, 0}, {1, -1, 0}, 2)");
    let values = |when: &str| {
        let values = semctl_getall(set).context("semctl(GETALL)")?;
        stage.call("semctl(set, 0, GETALL)", &format!("{values:?}"));
        stage.saw(when, values.clone());
        anyhow::Ok(values)
    };
    let asleep = values("while A sleeps")?;
    let taken = semop_all(set, &[(0, -1, IPC_NOWAIT)]);
    stage.call("B: semop(set, {0, -1, IPC_NOWAIT}, 1)", &taken);
    stage.saw("B could take the first", taken.is_ok());
    // Now the second is there, but not the first: A cannot go on.
    stage.call("semop(set, {1, +1, 0}, 1)", &semop_all(set, &[(1, 1, 0)]));
    stage.saw("with the second alone A slept on", sleeps(&a)?);
    values("with the second alone")?;
    stage.call("B: semop(set, {0, +1, 0}, 1)", &semop_all(set, &[(0, 1, 0)]));
    let through = !sleeps(&a)?;
    told.open(1)?;
    a.join()?;
    stage.saw("with both it came through", through);
    values("after that")?;
    match (asleep[..].first(), taken) {
        (Some(0), _) => Ok(1),
        (Some(1), Err(Errno::EAGAIN)) => Ok(2),
        (Some(1), Ok(())) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: all-or-nothing

pub(super) const SWAPPED_WAITS: Experiment = Experiment {
    name: "swapped-waits",
    title: "Two locks, taken in two orders",
    question: "There are two locks, System V semaphores of the value 1. A has taken the first \
               and now waits for the second, in semop(2). B has taken the second and now \
               waits for the first. What does the kernel do?",
    answers: &[
        wrong(
            "B's semop fails with EDEADLK",
            "fcntl(2) locks do that: a lock has an owner, so the kernel can follow the \
             circle. A semaphore has none, and anybody might post at any time.",
        ),
        wrong(
            "it wakes one of them with EAGAIN, after a while",
            "Only if that one has asked for it: semtimedop(2) with a time.",
        ),
        right(
            "nothing: both sleep, and will for ever",
            "Each waits for what the other will give back only after it got what it waits \
             for. To the kernel these are two processes that wait for a number to rise.",
        ),
    ],
    kind: Kind::Kernel,
    run: swapped_waits,
    moral: "Take both in one semop, as the cured variant does; or take locks in one order \
            everywhere. A timeout does not prevent a deadlock, it only shows it: EAGAIN from \
            semtimedop, ETIMEDOUT from sem_timedwait.",
    see: "semop(2), sem_timedwait(3), fcntl(2)",
    file: file!(),
    shows: &["swapped-waits-broken", "swapped-waits-cured", "swapped-waits"],
};

// ANCHOR: swapped-waits-broken
/// Takes one lock after the other, and pauses between them until it may go on.
fn one_by_one(set: i32, first: u16, has_one: &Gate, go: &Gate) -> Result<()> {
    semop_all(set, &[(first, -1, 0)]).context("semop")?;
    has_one.open(1)?;
    go.pass()?;
    semop_all(set, &[(1 - first, -1, 0)]).context("semop")
}
// ANCHOR_END: swapped-waits-broken

// ANCHOR: swapped-waits-cured
/// Takes both at once, in whatever order it names them.
fn both_at_once(set: i32, first: u16, has_one: &Gate, go: &Gate) -> Result<()> {
    has_one.open(1)?;
    go.pass()?;
    semop_all(set, &[(first, -1, 0), (1 - first, -1, 0)]).context("semop")
}
// ANCHOR_END: swapped-waits-cured

// ANCHOR: swapped-waits
fn swapped_waits(stage: &Stage) -> Result<usize> {
    type Take = fn(i32, u16, &Gate, &Gate) -> Result<()>;
    // Do both come to an end who take the two locks so, in opposite orders?
    let ends = |take: Take| {
        let set = set_of(stage, &[1, 1])?;
        let (has_one, go) = (stage.gate()?, stage.gate()?);
        let part = |who, first| {
            stage.fork(who, |stage| {
                let taken = take(set, first, &has_one, &go);
                stage.event(who, "has both locks, and gives them back");
                semop_all(set, &[(0, 1, 0), (1, 1, 0)])?;
                taken
            })
        };
        let (a, b): (Child<()>, Child<()>) = (part("A", 0)?, part("B", 1)?);
        has_one.pass()?;
        has_one.pass()?;
        let values = semctl_getall(set).context("semctl(GETALL)")?;
        stage.call("semctl(set, 0, GETALL)", &format!("{values:?}"));
        go.open(2)?;
        if values != [0, 0] {
            a.join()?;
            b.join()?;
            return anyhow::Ok((true, None));
        }
        a.until_asleep_in(&WAITS)?;
        stage.event("A", "has the first, sleeps in semop(set, {1, -1, 0}, 1)");
        b.until_asleep_in(&WAITS)?;
        stage.event("B", "has the second, sleeps in semop(set, {0, -1, 0}, 1)");
        // A third one with a timeout. Nobody is left who could give anything back.
        let timeout = Duration::from_millis(10);
        let third = semtimedop(set, -1, 0, timeout);
        stage.call("semtimedop(set, {0, -1, 0}, 1, {10 ms})", &third);
        let both = sleeps(&a)? && sleeps(&b)?;
        Ok((!both, third.err()))
    };
    let (broken, timeout) = ends(one_by_one)?;
    stage.saw("one by one, both came through", broken);
    stage
        .saw("a third one with a timeout", timeout.map(|e| Err::<(), _>(e).shown()));
    let (cured, _) = ends(both_at_once)?;
    stage.saw("both at once, both came through", cured);
    match (broken, timeout) {
        (false, Some(Errno::EAGAIN)) => Ok(3),
        (true, _) => Ok(1),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: swapped-waits

pub(super) const BIG_WAIT_STARVES: Experiment = Experiment {
    name: "big-wait-starves",
    title: "Waiting for two",
    question: "A System V semaphore has the value 0. A sleeps first, in semop(2) of -2: it \
               needs two. B comes later and sleeps in semop of -1. Now somebody posts one: \
               semop of +1. Who goes on?",
    answers: &[
        right(
            "B, although A came first",
            "Whoever can be satisfied, is. As long as there is always somebody who wants \
             one, A will never see a two.",
        ),
        wrong(
            "nobody: A is first in the queue, and gets one of its two",
            "A semop takes all that it asks for, or nothing. There is no half of it.",
        ),
        wrong(
            "nobody: A is first in the queue, and B must wait behind it",
            "The queue decides between those who can go on. It does not hold back one who \
             can, for the sake of one who cannot.",
        ),
    ],
    kind: Kind::Kernel,
    run: big_wait_starves,
    moral: "Who waits for many waits long, and maybe for ever: posts of one at a time feed \
            the small ones. If that matters, let the small ones queue behind a lock which \
            the big one can take too.",
    see: "semop(2)",
    file: file!(),
    shows: &["big-wait-starves"],
};

// ANCHOR: big-wait-starves
fn big_wait_starves(stage: &Stage) -> Result<usize> {
    let id = set_of(stage, &[0])?;
    let never = stage.gate()?;
    let wait_for = |who, number: i16| {
        let waiter = stage.fork(who, |_| {
            semop(id, -number, 0).context("semop")?;
            never.pass()
        })?;
        waiter.until_asleep_in(&WAITS)?;
        stage.event(who, format!("sleeps in semop(id, {{0, -{number}, 0}}, 1)"));
        anyhow::Ok(waiter)
    };
    // Posts one. Who of the two sleeps on, and what is left of it?
    let post = |a: &Child<()>, other: &Child<()>, who: &str| {
        stage.call("semop(id, {0, +1, 0}, 1)", &semop(id, 1, 0));
        let (a, other) = (sleeps(a)?, sleeps(other)?);
        stage.event("A", if a { "still sleeps" } else { "has gone on" });
        stage.event(who, if other { "still sleeps" } else { "has gone on" });
        let value = semctl_getval(id);
        stage.call("semctl(id, 0, GETVAL)", &value);
        anyhow::Ok((a, other, value.context("semctl")?))
    };
    let a = wait_for("A", 2)?;
    let b = wait_for("B", 1)?;
    let first = post(&a, &b, "B")?;
    let c = wait_for("C", 1)?; // there is always one who wants just one
    let second = post(&a, &c, "C")?;
    stage.saw("after the first post A sleeps", first.0);
    stage.saw("after the first post B sleeps", first.1);
    stage.saw("after the second post A sleeps", second.0);
    stage.saw("after the second post C sleeps", second.1);
    match first {
        (true, true, 0) => Ok(2),
        (true, true, _) => Ok(3),
        (true, false, 0) => Ok(1),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: big-wait-starves

pub(super) const WAIT_FOR_ZERO: Experiment = Experiment {
    name: "wait-for-zero",
    title: "An operation of 0",
    question: "A System V semaphore has the value 2. A process calls semop(2) with an \
               operation whose sem_op is 0. What happens?",
    answers: &[
        right(
            "it sleeps until the value is 0",
            "So a counter of those who are still at work can be waited for: each takes 1 \
             at its end, and whoever waits for 0 goes on after the last.",
        ),
        wrong(
            "nothing: it adds 0, and returns 0",
            "+1 adds, -1 takes, and 0 is neither: it is a third operation.",
        ),
        wrong(
            "-1 and EINVAL: 0 is neither a post nor a wait",
            "POSIX semaphores know just these two. System V ones have a third.",
        ),
    ],
    kind: Kind::Kernel,
    run: wait_for_zero,
    moral: "The value as the number of workers, -1 from each, 0 to wait for all: with \
            semop a barrier is one call. It must not rise again before all have seen the 0.",
    see: "semop(2)",
    file: file!(),
    shows: &["wait-for-zero"],
};

// ANCHOR: wait-for-zero
fn wait_for_zero(stage: &Stage) -> Result<usize> {
    let id = set_of(stage, &[2])?;
    let told = stage.gate()?;
    let waiter = stage.fork("waiter", |stage| {
        let waited = semop(id, 0, 0);
        told.pass()?; // so that the report has its cause first
        stage.call("semop(id, {0, 0, 0}, 1)", &waited);
        Ok(waited.map_err(|error| error as i32))
    })?;
    let mut slept = vec![sleeps(&waiter)?];
    stage.saw("it slept while the value was 2", slept[0]);
    if slept[0] {
        stage.event("waiter", "sleeps in semop(id, {0, 0, 0}, 1)");
    }
    for who in ["worker 1", "worker 2"] {
        let worker = stage.fork(who, |stage| {
            stage.call("semop(id, {0, -1, 0}, 1)", &semop(id, -1, 0));
            Ok(())
        })?;
        worker.join()?;
        slept.push(sleeps(&waiter)?);
    }
    told.open(1)?;
    let waited = waiter.join()?.map_err(Errno::from_raw);
    stage.saw("while it was 1", slept[1]);
    stage.saw("while it was 0", slept[2]);
    match (&slept[..], waited) {
        ([false, ..], Ok(())) => Ok(2),
        ([false, ..], Err(Errno::EINVAL)) => Ok(3),
        ([true, true, false], Ok(())) => Ok(1),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: wait-for-zero
