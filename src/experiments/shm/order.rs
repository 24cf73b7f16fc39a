//! In which order another CPU sees what was stored.

use std::sync::atomic::Ordering::{self, Acquire, Relaxed, Release, SeqCst};
use std::time::Duration;

use anyhow::Result;

use super::model::Step::{Load, Store};
use super::model::outcomes;
use super::race::{Round, cpus, race};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use doctor::probes::needs;

pub(super) const RELAXED: Experiment = Experiment {
    name: "relaxed",
    title: "A message, and a flag that says it is there",
    level: Level::Later,
    question: "A message and a flag, both atomic, are 0. A writer stores the message, then \
               the flag, with Release. A reader loads the flag, with Acquire, and if it is \
               set, the message. By the rules of Rust, which of the two could be Relaxed \
               without the message being missed?",
    answers: &[
        wrong(
            "both the store and the load",
            "Each process runs its lines in order as far as it can tell itself. The compiler \
             and the CPU can change the order of accesses to different variables, and \
             another process can see that.",
        ),
        wrong(
            "the load of the flag, but not the store",
            "Release keeps the writer's stores in order. But the reader's load of the \
             message can be done before its load of the flag.",
        ),
        wrong(
            "the store of the flag, but not the load",
            "Acquire keeps the reader's loads in order. But the flag can become visible \
             before the message does.",
        ),
        right(
            "neither the store nor the load",
            "They work as a pair: an Acquire load that finds what a Release store wrote also \
             sees all that was stored before. The message itself can be Relaxed.",
        ),
    ],
    kind: Kind::Model,
    run: relaxed,
    moral: "An x86 CPU keeps stores in order among themselves, and loads too, so no test \
            there shows a missing Release. It is still wrong: on ARM, and with any compiler \
            that makes use of it. A model finds it everywhere.",
    see: "std::sync::atomic::Ordering",
    file: file!(),
    shows: &["relaxed-broken", "relaxed-cured", "relaxed"],
};

// ANCHOR: relaxed-broken
/// The orders in which the flag is stored and loaded.
const TOO_WEAK: [(Ordering, Ordering); 3] =
    [(Relaxed, Relaxed), (Release, Relaxed), (Relaxed, Acquire)];
// ANCHOR_END: relaxed-broken

// ANCHOR: relaxed-cured
/// A pair.
const PAIRED: (Ordering, Ordering) = (Release, Acquire);
// ANCHOR_END: relaxed-cured

// ANCHOR: relaxed
const MESSAGE: usize = 0;
const FLAG: usize = 1;

/// Whether the model has an execution in which the flag is set, and the message is not.
fn message_missed((stored, loaded): (Ordering, Ordering)) -> bool {
    let writer = [Store(MESSAGE, Relaxed), Store(FLAG, stored)];
    let reader = [Load(FLAG, loaded), Load(MESSAGE, Relaxed)];
    outcomes(&[&writer, &reader]).contains(&vec![1, 0])
}

fn relaxed(stage: &Stage) -> Result<usize> {
    let orders = [TOO_WEAK[0], TOO_WEAK[1], TOO_WEAK[2], PAIRED];
    let missed = orders.map(message_missed);
    for ((stored, loaded), missed) in orders.into_iter().zip(missed) {
        let pair = format!("stored {stored:?}, loaded {loaded:?}");
        let text = if missed { "the message can be missed" } else { "never missed" };
        stage.event("model", format!("{pair}: {text}"));
        stage.saw(&format!("missed, {pair}"), missed);
    }
    on_this_cpu(stage)?;
    // The weakest that will do.
    Ok(missed.iter().position(|missed| !missed).map_or(0, |at| at + 1))
}

/// The same with Relaxed on the CPUs that are here.
fn on_this_cpu(stage: &Stage) -> Result<()> {
    if cpus()?.len() < 2 {
        return Ok(());
    }
    let writer = |round: &Round| {
        round.x.store(1, Relaxed);
        round.y.store(1, Relaxed);
        0
    };
    let reader = |round: &Round| {
        let flag = round.y.load(Relaxed);
        let message = round.x.load(Relaxed);
        u32::from(!(flag == 1 && message == 0))
    };
    let (rounds, missed) =
        race(stage, (writer, reader), 200_000, Duration::from_millis(300))?;
    stage.note(format!(
        "with Relaxed on both sides, two processes on two CPUs ({}) missed the message \
         {missed} times in {rounds} rounds.",
        std::env::consts::ARCH
    ));
    Ok(())
}
// ANCHOR_END: relaxed

