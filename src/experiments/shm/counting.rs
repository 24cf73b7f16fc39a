//! Numbers that two processes change.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use syscalls::Sysno;

use super::{race, without_name};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::cleanup::Object;
use os::semaphore::{Named, sem_create, sem_post, sem_wait};
use os::shm_file::semaphore_path;

pub(super) const LOST_COUNTS: Experiment = Experiment {
    name: "lost-counts",
    title: "Two processes count in one number",
    level: Level::First,
    question: "A number in shared memory is 0. Two processes each add 1 to it, 100 times: \
               load it, add 1, store the sum. No load and no store is ever torn. What is the \
               least that the number can be in the end?",
    answers: &[
        wrong(
            "two hundred, all that was counted",
            "That would be true if adding 1 were one step. It is three: load, add, store. \
             Between the load and the store the other process can do anything.",
        ),
        wrong(
            "a hundred, half of what was counted",
            "That is the worst case if the two go in step. But one of them can sleep between \
             its load and its store for as long as the other takes to count to 99.",
        ),
        right(
            "two, a hundredth of what was counted",
            "A loads 0 and sleeps. B counts to 99. A stores 1: 99 counts are gone. B loads \
             that 1 for its last round and sleeps. A counts to 100. B stores 2.",
        ),
        wrong(
            "zero, nothing of what was counted",
            "Each store is of 1 or more. So the number is at least 1 after the first store, \
             the last round of each process loads at least 1, and stores at least 2.",
        ),
    ],
    kind: Kind::Kernel,
    run: lost_counts,
    moral: "A race can lose nearly all counts, not just a few. For one number use fetch_add; \
            for several, a lock around all the steps.",
    see: "shm_overview(7), sem_overview(7)",
    file: file!(),
    shows: &["lost-counts-broken", "lost-counts-cured", "lost-counts"],
};

// ANCHOR: lost-counts-broken
/// Load, add, store; `between` is when the scheduler takes the processor away.
fn count(number: &AtomicU64, between: impl FnOnce() -> Result<()>) -> Result<()> {
    let loaded = number.load(Ordering::SeqCst);
    between()?;
    number.store(loaded + 1, Ordering::SeqCst);
    Ok(())
}
// ANCHOR_END: lost-counts-broken

// ANCHOR: lost-counts-cured
/// One step: no other process can do anything in the middle of it.
fn count_in_one_step(number: &AtomicU64) {
    number.fetch_add(1, Ordering::SeqCst);
}

/// Three steps: no process that takes the same semaphore comes between them.
fn count_alone(
    number: &AtomicU64,
    semaphore: &Named,
    between: impl FnOnce() -> Result<()>,
) -> Result<()> {
    sem_wait(semaphore)?;
    count(number, between)?;
    Ok(sem_post(semaphore)?)
}
// ANCHOR_END: lost-counts-cured

// ANCHOR: lost-counts
fn lost_counts(stage: &Stage) -> Result<usize> {
    let memory = without_name(4096)?;
    let number = memory.u64(0);
    let (a_loaded, b_did_99) = (stage.gate()?, stage.gate()?);
    let (a_stored, b_loaded, a_done) = (stage.gate()?, stage.gate()?, stage.gate()?);
    let a = stage.fork("A", |stage| {
        count(number, || {
            stage.event("A", "loads 0, and sleeps");
            a_loaded.open(1)?;
            b_did_99.pass()
        })?;
        stage.event("A", "stores 1: 99 counts are gone");
        a_stored.open(1)?;
        b_loaded.pass()?;
        (2..=100).try_for_each(|_| count(number, || Ok(())))?;
        stage.event("A", "counts to 100, its last");
        a_done.open(1)
    })?;
    let b = stage.fork("B", |stage| {
        a_loaded.pass()?;
        (1..=99).try_for_each(|_| count(number, || Ok(())))?;
        stage.event("B", "counts to 99");
        b_did_99.open(1)?;
        a_stored.pass()?;
        count(number, || {
            stage.event("B", "loads 1 for its last, and sleeps");
            b_loaded.open(1)?;
            a_done.pass()
        })?;
        stage.event("B", "stores 2");
        Ok(())
    })?;
    a.join()?;
    b.join()?;
    let left = number.load(Ordering::SeqCst);
    stage.saw("load, add, store", left);
    with_fetch_add(stage)?;
    with_a_semaphore(stage)?;
    match left {
        200 => Ok(1),
        100 => Ok(2),
        2 => Ok(3),
        other => bail!("counted to {other}"),
    }
}

fn with_fetch_add(stage: &Stage) -> Result<()> {
    let memory = without_name(4096)?;
    let count = |_: &Stage| {
        (1..=100).for_each(|_| count_in_one_step(memory.u64(0)));
        Ok(())
    };
    let (a, b) = (stage.fork("A", count)?, stage.fork("B", count)?);
    a.join()?;
    b.join()?;
    stage.saw("fetch_add", memory.u64(0).load(Ordering::SeqCst));
    Ok(())
}

