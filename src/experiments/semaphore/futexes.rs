//! What is inside: a word in shared memory, and futex(2).

use std::sync::atomic::Ordering::SeqCst;

use anyhow::{Context, Result, bail};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io::Errno;
use rustix::thread::futex::{self, Flags};
use syscalls::Sysno;

use super::sleeps;
use crate::record::Returned;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::shared::{Shared, mmap};

// ANCHOR: shared-word
/// A page that this process and its children share; the word is its first four bytes.
fn shared_word() -> Result<Shared> {
    let memory =
        memfd_create("word", MemfdFlags::CLOEXEC).context("memfd_create")?;
    ftruncate(&memory, 4096).context("ftruncate")?;
    mmap(&memory, 4096).context("mmap")
}
// ANCHOR_END: shared-word

pub(super) const WAKE_BEFORE_SLEEP: Experiment = Experiment {
    name: "wake-before-sleep",
    title: "A wake-up that comes too early",
    level: Level::Later,
    question: "A semaphore made by hand: a word in shared memory, and futex(2). A \
               waiter sees that the word is 0, and decides to sleep. Before its \
               call, a poster makes the word 1, and its FUTEX_WAKE wakes nobody. \
               Now the waiter calls futex(&word, FUTEX_WAIT, 0). What happens?",
    answers: &[
        wrong(
            "it sleeps, and misses the post",
            "It would be lost if the call said only \"sleep\". It says \"sleep if \
             the word is still 0\", and that is what the last argument is for.",
        ),
        right(
            "it returns at once with EAGAIN",
            "The kernel looks at the word again, under the lock that FUTEX_WAKE \
             takes too. It is not 0 any more, and there is nothing to sleep for: \
             look again.",
        ),
        wrong(
            "it returns at once with 0",
            "Wake-ups are not kept. The run shows it: a wake-up without a change \
             of the word is lost, and the waiter sleeps.",
        ),
    ],
    kind: Kind::Kernel,
    run: wake_before_sleep,
    moral: "The memory is in the word, never in the wake-up. First change the \
            word, then wake; and treat EAGAIN as: look again. If you only call \
            FUTEX_WAKE and do not change the word, some wake-ups are lost.",
    see: "futex(2), futex(7)",
    file: file!(),
    shows: &[
        "wake-before-sleep-broken",
        "wake-before-sleep-cured",
        "wake-before-sleep",
    ],
};

// ANCHOR: wake-before-sleep-broken
/// A bare bell: wakes the process that sleeps now.
fn ring(word: &Shared) -> Result<usize, Errno> {
    futex::wake(word.u32(0), Flags::empty(), 1)
}
// ANCHOR_END: wake-before-sleep-broken

// ANCHOR: wake-before-sleep-cured
/// A post: stores it in the word first.
fn post(word: &Shared) -> Result<usize, Errno> {
    word.u32(0).fetch_add(1, SeqCst);
    futex::wake(word.u32(0), Flags::empty(), 1)
}
// ANCHOR_END: wake-before-sleep-cured

// ANCHOR: wake-before-sleep
fn wake_before_sleep(stage: &Stage) -> Result<usize> {
    type Wake = fn(&Shared) -> Result<usize, Errno>;
    // The waiter's look and its call, with the whole of `wake` between them.
    let waiter_then = |wake: Wake, what: &str| {
        let word = shared_word()?;
        let (looked, go, end) = (stage.gate()?, stage.gate()?, stage.gate()?);
        let waiter = stage.fork("waiter", |stage| {
            let seen = word.u32(0).load(SeqCst);
            stage.call("looks at the word", &seen);
            looked.open(1)?;
            go.pass()?;
            let waited = futex::wait(word.u32(0), Flags::empty(), seen, None);
            stage.call(format!("futex(&word, FUTEX_WAIT, {seen})"), &waited);
            end.pass()?;
            Ok(waited.shown())
        })?;
        looked.pass()?;
        waiter.until_asleep_in(&[Sysno::readv])?;
        let woken = wake(&word);
        stage.call(what, &woken);
        go.open(1)?; // which has woken it when it returns
        if sleeps(&waiter)? {
            stage.event("waiter", "sleeps in futex(&word, FUTEX_WAIT, 0)");
            return anyhow::Ok(("sleeps".to_owned(), woken.shown()));
        }
        end.open(1)?;
        Ok((waiter.join()?, woken.shown()))
    };
    let (lost, woken) = waiter_then(ring, "futex(&word, FUTEX_WAKE, 1)")?;
    stage.saw("a bare wake-up woke", woken);
    stage.saw("then the waiter", lost);
    let (cured, woken) =
        waiter_then(post, "word += 1; futex(&word, FUTEX_WAKE, 1)")?;
    stage.saw("the post woke", woken);
    stage.saw("after the post the waiter", cured.as_str());
    match cured.as_str() {
        "sleeps" => Ok(1),
        "0" => Ok(3),
        text if text.starts_with("EAGAIN") => Ok(2),
        other => bail!("futex: {other}"),
    }
}
// ANCHOR_END: wake-before-sleep

