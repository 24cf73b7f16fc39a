//! Condition variables: changes without the lock, times, signals of the other kind, and two
//! conditions in one.

use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use os::handlers;
use syscalls::Sysno;

use super::{ITEMS, Page, READY, named};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::semaphore::sleeps;
use crate::stage::Stage;
use crate::until::until;

pub(super) const SIGNAL_WITHOUT_LOCK: Experiment = Experiment {
    name: "signal-without-lock",
    title: "A flag that needs no lock",
    level: Level::Later,
    question: "W locks, sees that `ready` is 0, and is about to call pthread_cond_wait(3). Just \
               then S stores 1 in `ready`, an atomic, and calls pthread_cond_signal(3), both \
               without the mutex. What does W do next?",
    answers: &[
        wrong(
            "it returns from the wait, since it is signalled",
            "The signal came before W waited, and went to nobody.",
        ),
        wrong(
            "it waits no more, since it sees the new flag",
            "It has looked already. pthread_cond_wait does not look at `ready`, of which it \
             knows nothing.",
        ),
        right(
            "it sleeps for ever, though the flag says ready",
            "Between W's look and W's sleep there was a gap, and S came in it. That each store \
             is atomic does not help: look and sleep must be one step.",
        ),
    ],
    kind: Kind::Kernel,
    run: signal_without_lock,
    moral: "Change what others wait for with the mutex, also if it is an atomic. To signal after \
            the unlock is allowed; to change without the lock is not.",
    see: "pthread_cond_signal(3), pthread_cond_wait(3)",
    file: file!(),
    shows: &[
        "signal-without-lock-broken",
        "signal-without-lock-cured",
        "signal-without-lock",
    ],
};

// ANCHOR: signal-without-lock-broken
fn set_and_signal(page: &Page) -> nix::Result<()> {
    page.word(READY).store(1, SeqCst);
    page.condition.signal()
}
// ANCHOR_END: signal-without-lock-broken

// ANCHOR: signal-without-lock-cured
fn lock_set_and_signal(page: &Page) -> nix::Result<()> {
    page.mutex.lock()?; // sleeps until the one that looks has gone to sleep
    page.word(READY).store(1, SeqCst);
    page.mutex.unlock()?;
    page.condition.signal()
}
// ANCHOR_END: signal-without-lock-cured

// ANCHOR: signal-without-lock
fn signal_without_lock(stage: &Stage) -> Result<usize> {
    let w_sleeps = |signal: fn(&Page) -> nix::Result<()>| {
        let page = Page::new()?;
        let (looked, go, end) = (stage.gate()?, stage.gate()?, stage.gate()?);
        let w = stage.fork("W", |stage| {
            page.mutex.lock()?;
            let mut first = true;
            while page.load(READY) == 0 {
                if std::mem::take(&mut first) {
                    stage.event("W", "sees that ready is 0");
                    looked.open(1)?;
                    go.pass()?; // the gap
                }
                page.condition.wait(&page.mutex)?;
            }
            page.mutex.unlock()?;
            end.pass()
        })?;
        looked.pass()?;
        w.until_asleep_in(&[Sysno::readv])?;
        let s = stage.fork("S", |stage| {
            let signalled = signal(&page);
            stage.call("ready = 1; pthread_cond_signal(cond)", &signalled);
            Ok(())
        })?;
        // It is done, or it sleeps at the mutex.
        let waits = s.until_asleep_in(&[Sysno::futex]).is_ok();
        go.open(1)?;
        if waits {
            until(
                || "S has not set it".to_owned(),
                || Ok((page.load(READY) == 1).then_some(())),
            )?;
        }
        s.join()?;
        let asleep = sleeps(&w)?;
        if asleep {
            stage.event("W", "sleeps in pthread_cond_wait(cond, mutex)");
        } else {
            end.open(1)?;
            w.join()?;
        }
        anyhow::Ok(asleep)
    };
    let broken = w_sleeps(set_and_signal)?;
    stage.event("main", "begins again; S locks the mutex");
    let cured = w_sleeps(lock_set_and_signal)?;
    stage.saw("W sleeps, and ready is 1", broken);
    stage.saw("W sleeps, where S locked", cured);
    Ok(if broken { 3 } else { 1 })
}
// ANCHOR_END: signal-without-lock