/// A sleeps between its load and its store, as above, and B must wait.
fn with_a_semaphore(stage: &Stage) -> Result<()> {
    let memory = without_name(4096)?;
    let name = stage.segment("semaphore");
    stage.made(&Object::Semaphore(semaphore_path(&name), 1));
    let semaphore = sem_create(&name, 1).context("sem_open")?;
    let (a_loaded, go_on) = (stage.gate()?, stage.gate()?);
    let a = stage.fork("A", |_| {
        let sleep = || {
            a_loaded.open(1)?;
            go_on.pass()
        };
        count_alone(memory.u64(0), &semaphore, sleep)
    })?;
    let b = stage.fork("B", |_| {
        a_loaded.pass()?;
        count_alone(memory.u64(0), &semaphore, || Ok(()))
    })?;
    b.until_asleep_in(&[Sysno::futex])?;
    stage.event("B", "sleeps in sem_wait(): A is between its load and its store");
    go_on.open(1)?;
    a.join()?;
    b.join()?;
    stage.saw("1 each, with a semaphore", memory.u64(0).load(Ordering::SeqCst));
    Ok(())
}
// ANCHOR_END: lost-counts

pub(super) const FALSE_SHARING: Experiment = Experiment {
    name: "false-sharing",
    title: "Two counters side by side",
    level: Level::Later,
    question: "Two processes on two CPUs each add 1, 500,000 times, to a counter of their \
               own in shared memory, by fetch_add with Relaxed. The counters are 8 bytes \
               apart, in one cache line of 64 bytes, which only one CPU at a time can \
               change. What is lost?",
    answers: &[
        wrong(
            "many counts, and some time too",
            "A CPU would lose them if it wrote back the whole line with an old value of the \
             other counter. It does not: the line moves with all its bytes, and only the CPU \
             that has it can change it.",
        ),
        right(
            "much time, but no count at all",
            "The counts are exact. But the line moves from one CPU to the other and back, \
             although neither process needs the other's number. This is called false \
             sharing.",
        ),
        wrong(
            "a few counts, but no time",
            "Relaxed leaves open the order among different variables. Each fetch_add is \
             still one step, so no count is lost.",
        ),
    ],
    kind: Kind::Kernel,
    run: false_sharing,
    moral: "No test of the result finds false sharing; only a clock does. What different \
            CPUs write belongs on different cache lines, like head and tail of this \
            chapter's ring.",
    see: "sched_setaffinity(2)",
    file: file!(),
    shows: &["false-sharing-broken", "false-sharing-cured", "false-sharing"],
};

// ANCHOR: false-sharing-broken
/// Where the two counters are: in one line.
const SIDE_BY_SIDE: [usize; 2] = [0, 8];
// ANCHOR_END: false-sharing-broken

// ANCHOR: false-sharing-cured
/// Two lines apart, since many CPUs fetch lines in pairs.
const APART: [usize; 2] = [0, 128];
// ANCHOR_END: false-sharing-cured

// ANCHOR: false-sharing
const TIMES: u64 = 500_000;

/// What both counters hold in the end, and how many milliseconds it took.
fn count_at(stage: &Stage, offsets: [usize; 2]) -> Result<([u64; 2], u128)> {
    let memory = without_name(4096)?;
    let both = stage.gate()?;
    let cpus = race::cpus()?;
    let count = |at: usize, cpu: usize| {
        race::stay_on(cpu)?;
        both.pass()?;
        (0..TIMES).for_each(|_| {
            memory.u64(at).fetch_add(1, Ordering::Relaxed);
        });
        Ok(())
    };
    let a = stage.fork("A", |_| count(offsets[0], cpus[0]))?;
    let b = stage.fork("B", |_| count(offsets[1], cpus[cpus.len() - 1]))?;
    let began = Instant::now();
    both.open(2)?;
    a.join()?;
    b.join()?;
    let took = began.elapsed().as_millis();
    Ok((offsets.map(|at| memory.u64(at).load(Ordering::Relaxed)), took))
}

fn false_sharing(stage: &Stage) -> Result<usize> {
    let (near, slow) = count_at(stage, SIDE_BY_SIDE)?;
    let (far, fast) = count_at(stage, APART)?;
    stage.saw("counted 8 bytes apart", near.to_vec());
    stage.saw("counted 128 bytes apart", far.to_vec());
    stage.note(match race::cpus()?.len() {
        1 => "one CPU, so there is nothing to share falsely.".to_owned(),
        _ => format!(
            "8 bytes apart it took {slow} ms, 128 bytes apart {fast} ms, this time."
        ),
    });
    let exact = [TIMES; 2];
    Ok(match (near == exact, far == exact) {
        (true, _) => 2,
        (false, true) => 1,
        (false, false) => 3,
    })
}
// ANCHOR_END: false-sharing