pub(super) const PRIVATE_FUTEX: Experiment = Experiment {
    name: "private-futex",
    title: "The faster futex",
    level: Level::Deep,
    question: "A word lies in memory that two processes share. A sleeps on it by \
               FUTEX_WAIT_PRIVATE of futex(2). B makes the word 1 and calls \
               FUTEX_WAKE_PRIVATE. The private form is faster; sem_init(3) with \
               pshared 0 asks for it. What happens?",
    answers: &[
        wrong(
            "B's call wakes process A",
            "The word is the same, and so is the form. But the kernel is told that \
             it need not look which memory is behind the address, and takes the \
             address of each process for itself.",
        ),
        right(
            "B's call wakes nobody",
            "Private means: of this process. The kernel keeps A under A's address \
             space, and looks for sleepers under B's. A sleeps on, although the \
             word is 1.",
        ),
        wrong(
            "B's call fails with EINVAL",
            "It does not look what kind of memory it is: not looking is what makes \
             it faster.",
        ),
    ],
    kind: Kind::Kernel,
    run: private_futex,
    moral: "Between processes: no FUTEX_PRIVATE_FLAG, pshared 1 for sem_init, and \
            PTHREAD_PROCESS_SHARED for mutexes. The mistake is nasty: as long as nobody \
            has to sleep, everything works.",
    see: "futex(2), sem_init(3)",
    file: file!(),
    shows: &["private-futex-broken", "private-futex-cured", "private-futex"],
};

// ANCHOR: private-futex-broken
/// For threads of one process.
const WITHIN_A_PROCESS: Flags = Flags::PRIVATE;
// ANCHOR_END: private-futex-broken

// ANCHOR: private-futex-cured
/// For every process that has mapped the memory.
const BETWEEN_PROCESSES: Flags = Flags::empty();
// ANCHOR_END: private-futex-cured

// ANCHOR: private-futex
fn private_futex(stage: &Stage) -> Result<usize> {
    let wakes = |flags: Flags, suffix: &str| {
        let word = shared_word()?;
        let end = stage.gate()?;
        let a = stage.fork("A", |stage| {
            let waited = futex::wait(word.u32(0), flags, 0, None);
            end.pass()?; // so that the report has its cause first
            stage.call(format!("futex(&word, FUTEX_WAIT{suffix}, 0)"), &waited);
            Ok(())
        })?;
        a.until_asleep_in(&[Sysno::futex])?;
        stage.event("A", format!("sleeps in futex(&word, FUTEX_WAIT{suffix}, 0)"));
        let b = stage.fork("B", |stage| {
            word.u32(0).store(1, SeqCst);
            let woken = futex::wake(word.u32(0), flags, 1);
            let call = format!("word = 1; futex(&word, FUTEX_WAKE{suffix}, 1)");
            stage.call(call, &woken);
            Ok(woken.shown())
        })?;
        let woken = b.join()?;
        let slept_on = sleeps(&a)?;
        if slept_on {
            stage.event("A", "still sleeps");
        } else {
            end.open(1)?;
            a.join()?;
        }
        anyhow::Ok((woken, slept_on, word.u32(0).load(SeqCst)))
    };
    let (woken, slept_on, value) = wakes(WITHIN_A_PROCESS, "_PRIVATE")?;
    stage.saw("private: it woke", woken.as_str());
    stage.saw("private: A slept on", slept_on);
    stage.saw("private: the word", value);
    let (shared, slept_on_shared, _) = wakes(BETWEEN_PROCESSES, "")?;
    stage.saw("shared: it woke", shared);
    stage.saw("shared: A slept on", slept_on_shared);
    match (woken.as_str(), slept_on) {
        ("1", false) => Ok(1),
        ("0", true) => Ok(2),
        (text, true) if text.starts_with("EINVAL") => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: private-futex
