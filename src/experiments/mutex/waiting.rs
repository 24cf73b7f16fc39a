//! Condition variables: what they keep, whom they wake, and what is true then.

use std::sync::atomic::Ordering::SeqCst;

use anyhow::{Result, bail};
use syscalls::Sysno;

use super::{ITEMS, Page, READY, named};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::semaphore::sleeps;
use crate::stage::Stage;
use crate::until::until;

pub(super) const UNLOCKED_WHILE_ASLEEP: Experiment = Experiment {
    name: "unlocked-while-asleep",
    title: "Asleep in pthread_cond_wait",
    level: Level::First,
    question: "A process locks a mutex, and sleeps in pthread_cond_wait(3) with it. Meanwhile \
               another process calls pthread_mutex_trylock(3), which never sleeps. What does it \
               get?",
    answers: &[
        wrong(
            "EBUSY: the one that sleeps has the mutex",
            "Then no process could change what the sleeper waits for, and no process would \
             ever wake it.",
        ),
        wrong(
            "EAGAIN: the condition must be signalled first",
            "The mutex knows nothing of conditions. It is free or it is taken.",
        ),
        right(
            "0: nobody has the mutex while that one sleeps",
            "pthread_cond_wait unlocks, sleeps, and locks again before it returns. Unlock and \
             sleep are one step: no signal that comes after the unlock is missed.",
        ),
    ],
    kind: Kind::Kernel,
    run: unlocked_while_asleep,
    moral: "A function that waits for a condition gives up the lock in its middle: what it knew \
            before the wait must be looked at again after it.",
    see: "pthread_cond_wait(3)",
    file: file!(),
    shows: &["unlocked-while-asleep"],
};

// ANCHOR: unlocked-while-asleep
fn unlocked_while_asleep(stage: &Stage) -> Result<usize> {
    let page = Page::new()?;
    let end = stage.gate()?;
    let sleeper = stage.fork("sleeper", |stage| {
        stage.call("pthread_mutex_lock(mutex)", &page.mutex.lock());
        let waited = page.condition.wait(&page.mutex);
        end.pass()?; // so that the report has its cause first
        stage.call("pthread_cond_wait(cond, mutex)", &waited);
        Ok(named(page.mutex.unlock()))
    })?;
    sleeper.until_asleep_in(&[Sysno::futex])?;
    stage.event("sleeper", "sleeps in pthread_cond_wait(cond, mutex)");
    let tried = page.mutex.trylock();
    stage.call("pthread_mutex_trylock(mutex)", &tried);
    stage.saw("trylock, while it sleeps", named(tried));
    if tried.is_ok() {
        // Signalled with the mutex: it cannot return before the unlock.
        stage.call("pthread_cond_signal(cond)", &page.condition.signal());
        let waits = sleeps(&sleeper)?;
        stage.saw("it sleeps until the unlock", waits);
        stage.call("pthread_mutex_unlock(mutex)", &page.mutex.unlock());
        end.open(1)?;
        stage.saw("its own unlock then", sleeper.join()?);
    }
    match named(tried).as_str() {
        "EBUSY" => Ok(1),
        "EAGAIN" => Ok(2),
        "0" => Ok(3),
        other => bail!("pthread_mutex_trylock: {other}"),
    }
}
// ANCHOR_END: unlocked-while-asleep

pub(super) const SIGNAL_BEFORE_WAIT: Experiment = Experiment {
    name: "signal-before-wait",
    title: "The signal comes first",
    level: Level::First,
    question: "A process calls pthread_cond_signal(3) while nobody waits. A moment later another \
               process locks the mutex and calls pthread_cond_wait(3) on that condition \
               variable. What does its call do?",
    answers: &[
        wrong(
            "it returns at once, by the signal that was kept",
            "A semaphore keeps posts: its value is the memory. A condition variable keeps \
             nothing for those that come later.",
        ),
        right(
            "it sleeps, and that signal has gone to nobody",
            "pthread_cond_signal wakes one of those that wait now. What is to be remembered \
             must be in your own data, which the mutex protects.",
        ),
        wrong(
            "it fails, with an error for the early signal",
            "A signal to nobody is no error, neither for the one that signals nor for the one \
             that waits.",
        ),
    ],
    kind: Kind::Kernel,
    run: signal_before_wait,
    moral: "Never wait without a look: `while (!ready) pthread_cond_wait(…)`. The condition is in \
            the data; the condition variable is only where one sleeps until they change.",
    see: "pthread_cond_signal(3), pthread_cond_wait(3)",
    file: file!(),
    shows: &[
        "signal-before-wait-broken",
        "signal-before-wait-cured",
        "signal-before-wait",
    ],
};

