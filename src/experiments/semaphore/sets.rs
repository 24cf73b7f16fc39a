//! Several semaphores in one call, and waiting for several or for none.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use libc::IPC_NOWAIT;
use nix::errno::Errno;

use super::{WAITS, set_of, sleeps};
use crate::child::Child;
use crate::record::Returned;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::{Gate, Stage};
use os::sysv_semaphore::{
    semctl_getall, semctl_getval, semop, semop_all, semtimedop,
};

pub(super) const ALL_OR_NOTHING: Experiment = Experiment {
    name: "all-or-nothing",
    title: "Two resources in one call",
    level: Level::Later,
    question: "A set of two System V semaphores has the values 1 and 0. A wants \
               both: one call of semop(2) with two operations, -1 on each. It \
               sleeps, since the second is 0. B wants the first one alone. Does it \
               get it while A sleeps?",
    answers: &[
        wrong(
            "no, A has taken it",
            "That would be two calls. One call takes all that it asks for, or \
             nothing.",
        ),
        wrong(
            "no, it is kept for A",
            "A came earlier, but there is no reservation. Whichever process can go \
             on, does.",
        ),
        right(
            "yes, it is free",
            "A has taken nothing yet. The kernel looks at all operations; if one \
             cannot be done, none is, and A sleeps. B takes the first, and A's \
             chance gets worse.",
        ),
    ],
    kind: Kind::Kernel,
    run: all_or_nothing,
    moral: "This is what System V sets are for: a process that needs several \
            resources takes them in one semop, and never holds one while it sleeps \
            for another. POSIX semaphores cannot do it.",
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
    level: Level::Later,
    question: "There are two locks, System V semaphores of the value 1. A has taken the first \
               and now waits for the second, in semop(2). B has taken the second and now \
               waits for the first. What does the kernel do?",
    answers: &[
        wrong(
            "it wakes one of them with EDEADLK",
            "fcntl(2) locks do that: a lock has an owner, and the kernel can \
             follow the circle. A semaphore has none, and any process might post \
             at any time.",
        ),
        wrong(
            "it wakes one of them with EAGAIN",
            "Only if that one has asked for it: semtimedop(2) with a time.",
        ),
        right(
            "it lets both of them sleep on after that",
            "Each waits for what the other will give back only after it got what \
             it waits for. To the kernel these are two processes that wait for a \
             number to rise.",
        ),
    ],
    kind: Kind::Kernel,
    run: swapped_waits,
    moral: "Take both in one semop, as the cured variant does; or take locks in \
            one order everywhere. A timeout does not prevent a deadlock, it only \
            shows it: EAGAIN from semtimedop, ETIMEDOUT from sem_timedwait.",
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
    // Two processes take the two locks so, in opposite orders. Do both end?
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
        // A third one with a timeout. No process is left to give anything back.
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
    level: Level::Deep,
    question: "A System V semaphore has the value 0. A sleeps first, in semop(2) \
               of -2: it needs two. B comes later and sleeps in semop of -1. Now a \
               process posts one: semop of +1. What becomes of it?",
    answers: &[
        right(
            "B takes it; A sleeps on",
            "Whichever process can go on, does. As long as there is always one \
             that wants one, A will never see a two.",
        ),
        wrong(
            "A takes it, and sleeps for another",
            "A semop takes all that it asks for, or nothing. There is no half of \
             it.",
        ),
        wrong(
            "it stays; A and B sleep on",
            "A is first in the queue. But the queue decides between those that can \
             go on. It does not hold back one that can for the sake of one that \
             cannot.",
        ),
    ],
    kind: Kind::Kernel,
    run: big_wait_starves,
    moral: "A process that waits for many waits long, and maybe for ever: posts of \
            one at a time go to the small ones. If that matters, let the small \
            ones queue behind a lock which the big one can take too.",
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
    // Posts one. Which of the two processes sleeps on, and what is left of it?
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
    title: "A barrier in one call",
    level: Level::Deep,
    question: "In semop(2) an operation of 0 waits until the value is 0. Two \
               workers share a System V semaphore of the value 2. To wait for each \
               other, each makes one call with two operations on it: -1, then 0. \
               What happens?",
    answers: &[
        right(
            "both sleep, and the value stays two",
            "One call does all that it asks for, or nothing. -1 and then 0 are \
             possible only while the value is 1. Neither call takes its 1 before \
             the other does, and both sleep for ever.",
        ),
        wrong(
            "both sleep, and the value becomes zero",
            "A call that sleeps has taken nothing, and the value stays.",
        ),
        wrong(
            "both go on, and the value becomes zero",
            "That is what two calls do: each worker takes 1 by the first, and \
             waits for 0 by the second. The run shows it.",
        ),
    ],
    kind: Kind::Kernel,
    run: wait_for_zero,
    moral: "A barrier is two calls: -1, then 0. The value is the number of \
            workers, and must not rise again before all have seen the 0.",
    see: "semop(2)",
    file: file!(),
    shows: &["wait-for-zero-broken", "wait-for-zero-cured", "wait-for-zero"],
};

// ANCHOR: wait-for-zero-broken
/// Takes 1 and waits for 0, in one call.
fn meet_in_one_call(id: i32) -> nix::Result<()> {
    semop_all(id, &[(0, -1, 0), (0, 0, 0)])
}
// ANCHOR_END: wait-for-zero-broken

// ANCHOR: wait-for-zero-cured
/// Takes 1, and then waits for 0.
fn meet_in_two_calls(id: i32) -> nix::Result<()> {
    semop(id, -1, 0)?;
    semop(id, 0, 0)
}
// ANCHOR_END: wait-for-zero-cured

// ANCHOR: wait-for-zero
fn wait_for_zero(stage: &Stage) -> Result<usize> {
    type Meet = fn(i32) -> nix::Result<()>;
    // Do two workers sleep in the end, and what is the value?
    let barrier = |how: &str, sleep: &str, meet: Meet| {
        let id = set_of(stage, &[2])?;
        let told = stage.gate()?;
        let worker = |who| {
            let worker = stage.fork(who, |_| {
                meet(id).context("semop")?;
                told.pass()
            })?;
            let sleeps = sleeps(&worker)?;
            let now = if sleeps { sleep } else { "has gone on" };
            stage.event(who, format!("{how}: {now}"));
            anyhow::Ok((worker, sleeps))
        };
        let (first, _) = worker("worker 1")?;
        let (second, second_sleeps) = worker("worker 2")?;
        let first_sleeps = sleeps(&first)?;
        let value = semctl_getval(id).context("semctl")?;
        if !first_sleeps {
            stage.event("worker 1", format!("{how}: has gone on"));
        }
        stage.call("semctl(id, 0, GETVAL)", &value);
        stage.saw(&format!("{how}: they sleep"), vec![first_sleeps, second_sleeps]);
        stage.saw(&format!("{how}: the value"), value);
        if !first_sleeps && !second_sleeps {
            told.open(2)?;
            first.join()?;
            second.join()?;
        } // else they are ended now
        anyhow::Ok((first_sleeps, second_sleeps, value))
    };
    let one = "sleeps in semop(id, {0, -1, 0}, {0, 0, 0}, 2)";
    let one = barrier("one call", one, meet_in_one_call)?;
    let two = "after semop(id, {0, -1, 0}, 1), sleeps in semop(id, {0, 0, 0}, 1)";
    let two = barrier("two calls", two, meet_in_two_calls)?;
    match (one, two) {
        ((true, true, 2), (false, false, 0)) => Ok(1),
        ((true, true, 0), _) => Ok(2),
        ((false, false, 0), _) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: wait-for-zero