pub(super) const STORE_BUFFERING: Experiment = Experiment {
    name: "store-buffering",
    title: "Each sets its flag, then looks at the other's",
    level: Level::Deep,
    question: "Two flags in shared memory are 0. On one CPU, A stores 1 in its flag, then \
               loads B's. On another, B stores 1 in its flag, then loads A's. They must \
               never both load 0. What is the least that ensures this, by the rules of Rust?",
    answers: &[
        wrong(
            "Release for the stores, Acquire for the loads",
            "The load can come before the store, on x86 too. A CPU puts a store into a \
             buffer of its own, and can load before the buffer is written out to where the \
             other CPU sees it.",
        ),
        wrong(
            "Release for the stores, SeqCst for the loads",
            "On x86 such a load is an ordinary one, and does not wait until the store is \
             seen. By the rules, a SeqCst load can miss a store that is only Release.",
        ),
        right(
            "SeqCst for the stores, SeqCst for the loads",
            "All SeqCst operations have one order, the same for all processes. In it one of \
             the stores is the last, and the load behind that store finds the other one. \
             SeqCst for the stores alone is enough on x86, but not by the rules.",
        ),
        wrong(
            "a lock around each store and the load after it",
            "That ensures it, but it is more than is needed, and takes longer.",
        ),
    ],
    kind: Kind::Needs(&needs::TWO_CPUS),
    run: store_buffering,
    moral: "`I sleep` and `there is something to read` are two such flags: without SeqCst, \
            or a fence, the sender sees no sleeper, the receiver sees no message, and sleeps \
            for ever. This chapter's ring has that fence.",
    see: "std::sync::atomic::Ordering, futex(2)",
    file: file!(),
    shows: &["store-buffering-broken", "store-buffering-cured", "store-buffering"],
};

// ANCHOR: store-buffering-broken
fn a_releases(flags: &Round) -> u32 {
    flags.x.store(1, Release);
    flags.y.load(Acquire)
}

fn b_releases(flags: &Round) -> u32 {
    flags.y.store(1, Release);
    flags.x.load(Acquire)
}
// ANCHOR_END: store-buffering-broken

// ANCHOR: store-buffering-cured
fn a_in_one_order(flags: &Round) -> u32 {
    flags.x.store(1, SeqCst);
    flags.y.load(SeqCst)
}

fn b_in_one_order(flags: &Round) -> u32 {
    flags.y.store(1, SeqCst);
    flags.x.load(SeqCst)
}
// ANCHOR_END: store-buffering-cured

// ANCHOR: store-buffering
fn store_buffering(stage: &Stage) -> Result<usize> {
    stage.needs(&needs::TWO_CPUS)?;
    let orders = [(Release, Acquire), (Release, SeqCst), (SeqCst, SeqCst)];
    let both_zero = orders.map(|(stored, loaded)| {
        let a = [Store(0, stored), Load(1, loaded)];
        let b = [Store(1, stored), Load(0, loaded)];
        let both = outcomes(&[&a, &b]).contains(&vec![0, 0]);
        let text = format!("stored {stored:?}, loaded {loaded:?}");
        let can = if both { "both can load 0" } else { "never both 0" };
        stage.event("model", format!("{text}: {can}"));
        stage.saw(&format!("both can load 0, {text}"), both);
        both
    });
    // It is a matter of nanoseconds, and nothing can force it: again, until it is seen.
    let (rounds, both) = race(
        stage,
        (a_releases, b_releases),
        20_000_000,
        Duration::from_millis(2000),
    )?;
    stage.event("both", "set a flag with Release, and load the other with Acquire");
    stage.saw("both found 0", both > 0);
    stage.note(format!("it was seen within {rounds} rounds."));
    let (rounds, never) = race(
        stage,
        (a_in_one_order, b_in_one_order),
        500_000,
        Duration::from_millis(500),
    )?;
    stage.event("both", "the same with SeqCst");
    stage.saw("both found 0, with SeqCst", never > 0);
    stage.note(format!("with SeqCst there were {rounds} rounds."));
    // The weakest that will do, if the CPUs do not show otherwise.
    let weakest = both_zero.iter().position(|both| !both);
    Ok(if never > 0 { 4 } else { weakest.map_or(4, |at| at + 1) })
}
// ANCHOR_END: store-buffering