// ANCHOR: signal-before-wait-broken
/// Waits for a signal.
fn wait_for_a_signal(page: &Page) -> nix::Result<()> {
    page.condition.wait(&page.mutex)
}
// ANCHOR_END: signal-before-wait-broken

// ANCHOR: signal-before-wait-cured
/// Waits until it is so.
fn wait_until_ready(page: &Page) -> nix::Result<()> {
    while page.load(READY) == 0 {
        page.condition.wait(&page.mutex)?;
    }
    Ok(())
}
// ANCHOR_END: signal-before-wait-cured

// ANCHOR: signal-before-wait
fn signal_before_wait(stage: &Stage) -> Result<usize> {
    let waiter_does = |wait: fn(&Page) -> nix::Result<()>| {
        let page = Page::new()?;
        page.mutex.lock()?;
        page.word(READY).store(1, SeqCst);
        page.mutex.unlock()?;
        stage.call("ready = 1; pthread_cond_signal(cond)", &page.condition.signal());
        let waiter = stage.fork("waiter", |stage| {
            page.mutex.lock()?;
            let waited = wait(&page);
            stage.call("waits", &waited);
            stage.gate()?.pass()?;
            Ok(())
        })?;
        let asleep = sleeps(&waiter)?;
        if asleep {
            stage.event("waiter", "sleeps in pthread_cond_wait(cond, mutex)");
        }
        anyhow::Ok(asleep)
    };
    let broken = waiter_does(wait_for_a_signal)?;
    let cured = waiter_does(wait_until_ready)?;
    stage.saw("asleep, waiting for a signal", broken);
    stage.saw("asleep, waiting until it is ready", cured);
    Ok(if broken { 2 } else { 1 })
}
// ANCHOR_END: signal-before-wait

pub(super) const IF_NOT_WHILE: Experiment = Experiment {
    name: "if-not-while",
    title: "One item, and two that wait for it",
    level: Level::First,
    question: "Two workers wait with `if (items == 0) pthread_cond_wait(…);` and then take one: \
               `items--`. A producer makes one item, and calls pthread_cond_broadcast(3) and \
               unlocks. What is `items` in the end?",
    answers: &[
        right(
            "minus 1, with two workers that took one",
            "Both are woken. One has the mutex first, and takes the item. The other returns \
             from the wait later, and does not look again.",
        ),
        wrong(
            "zero, with one worker that sleeps again",
            "That would need a second look. pthread_cond_wait does not know what you wait for, \
             so it cannot look for you.",
        ),
        wrong(
            "zero, with one worker that never woke up",
            "That is what pthread_cond_signal may do. A broadcast wakes all.",
        ),
    ],
    kind: Kind::Kernel,
    run: if_not_while,
    moral: "`while`, never `if`: a return from pthread_cond_wait means look again, also because \
            POSIX lets it return without any signal (a spurious wake-up).",
    see: "pthread_cond_wait(3), pthread_cond_broadcast(3)",
    file: file!(),
    shows: &["if-not-while-broken", "if-not-while-cured", "if-not-while"],
};

const TAKEN: usize = 1;
const DONE: usize = 2;

// ANCHOR: if-not-while-broken
/// Called with the mutex; looks once.
fn take_if(page: &Page) -> nix::Result<()> {
    if page.load(ITEMS) == 0 {
        page.condition.wait(&page.mutex)?;
    }
    page.word(ITEMS).fetch_sub(1, SeqCst);
    page.word(TAKEN).fetch_add(1, SeqCst);
    Ok(())
}
// ANCHOR_END: if-not-while-broken

// ANCHOR: if-not-while-cured
/// Called with the mutex; looks after each wake-up.
fn take_while(page: &Page) -> nix::Result<()> {
    while page.load(ITEMS) == 0 {
        if page.load(DONE) == 1 {
            return Ok(()); // nothing more will come
        }
        page.condition.wait(&page.mutex)?;
    }
    page.word(ITEMS).fetch_sub(1, SeqCst);
    page.word(TAKEN).fetch_add(1, SeqCst);
    Ok(())
}
// ANCHOR_END: if-not-while-cured