pub(super) const TIMEOUT_IS_A_TIME: Experiment = Experiment {
    name: "timeout-is-a-time",
    title: "Waiting for an hour",
    level: Level::Later,
    question: "A program fills a timespec with 3600 seconds and 0 nanoseconds, and passes it to \
               pthread_cond_timedwait(3), to wait for at most an hour. Nobody signals. What does \
               the call do?",
    answers: &[
        right(
            "it returns ETIMEDOUT, and at once",
            "The argument is a time of the clock, not how long: one hour after the begin of \
             1970 has passed.",
        ),
        wrong(
            "it returns ETIMEDOUT, in an hour",
            "So it would if the time now had been added: clock_gettime(2), and then 3600.",
        ),
        wrong(
            "it returns EINVAL, without a sleep",
            "EINVAL is for nanoseconds below 0, or of a second and more. A time that has passed \
             is allowed.",
        ),
    ],
    kind: Kind::Kernel,
    run: timeout_is_a_time,
    moral: "Add clock_gettime(CLOCK_REALTIME). A date that is set meanwhile moves the end: \
            pthread_condattr_setclock(3posix) with CLOCK_MONOTONIC avoids that, and for a mutex \
            pthread_mutex_clocklock(3).",
    see: "pthread_cond_timedwait(3), clock_gettime(2)",
    file: file!(),
    shows: &["timeout-is-a-time"],
};

// ANCHOR: timeout-is-a-time
fn timeout_is_a_time(stage: &Stage) -> Result<usize> {
    let page = Page::new()?;
    let end = stage.gate()?;
    let waiter = stage.fork("waiter", |stage| {
        page.mutex.lock()?;
        let an_hour = UNIX_EPOCH + Duration::from_secs(3600);
        let waited = page.condition.timedwait(&page.mutex, an_hour);
        stage.call("pthread_cond_timedwait(cond, mutex, {3600, 0})", &waited);
        let unlocked = page.mutex.unlock();
        stage.call("pthread_mutex_unlock(mutex)", &unlocked);
        end.pass()?;
        Ok(named(waited))
    })?;
    let waited = if sleeps(&waiter)? {
        "sleeps".to_owned()
    } else {
        end.open(1)?;
        waiter.join()?
    };
    stage.saw("the call", waited.as_str());
    match waited.as_str() {
        "ETIMEDOUT" => Ok(1),
        "sleeps" => Ok(2),
        "EINVAL" => Ok(3),
        other => bail!("pthread_cond_timedwait: {other}"),
    }
}
// ANCHOR_END: timeout-is-a-time

pub(super) const HANDLER_WHILE_WAITING: Experiment = Experiment {
    name: "handler-while-waiting",
    title: "A signal's handler during a wait",
    level: Level::Later,
    question: "A process sleeps in pthread_cond_wait(3). It has a handler for SIGUSR1, without \
               SA_RESTART, that sets a flag, and it looks at the flag after each wait. It gets \
               SIGUSR1. What does the call do?",
    answers: &[
        wrong(
            "it returns EINTR once the handler has run",
            "sem_wait(3) and read(2) do that. These functions never return EINTR: POSIX says \
             so.",
        ),
        right(
            "it sleeps on as soon as the handler has run",
            "The handler runs, and the call goes on to sleep. The flag is set, and the program \
             does not come to look at it.",
        ),
        wrong(
            "it holds the signal off till the call is done",
            "The handler has run: the signal was delivered while the process slept.",
        ),
    ],
    kind: Kind::Kernel,
    run: handler_while_waiting,
    moral: "To end a wait by a signal, wait with a timeout and look at the flag, or take signals \
            in a thread of their own by sigwait(3), which may lock and signal. A handler may do \
            neither.",
    see: "pthread_cond_wait(3), signal-safety(7)",
    file: file!(),
    shows: &["handler-while-waiting"],
};

