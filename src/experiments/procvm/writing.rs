//! What process_vm_writev(2) changes, and what it does not.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use syscalls::Sysno;

use super::{address, copy, store};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::calls::futex_wait;

pub(super) const WAKES_NOBODY: Experiment = Experiment {
    name: "wakes-nobody",
    title: "A word that a sleeper waits for",
    level: Level::First,
    question: "A target sleeps in futex(2), FUTEX_WAIT, as long as a word of its private \
               memory is 0. Another process stores 1 in that word by process_vm_writev(2). \
               What does the target do?",
    answers: &[
        wrong(
            "it wakes and returns 0",
            "The kernel compares once, before the thread falls asleep. A store is not seen, \
             whoever makes it.",
        ),
        wrong(
            "it gets EAGAIN at once",
            "EAGAIN is for a word that differs already when the call looks at it.",
        ),
        right(
            "it sleeps on as before",
            "The word has changed and no process has called FUTEX_WAKE. Nor could the other \
             one: the word is in the target's private memory, and not in its own.",
        ),
    ],
    kind: Kind::Kernel,
    run: wakes_nobody,
    moral: "process_vm_writev(2) stores, and tells nobody. To wake the target, take something that \
            both have: an eventfd by pidfd_getfd(2), a signal, a futex in shared memory.",
    see: "process_vm_writev(2), futex(2), pidfd_getfd(2)",
    file: file!(),
    shows: &["wakes-nobody"],
};

// ANCHOR: wakes-nobody
fn wakes_nobody(stage: &Stage) -> Result<usize> {
    let word = AtomicU32::new(0);
    let end = stage.gate()?;
    let target = stage.fork("target", |stage| {
        let woken = futex_wait(&word, 0, None);
        stage.call("futex(&word, FUTEX_WAIT, 0)", &woken);
        end.pass()?;
        Ok(woken == Err(Errno::EAGAIN))
    })?;
    target.until_asleep_in(&[Sysno::futex])?;
    stage.event("target", "sleeps in futex(&word, FUTEX_WAIT, 0)");
    let one = 1_u32.to_ne_bytes();
    let stored = store(target.pid(), &one, address(&word));
    stage.call("process_vm_writev(target, 1, &word)", &stored);
    let mut now = [0; 4];
    copy(target.pid(), &mut now, address(&word)).context("process_vm_readv")?;
    let now = u32::from_ne_bytes(now);
    let asleep = target.until_asleep_in(&[Sysno::futex, Sysno::readv])?;
    let sleeps_on = asleep == Sysno::futex;
    stage.saw("the word", now);
    stage.saw("it sleeps on", sleeps_on);
    if sleeps_on {
        stage.event("target", "sleeps on");
        target.kill(Signal::SIGKILL)?;
        target.end()?;
        return Ok(3);
    }
    end.open(1)?;
    Ok(if target.join()? { 2 } else { 1 })
}
// ANCHOR_END: wakes-nobody

pub(super) const WHOSE_PAGE: Experiment = Experiment {
    name: "whose-page",
    title: "A page that two processes still share",
    level: Level::Later,
    question: "A process forks, and neither of the two has stored anything since: their \
               page tables lead to the same page frames. The parent stores 7 in a variable \
               of the child's by process_vm_writev(2). Where is the 7 found?",
    answers: &[
        wrong(
            "in both of the processes",
            "It is one page frame, marked to be copied at the first store. This is one.",
        ),
        wrong(
            "in neither of the processes",
            "The call has stored when it returns. It is no request to the child.",
        ),
        right(
            "in the process of the child",
            "The call acts as if the child had stored: the page is copied first, and the \
             child's copy gets the 7.",
        ),
    ],
    kind: Kind::Kernel,
    run: whose_page,
    moral: "The call keeps to what the target could do by itself, copy-on-write as well. What is \
            mapped with MAP_SHARED is different: there all who have it see the store.",
    see: "process_vm_writev(2), fork(2), mmap(2)",
    file: file!(),
    shows: &["whose-page"],
};

// ANCHOR: whose-page
fn whose_page(stage: &Stage) -> Result<usize> {
    let variable = Box::new(AtomicU64::new(1));
    let stored = stage.gate()?;
    let child = stage.fork("child", |stage| {
        stored.pass()?;
        let theirs = variable.load(Ordering::SeqCst);
        stage.call("the variable", &theirs);
        Ok(theirs)
    })?;
    let seven = 7_u64.to_ne_bytes();
    let n = store(child.pid(), &seven, address(&*variable));
    stage.call("process_vm_writev(child, 7, &variable)", &n);
    n.context("process_vm_writev")?;
    stored.open(1)?;
    let (theirs, ours) = (child.join()?, variable.load(Ordering::SeqCst));
    stage.call("the variable", &ours);
    stage.saw("the child's", theirs);
    stage.saw("the parent's", ours);
    match (theirs, ours) {
        (7, 7) => Ok(1),
        (1, 1) => Ok(2),
        (7, 1) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: whose-page

pub(super) const READ_ONLY: Experiment = Experiment {
    name: "read-only",
    title: "A store into a constant",
    level: Level::Later,
    question: "A string literal lies in a page that the target may read and not write. A \
               debugger can set a breakpoint in such a page, by ptrace(2) or through \
               /proc/PID/mem. What does process_vm_writev(2) into it do?",
    answers: &[
        wrong(
            "it stores, like the debugger",
            "ptrace(2) is allowed to break the protection: the page is copied for it. This \
             call is not.",
        ),
        right(
            "it fails, and errno is EFAULT",
            "The call does what the target could do by itself, and the target cannot store \
             there.",
        ),
        wrong(
            "it fails, and errno is EACCES",
            "EACCES is of files. A page that does not let a store through is a fault.",
        ),
    ],
    kind: Kind::Kernel,
    run: read_only,
    moral: "The protection of the target's pages holds for both calls: PROT_READ to be read, \
            PROT_WRITE to be written to. Who must get by it takes ptrace(2).",
    see: "process_vm_writev(2), mprotect(2), ptrace(2)",
    file: file!(),
    shows: &["read-only"],
};

// ANCHOR: read-only
fn read_only(stage: &Stage) -> Result<usize> {
    let literal: &'static str = "a literal";
    let place = literal.as_ptr().expose_provenance();
    let never = stage.gate()?;
    let target = stage.fork("target", |_| never.pass())?;
    let mut bytes = [0; 9];
    let copied = copy(target.pid(), &mut bytes, place);
    stage.call("process_vm_readv(target, copy, 9)", &copied);
    let stored = store(target.pid(), b"another", place);
    stage.call("process_vm_writev(target, \"another\", 7)", &stored);
    stage.saw("read", copied.ok());
    stage.saw("stored", stored.ok());
    match stored {
        Ok(_) => Ok(1),
        Err(Errno::EFAULT) => Ok(2),
        Err(Errno::EACCES) => Ok(3),
        Err(other) => bail!("{other}"),
    }
}
// ANCHOR_END: read-only