// ANCHOR: if-not-while
fn if_not_while(stage: &Stage) -> Result<usize> {
    let end_with = |take: fn(&Page) -> nix::Result<()>| {
        let page = Page::new()?;
        let worker = |who| {
            let worker = stage.fork(who, |_| {
                page.mutex.lock()?;
                take(&page)?;
                page.mutex.unlock()?;
                Ok(())
            })?;
            worker.until_asleep_in(&[Sysno::futex])?;
            anyhow::Ok(worker)
        };
        let workers = [worker("A")?, worker("B")?];
        stage.event("main", "A and B wait for an item");
        page.mutex.lock()?;
        page.word(ITEMS).store(1, SeqCst);
        let woken = page.condition.broadcast();
        stage.call("items = 1; pthread_cond_broadcast(cond)", &woken);
        page.mutex.unlock()?;
        let taken = || Ok((page.load(TAKEN) > 0).then_some(()));
        until(|| "nobody took it".to_owned(), taken)?;
        // A worker that waits again is sent home.
        page.mutex.lock()?;
        page.word(DONE).store(1, SeqCst);
        page.condition.broadcast()?;
        page.mutex.unlock()?;
        for worker in workers {
            worker.join()?;
        }
        anyhow::Ok((page.load(ITEMS).cast_signed(), page.load(TAKEN)))
    };
    let (items, taken) = end_with(take_if)?;
    stage.event("main", format!("items is {items}, and {taken} took one"));
    let cured = end_with(take_while)?;
    stage.event(
        "main",
        format!("with while: items is {}, {} took one", cured.0, cured.1),
    );
    stage.saw("items, with if", items);
    stage.saw("items, with while", cured.0);
    stage.saw("taken, with while", cured.1);
    match (items, taken) {
        (-1, 2) => Ok(1),
        (0, 1) => Ok(2),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: if-not-while

pub(super) const STOLEN_ITEM: Experiment = Experiment {
    name: "stolen-item",
    title: "One waits, one signal, one item",
    level: Level::Later,
    question: "W waits for an item in pthread_cond_wait(3), and no other process waits. A \
               producer makes one item and signals once. Before W runs, a third process, which \
               never waited, locks the mutex. What does W find when its call returns?",
    answers: &[
        wrong(
            "the item, which the signal reserved",
            "A signal gives nothing away. It wakes a process, which then must lock the mutex \
             like every other.",
        ),
        right(
            "no item, though it was signalled",
            "The third one had the mutex first, saw an item, and took it: it had no reason to \
             wait. W was woken for what is gone.",
        ),
        wrong(
            "an error, as the item was taken",
            "pthread_cond_wait knows no items. It returns 0, and you must look.",
        ),
    ],
    kind: Kind::Kernel,
    run: stolen_item,
    moral: "Even with one that waits and one signal it must be `while`. Nothing about a wake-up \
            holds but this: look again.",
    see: "pthread_cond_wait(3)",
    file: file!(),
    shows: &["stolen-item"],
};

// ANCHOR: stolen-item
fn stolen_item(stage: &Stage) -> Result<usize> {
    let page = Page::new()?;
    let end = stage.gate()?;
    let w = stage.fork("W", |stage| {
        page.mutex.lock()?;
        let waited = page.condition.wait(&page.mutex);
        end.pass()?; // so that the report has its cause first
        stage.call("pthread_cond_wait(cond, mutex)", &waited);
        let items = page.load(ITEMS);
        stage.event("W", format!("finds items = {items}"));
        page.mutex.unlock()?;
        Ok((named(waited), items))
    })?;
    w.until_asleep_in(&[Sysno::futex])?;
    stage.event("W", "sleeps in pthread_cond_wait(cond, mutex)");
    stage.call("pthread_mutex_lock(mutex)", &page.mutex.lock());
    // The third is here before the producer is done: it sleeps at the mutex.
    let third = stage.fork("third", |stage| {
        page.mutex.lock()?;
        page.word(ITEMS).fetch_sub(1, SeqCst);
        stage.event("third", "has the mutex first, and takes the item");
        page.mutex.unlock()?;
        Ok(())
    })?;
    third.until_asleep_in(&[Sysno::futex])?;
    page.word(ITEMS).store(1, SeqCst);
    stage.call("items = 1; pthread_mutex_unlock(mutex)", &page.mutex.unlock());
    third.join()?;
    // A signal may as well come after the unlock; here so that the order is certain.
    stage.call("pthread_cond_signal(cond)", &page.condition.signal());
    end.open(1)?;
    let (waited, items) = w.join()?;
    stage.saw("W's call", waited.as_str());
    stage.saw("items, as W finds it", items);
    match (waited.as_str(), items) {
        ("0", 1) => Ok(1),
        ("0", 0) => Ok(2),
        (_, _) => Ok(3),
    }
}
// ANCHOR_END: stolen-item
