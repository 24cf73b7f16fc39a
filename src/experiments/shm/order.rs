//! In which order another CPU sees what was stored.

use std::sync::atomic::Ordering::{self, Acquire, Relaxed, Release, SeqCst};
use std::time::Duration;

use anyhow::Result;

use super::model::Step::{Load, Store};
use super::model::outcomes;
use super::race::{Round, cpus, race};
use crate::experiments::row::{Experiment, Kind, right, wrong};
use crate::experiments::stage::Stage;

pub(super) const RELAXED: Experiment = Experiment {
    name: "relaxed",
    title: "A message, and a flag that says it is there",
    question: "In shared memory there are a message and a flag, both 0 and both atomic. A \
               writer stores the message, then sets the flag. A reader loads the flag and, \
               once it is set, the message. Which orders must the two give, by the rules of \
               Rust, so that the reader never finds the flag set and the message still 0?",
    answers: &[
        wrong(
            "none: Relaxed everywhere will do, since each runs its lines in order",
            "Each does, as far as it can tell itself. The compiler and the CPU may change \
             the order of accesses to different variables, and somebody else can see that.",
        ),
        wrong(
            "Release where the flag is stored; the load can be Relaxed",
            "Release keeps the writer's stores in order. But the reader's load of the \
             message may be done before its load of the flag.",
        ),
        wrong(
            "Acquire where the flag is loaded; the store can be Relaxed",
            "Acquire keeps the reader's loads in order. But the flag may become visible \
             before the message does.",
        ),
        right(
            "Release where the flag is stored, and Acquire where it is loaded",
            "They work as a pair: whoever acquires what another released sees all that was \
             stored before. The message itself can be Relaxed.",
        ),
    ],
    kind: Kind::Model,
    run: relaxed,
    moral: "An x86 CPU keeps stores in order among themselves, and loads too, so a missing \
            Release shows on no test there. It is wrong all the same: on ARM, and with any \
            compiler that makes use of it. A model finds it everywhere.",
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
    title: "Each raises its flag, then looks at the other's",
    question: "Two flags in shared memory are 0. Process A sets its flag, then looks at B's. \
               At the same moment, on another CPU, B sets its flag, then looks at A's. \
               Stores are Release, loads are Acquire. One of them must have been first. Can \
               both find the other's flag still 0?",
    answers: &[
        wrong(
            "no: whoever was second sees the flag of whoever was first",
            "There may be no first. Each CPU puts its store into a buffer of its own, and \
             loads before the buffer is written out to where the other can see it.",
        ),
        wrong(
            "no, not on x86: it keeps everything in order",
            "It keeps stores in order, and loads in order. A load may overtake an earlier \
             store to another address, on x86 too.",
        ),
        right(
            "yes; with SeqCst they cannot",
            "Release and Acquire order what comes before a store and after a load. Here \
             the load comes after the store, and nothing holds it back. SeqCst makes it \
             wait until the store is seen.",
        ),
    ],
    kind: Kind::Needs("two CPUs"),
    run: store_buffering,
    moral: "`I sleep` and `there is something to read` are two such flags: without SeqCst, or \
            a fence, the waker sees no sleeper, the sleeper sees no message, and it sleeps \
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
    stage.needs(cpus()?.len() >= 2, "two CPUs")?;
    let both_zero = |stored, loaded| {
        let a = [Store(0, stored), Load(1, loaded)];
        let b = [Store(1, stored), Load(0, loaded)];
        outcomes(&[&a, &b]).contains(&vec![0, 0])
    };
    stage.saw(
        "by the model of `relaxed`, both can find 0",
        both_zero(Release, Acquire),
    );
    stage.saw("by the model, with SeqCst", both_zero(SeqCst, SeqCst));
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
    Ok(match (both > 0, never > 0) {
        (true, false) => 3,
        (false, _) if cfg!(target_arch = "x86_64") => 2,
        _ => 1,
    })
}
// ANCHOR_END: store-buffering
