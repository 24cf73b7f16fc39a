//! What a process leaves that is killed in the middle.

use std::sync::atomic::Ordering::SeqCst;

use anyhow::{Result, bail};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use syscalls::Sysno;

use super::{Page, die_with, named};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::semaphore::sleeps;
use crate::stage::Stage;
use crate::until::until;

pub(super) const HALF_DONE: Experiment = Experiment {
    name: "half-done",
    title: "Killed between two stores",
    level: Level::Later,
    question: "Two accounts in shared memory have 100 together, and a robust mutex protects \
               them. A process moves 30: it takes them from the first, and is killed. The next \
               one gets EOWNERDEAD, calls pthread_mutex_consistent(3), and unlocks. What does \
               a third find?",
    answers: &[
        wrong(
            "no error, and 100 together",
            "The C library knows a mutex, and nothing of the accounts. No store is undone.",
        ),
        right(
            "no error, and 70 together",
            "pthread_mutex_consistent mends nothing: it is a promise that you have. From then \
             on nobody is told any more.",
        ),
        wrong(
            "an error, and 70 together",
            "The second process was told, and said that all is well. EOWNERDEAD is not \
             repeated.",
        ),
    ],
    kind: Kind::Kernel,
    run: half_done,
    moral: "Write so that there is something to mend by: note what you are about to do before \
            you do it, or let one store at the end make it count, as the counters of this \
            chapter's buffer do.",
    see: "pthread_mutex_consistent(3)",
    file: file!(),
    shows: &["half-done-broken", "half-done-cured", "half-done"],
};

// ANCHOR: half-done-broken
/// What the next owner does after EOWNERDEAD: it promises that all is whole.
fn promise(page: &Page) -> nix::Result<()> {
    page.mutex.consistent()
}
// ANCHOR_END: half-done-broken

// ANCHOR: half-done-cured
/// What it does if each transfer is noted first: the amount that is on its way.
fn mend(page: &Page) -> nix::Result<()> {
    let on_its_way = page.word(2).swap(0, SeqCst);
    page.word(0).fetch_add(on_its_way, SeqCst); // back where it came from
    page.mutex.consistent()
}
// ANCHOR_END: half-done-cured