// ANCHOR: handler-while-waiting
fn handler_while_waiting(stage: &Stage) -> Result<usize> {
    let page = Page::new()?;
    const HANDLED: usize = 0;
    let end = stage.gate()?;
    let waiter = stage.fork("waiter", |stage| {
        handlers::count(libc::SIGUSR1, 0).context("sigaction")?;
        page.mutex.lock()?;
        let waited = page.condition.wait(&page.mutex);
        page.word(HANDLED).store(handlers::counted(), SeqCst);
        page.mutex.unlock()?;
        end.pass()?; // so that the report has its cause first
        stage.call("pthread_cond_wait(cond, mutex)", &waited);
        Ok(named(waited))
    })?;
    waiter.until_asleep_in(&[Sysno::futex])?;
    waiter.kill(Signal::SIGUSR1)?;
    stage.event("waiter", "gets SIGUSR1 in pthread_cond_wait(cond, mutex)");
    waiter.until_handled(libc::SIGUSR1)?;
    let slept_on = sleeps(&waiter)?;
    if slept_on {
        stage.event("waiter", "sleeps on");
        stage.call("pthread_cond_signal(cond)", &page.condition.signal());
    }
    end.open(1)?;
    let waited = waiter.join()?;
    let handled = page.load(HANDLED);
    stage.saw("it slept on", slept_on);
    stage.saw("the handler ran so often", handled);
    stage.saw("the call in the end", waited.as_str());
    match (slept_on, handled, waited.as_str()) {
        (false, _, "EINTR") => Ok(1),
        (true, 1, "0") => Ok(2),
        (_, 0, _) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: handler-while-waiting

pub(super) const ONE_CONDITION_FOR_TWO: Experiment = Experiment {
    name: "one-condition-for-two",
    title: "One condition variable for two conditions",
    level: Level::Deep,
    question: "A producer waits until there is room, and later a consumer waits until there is \
               an item, both with `while` on one condition variable. A third process makes an \
               item, and calls pthread_cond_signal(3) once. What happens on Linux?",
    answers: &[
        wrong(
            "the consumer wakes, for it is the one that can go on",
            "The condition variable does not know what each of the two waits for.",
        ),
        wrong(
            "both of them wake, and the producer waits once more",
            "That is pthread_cond_broadcast(3), which is right here, and wakes many for nothing.",
        ),
        right(
            "the producer wakes and waits again; the other sleeps",
            "The one that has slept longest is woken, finds no room, and sleeps again. The \
             signal is used up, and the item lies there.",
        ),
    ],
    kind: Kind::Kernel,
    run: one_condition_for_two,
    moral: "One condition variable for each condition, or broadcast. pthread_cond_signal is right \
            only where all that wait there can make use of it alike.",
    see: "pthread_cond_signal(3), pthread_cond_broadcast(3)",
    file: file!(),
    shows: &["one-condition-for-two"],
};

// ANCHOR: one-condition-for-two
fn one_condition_for_two(stage: &Stage) -> Result<usize> {
    let page = Page::new()?;
    const LOOKS_OF_PRODUCER: usize = 1;
    const LOOKS_OF_CONSUMER: usize = 2;
    const ROOM: usize = 3;
    let wait_until = |what: usize, looks: usize| -> Result<()> {
        page.mutex.lock()?;
        while page.load(what) == 0 {
            page.condition.wait(&page.mutex)?;
            page.word(looks).fetch_add(1, SeqCst);
        }
        Ok(page.mutex.unlock()?)
    };
    let producer =
        stage.fork("producer", |_| wait_until(ROOM, LOOKS_OF_PRODUCER))?;
    producer.until_asleep_in(&[Sysno::futex])?;
    let consumer =
        stage.fork("consumer", |_| wait_until(ITEMS, LOOKS_OF_CONSUMER))?;
    consumer.until_asleep_in(&[Sysno::futex])?;
    stage.event("main", "the producer waits for room, the consumer for an item");
    page.mutex.lock()?;
    page.word(ITEMS).store(1, SeqCst);
    page.mutex.unlock()?;
    stage.call("items = 1; pthread_cond_signal(cond)", &page.condition.signal());
    let looks =
        || [LOOKS_OF_PRODUCER, LOOKS_OF_CONSUMER].map(|looks| page.load(looks));
    until(
        || "nobody has been woken".to_owned(),
        || Ok((looks() != [0, 0]).then_some(())),
    )?;
    producer.until_asleep_in(&[Sysno::futex])?; // nobody has the mutex: it waits
    let [producers, consumers] = looks();
    stage.event("producer", format!("has been woken {producers} times"));
    stage.event("consumer", format!("has been woken {consumers} times"));
    stage.saw("the producer was woken so often", producers);
    stage.saw("the consumer was woken so often", consumers);
    match (producers, consumers) {
        (0, 1) => Ok(1),
        (1, 1) => Ok(2),
        (1, 0) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: one-condition-for-two