// ANCHOR: half-done
fn half_done(stage: &Stage) -> Result<usize> {
    let after = |mended: fn(&Page) -> nix::Result<()>| {
        let page = Page::robust()?;
        page.word(0).store(60, SeqCst);
        page.word(1).store(40, SeqCst);
        die_with(stage, &page, |stage| {
            page.word(2).store(30, SeqCst); // the note
            page.word(0).fetch_sub(30, SeqCst);
            stage.event("owner", "has taken 30 from the first account");
        })?;
        let next = stage.fork("next", |stage| {
            let locked = page.mutex.lock();
            stage.call("pthread_mutex_lock(mutex)", &locked);
            if locked == Err(Errno::EOWNERDEAD) {
                stage.call("pthread_mutex_consistent(mutex)", &mended(&page));
            }
            stage.call("pthread_mutex_unlock(mutex)", &page.mutex.unlock());
            Ok(())
        })?;
        next.join()?;
        let third = stage.fork("third", |stage| {
            let locked = page.mutex.lock();
            stage.call("pthread_mutex_lock(mutex)", &locked);
            let sum = page.load(0) + page.load(1);
            stage.event("third", format!("finds {sum} together"));
            page.mutex.unlock()?;
            Ok((named(locked), sum))
        })?;
        third.join()
    };
    let (error, sum) = after(promise)?;
    stage.event("main", "begins again; the next owner mends by the note");
    let (_, mended) = after(mend)?;
    stage.saw("the third's lock", error.as_str());
    stage.saw("together, after a promise", sum);
    stage.saw("together, mended by the note", mended);
    match (error.as_str(), sum) {
        ("0", 100) => Ok(1),
        ("0", 70) => Ok(2),
        (_, 70) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: half-done

pub(super) const KILLED_WAITER: Experiment = Experiment {
    name: "killed-waiter",
    title: "Killed while it waits for a condition",
    level: Level::Later,
    question: "A and B sleep in pthread_cond_wait(3) on one condition variable in shared memory. \
               A is killed there. A third process signals once: B wakes, and waits again. Then \
               it signals a second time. What happens?",
    answers: &[
        wrong(
            "B wakes; the dead A is forgotten",
            "A dead process is taken out of the kernel's list of sleepers. But the condition \
             variable counts in its own bytes, which nobody cleans.",
        ),
        wrong(
            "B wakes; its call says EOWNERDEAD",
            "A did not have the mutex: pthread_cond_wait had unlocked it. There are no robust \
             condition variables, and so nothing to be told by.",
        ),
        right(
            "B sleeps on; the signal was A's share",
            "The C library counts A as one that waits, and has waited longer than B does now: \
             the signal is for A. It is noted, and wakes nobody.",
        ),
    ],
    kind: Kind::Kernel,
    run: killed_waiter,
    moral: "A condition variable does not survive a process that is killed while it waits; one \
            more signal can even hang in pthread_cond_signal (glibc up to 2.40). Wait with a \
            timeout and look again, make all anew once no process uses it, or build it of a \
            futex, which counts nobody.",
    see: "pthread_cond_signal(3), futex(2)",
    file: file!(),
    shows: &["killed-waiter"],
};

// ANCHOR: killed-waiter
fn killed_waiter(stage: &Stage) -> Result<usize> {
    let page = Page::robust()?;
    const WOKEN: usize = 0;
    let waits_for_ever = |_: &Stage| -> Result<()> {
        page.mutex.lock()?;
        loop {
            page.condition.wait(&page.mutex)?;
            page.word(WOKEN).fetch_add(1, SeqCst);
        }
    };
    let a = stage.fork("A", waits_for_ever)?;
    a.until_asleep_in(&[Sysno::futex])?;
    let b = stage.fork("B", waits_for_ever)?;
    b.until_asleep_in(&[Sysno::futex])?;
    stage.event("main", "A and B sleep in pthread_cond_wait(cond, mutex)");
    a.kill(Signal::SIGKILL)?;
    a.end()?;
    stage.event("A", "killed by SIGKILL");
    let signal = || {
        stage.call("pthread_cond_signal(cond)", &page.condition.signal());
    };
    signal();
    until(
        || "B has not been woken".to_owned(),
        || Ok((page.load(WOKEN) == 1).then_some(())),
    )?;
    stage.event("B", "wakes, and waits again");
    b.until_asleep_in(&[Sysno::futex])?;
    signal(); // which has woken what it wakes when it returns
    let slept_on = sleeps(&b)? && page.load(WOKEN) == 1;
    if slept_on {
        stage.event("B", "sleeps on");
    }
    stage.saw("B was woken so often", page.load(WOKEN));
    stage.saw("B slept on at the second signal", slept_on);
    Ok(if slept_on { 3 } else { 1 })
}
// ANCHOR_END: killed-waiter

pub(super) const DEAD_SIGNALLER: Experiment = Experiment {
    name: "dead-signaller",
    title: "Signalled, and killed before the unlock",
    level: Level::Deep,
    question: "W sleeps in pthread_cond_wait(3) with a robust mutex. O locks the mutex, changes \
               the data, signals, and is killed before its unlock. What does W's call do?",
    answers: &[
        wrong(
            "it returns 0, and W has the mutex",
            "The signal has come, but pthread_cond_wait must lock the mutex before it returns, \
             and what that lock reports is what it returns.",
        ),
        right(
            "it returns EOWNERDEAD, and W has the mutex",
            "At its end pthread_cond_wait locks the mutex, whose owner has died. So every call \
             of it needs the same answer to EOWNERDEAD as a pthread_mutex_lock.",
        ),
        wrong(
            "it sleeps on, and nobody has the mutex",
            "It would with a mutex that is not robust: W is awake from the signal, and would \
             sleep at the mutex for ever.",
        ),
    ],
    kind: Kind::Kernel,
    run: dead_signaller,
    moral: "Look at what pthread_cond_wait returns, as at pthread_mutex_lock. One function that \
            both go through, and that mends, is the least work.",
    see: "pthread_cond_wait(3), pthread_mutex_consistent(3)",
    file: file!(),
    shows: &["dead-signaller"],
};

// ANCHOR: dead-signaller
fn dead_signaller(stage: &Stage) -> Result<usize> {
    let page = Page::robust()?;
    let end = stage.gate()?;
    let w = stage.fork("W", |stage| {
        page.mutex.lock()?;
        let waited = page.condition.wait(&page.mutex);
        end.pass()?; // so that the report has its cause first
        stage.call("pthread_cond_wait(cond, mutex)", &waited);
        let unlocked = page.mutex.unlock();
        stage.call("pthread_mutex_unlock(mutex)", &unlocked);
        Ok((named(waited), named(unlocked)))
    })?;
    w.until_asleep_in(&[Sysno::futex])?;
    stage.event("W", "sleeps in pthread_cond_wait(cond, mutex)");
    die_with(stage, &page, |stage| {
        stage.call("pthread_cond_signal(cond)", &page.condition.signal());
    })?;
    end.open(1)?;
    let asleep = w.until_asleep_in(&[Sysno::futex]).is_ok();
    let (waited, unlocked) =
        if asleep { ("sleeps".to_owned(), String::new()) } else { w.join()? };
    stage.saw("W's pthread_cond_wait", waited.as_str());
    stage.saw("W's unlock after it", unlocked);
    match waited.as_str() {
        "0" => Ok(1),
        "EOWNERDEAD" => Ok(2),
        "sleeps" => Ok(3),
        other => bail!("pthread_cond_wait: {other}"),
    }
}
// ANCHOR_END: dead-signaller
