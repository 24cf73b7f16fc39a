//! What a copy out of another process's memory gets.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{Pid, getpid};
use rustix::mm::MapFlags;

use super::{address, copy};
use crate::child::End;
use crate::record::Returned;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::mmap::{PAGE, Pages};
use os::process_identity::state;

pub(super) const ITS_OWN_COPY: Experiment = Experiment {
    name: "its-own-copy",
    title: "One address, two processes",
    level: Level::First,
    question: "A variable is 1. The process forks, and the child stores 2 in it. The \
               parent calls process_vm_readv(2) for the child, with the address that the \
               variable has in the parent. What does it get?",
    answers: &[
        wrong(
            "the 1 that the parent has",
            "The parent would find that by a plain load. The call looks the address up in \
             the child's page table.",
        ),
        right(
            "the 2 that the child has",
            "An address means something in one process. After fork(2) the same address is \
             the same variable in both, and each has its own: the call reads the child's.",
        ),
        wrong(
            "a 0 that no process has",
            "Memory that was never written to is 0. This was written to, by both.",
        ),
    ],
    kind: Kind::Kernel,
    run: its_own_copy,
    moral: "An address is of use only together with the process that it is of. A stranger must be \
            told both: no library has the same place in two programs.",
    see: "process_vm_readv(2), fork(2)",
    file: file!(),
    shows: &["its-own-copy"],
};

// ANCHOR: its-own-copy
fn its_own_copy(stage: &Stage) -> Result<usize> {
    let variable = AtomicU64::new(1);
    let (stored, never) = (stage.gate()?, stage.gate()?);
    let child = stage.fork("child", |stage| {
        variable.store(2, Ordering::SeqCst);
        stage.call("variable = 2", &2);
        stored.open(1)?;
        never.pass()
    })?;
    stored.pass()?;
    let mut bytes = [0; 8];
    let n = copy(child.pid(), &mut bytes, address(&variable));
    let got = u64::from_ne_bytes(bytes);
    stage.call("process_vm_readv(child, &copy, &variable, 8)", &n);
    n.context("process_vm_readv")?;
    stage.saw("copied", got);
    stage.saw("the parent's own", variable.load(Ordering::SeqCst));
    match got {
        1 => Ok(1),
        2 => Ok(2),
        0 => Ok(3),
        other => bail!("{other}"),
    }
}
// ANCHOR_END: its-own-copy

pub(super) const STOPPED: Experiment = Experiment {
    name: "stopped",
    title: "A target that does not run",
    level: Level::First,
    question: "A target has been stopped by SIGSTOP: it executes nothing. A reader copies \
               8 bytes of its memory by process_vm_readv(2). What does the call do?",
    answers: &[
        right(
            "it copies all of the 8 bytes",
            "The target has no part in it. The kernel finds the pages by the target's page \
             table, and copies them in the reader's time.",
        ),
        wrong(
            "it sleeps until the SIGCONT",
            "It would, if the target had to send something. Here it is not asked.",
        ),
        wrong(
            "it fails, and errno is EAGAIN",
            "EAGAIN says that a call would sleep. This one waits for no process.",
        ),
    ],
    kind: Kind::Kernel,
    run: stopped,
    moral: "The target calls nothing and is told nothing: so a debugger looks into a program that \
            hangs. That a message is there, and that it has been read, must be told in another way.",
    see: "process_vm_readv(2), signal(7)",
    file: file!(),
    shows: &["stopped"],
};

// ANCHOR: stopped
fn stopped(stage: &Stage) -> Result<usize> {
    let text = *b"abcdefgh";
    let never = stage.gate()?;
    let target = stage.fork("target", |_| never.pass())?;
    target.kill(Signal::SIGSTOP)?;
    let flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WNOWAIT;
    waitid(Id::Pid(target.pid()), flags).context("waitid")?;
    stage.event("target", "stopped by SIGSTOP");
    let mut bytes = [0; 8];
    let copied = copy(target.pid(), &mut bytes, address(&text));
    stage.call("process_vm_readv(target, copy, 8)", &copied);
    let is_stopped = state(target.pid().as_raw().cast_unsigned()) == Some('T');
    stage.saw("copied", String::from_utf8_lossy(&bytes).into_owned());
    stage.saw("it is stopped still", is_stopped);
    match (copied, is_stopped) {
        (Ok(8), true) => Ok(1),
        (Ok(8), false) => Ok(2),
        (Err(Errno::EAGAIN), _) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: stopped

pub(super) const TORN_COPY: Experiment = Experiment {
    name: "torn-copy",
    title: "A copy in the middle of a change",
    level: Level::First,
    question: "A target changes a message of 8 bytes from aaaaaaaa to bbbbbbbb, one after \
               the other, and has done 4 of them. Just then a reader copies the 8 bytes by \
               one process_vm_readv(2). What does it get?",
    answers: &[
        wrong(
            "aaaaaaaa, as it was before",
            "There is no before: the kernel keeps no old state of a process's memory.",
        ),
        wrong(
            "bbbbbbbb, as it will become",
            "The call does not wait for the target. It does not know of messages.",
        ),
        right(
            "bbbbaaaa, as it is just now",
            "It copies what is there. One call is no snapshot either: pages are copied one \
             after the other while the target runs on.",
        ),
    ],
    kind: Kind::Kernel,
    run: torn_copy,
    moral: "Have the target count a version: odd before it changes something, even after. Copy \
            the version, the message, and the version again. Only two that are equal and even \
            vouch for what lies between them.",
    see: "process_vm_readv(2)",
    file: file!(),
    shows: &["torn-copy-broken", "torn-copy-cured", "torn-copy"],
};

/// A message, and how often it was about to be changed, or had been.
struct Message {
    version: AtomicU64,
    text: [AtomicU8; 8],
}

/// The text, as one call copies it.
fn text_of(target: Pid, message: &Message) -> Result<String> {
    let mut text = [0; 8];
    copy(target, &mut text, address(&message.text)).context("process_vm_readv")?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The version, as another call copies it.
fn version_of(target: Pid, message: &Message) -> Result<u64> {
    let mut version = [0; 8];
    copy(target, &mut version, address(&message.version))
        .context("process_vm_readv")?;
    Ok(u64::from_ne_bytes(version))
}

// ANCHOR: torn-copy-broken
fn one_copy(target: Pid, message: &Message) -> Result<Option<String>> {
    Ok(Some(text_of(target, message)?))
}
// ANCHOR_END: torn-copy-broken

// ANCHOR: torn-copy-cured
/// Nothing, where it must be tried again.
fn between_two_looks(target: Pid, message: &Message) -> Result<Option<String>> {
    let before = version_of(target, message)?;
    let text = text_of(target, message)?;
    let after = version_of(target, message)?;
    let is_whole = before == after && before.is_multiple_of(2);
    Ok(is_whole.then_some(text))
}
// ANCHOR_END: torn-copy-cured

// ANCHOR: torn-copy
fn torn_copy(stage: &Stage) -> Result<usize> {
    let message = Message {
        version: AtomicU64::new(0),
        text: [const { AtomicU8::new(b'a') }; 8],
    };
    let (half, go) = (stage.gate()?, stage.gate()?);
    let (whole, never) = (stage.gate()?, stage.gate()?);
    let target = stage.fork("target", |stage| {
        let change = |bytes: &[AtomicU8]| {
            bytes.iter().for_each(|byte| byte.store(b'b', Ordering::SeqCst));
        };
        message.version.store(1, Ordering::SeqCst);
        change(&message.text[..4]);
        stage.event("target", "has changed 4 bytes of 8");
        half.open(1)?;
        go.pass()?;
        change(&message.text[4..]);
        message.version.store(2, Ordering::SeqCst);
        stage.event("target", "has changed them all");
        whole.open(1)?;
        never.pass()
    })?;
    half.pass()?;
    let shown =
        |text: &Option<String>| text.clone().unwrap_or_else(|| "again".into());
    let got = one_copy(target.pid(), &message)?;
    stage.call("process_vm_readv(target, copy, 8)", &shown(&got));
    let cured = between_two_looks(target.pid(), &message)?;
    stage.call("the same between two looks at the version", &shown(&cured));
    go.open(1)?;
    whole.pass()?;
    let then = between_two_looks(target.pid(), &message)?;
    stage.call("the same between two looks at the version", &shown(&then));
    stage.saw("copied", got.clone());
    stage.saw("with a version", cured);
    stage.saw("with a version, later", then);
    match got.as_deref() {
        Some("aaaaaaaa") => Ok(1),
        Some("bbbbbbbb") => Ok(2),
        Some("bbbbaaaa") => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: torn-copy

pub(super) const NEVER_TOUCHED: Experiment = Experiment {
    name: "never-touched",
    title: "Memory that the target has not used",
    level: Level::Deep,
    question: "A target has mapped a page of anonymous memory, and has neither read nor \
               written it: there is no page frame for it yet. A reader copies 8 bytes from \
               there by process_vm_readv(2). What does the call return?",
    answers: &[
        wrong(
            "-1, with EFAULT as errno",
            "EFAULT is for addresses at which the target itself could not read. It could \
             read here.",
        ),
        wrong(
            "0, and it copies no byte",
            "A short count says that a later part was not readable. All of this is.",
        ),
        right(
            "8, and each byte is a 0",
            "The kernel handles the page fault in the target's name, as if the target had \
             read there. Memory begins as zeros.",
        ),
    ],
    kind: Kind::Kernel,
    run: never_touched,
    moral: "A copy makes the same page faults that the target would make: pages are found, read \
            from disk or swapped in. So it may also sleep for a disk.",
    see: "process_vm_readv(2), mmap(2)",
    file: file!(),
    shows: &["never-touched"],
};

// ANCHOR: never-touched
fn never_touched(stage: &Stage) -> Result<usize> {
    let pages = Pages::map(None, PAGE, MapFlags::PRIVATE).context("mmap")?;
    let never = stage.gate()?;
    let target = stage.fork("target", |_| never.pass())?;
    let mut bytes = [b'x'; 8];
    let copied = copy(target.pid(), &mut bytes, pages.address());
    stage.call("process_vm_readv(target, copy, 8)", &copied);
    stage.saw("the bytes", bytes);
    match (copied, bytes) {
        (Err(Errno::EFAULT), _) => Ok(1),
        (Ok(0), _) => Ok(2),
        (Ok(8), [0, 0, 0, 0, 0, 0, 0, 0]) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: never-touched

pub(super) const PROBE_OWN: Experiment = Experiment {
    name: "probe-own",
    title: "An address that may be no address",
    level: Level::Later,
    question: "A program has an address of its own of which it does not know whether \
               anything can be read there. It calls process_vm_readv(2) with its own pid. \
               Nothing can be read there. What happens?",
    answers: &[
        right(
            "the call fails, by EFAULT",
            "The kernel looks before it copies, and no instruction of the program touches \
             the place. So it is a load that cannot kill.",
        ),
        wrong(
            "the program ends, by SIGSEGV",
            "A load would do that: the run shows it in a child.",
        ),
        wrong(
            "the call fails, by EPERM",
            "A process may always read itself. Rights are asked for another one.",
        ),
    ],
    kind: Kind::Kernel,
    run: probe_own,
    moral: "Crash handlers and collectors of stack traces follow pointers that may be broken in \
            this way. It is a system call for each look, and tells of one moment.",
    see: "process_vm_readv(2), signal(7)",
    file: file!(),
    shows: &["probe-own"],
};

// ANCHOR: probe-own
fn probe_own(stage: &Stage) -> Result<usize> {
    let pages = Pages::map(None, PAGE, MapFlags::PRIVATE).context("mmap")?;
    let loads = stage.fork("child", |_| Ok(pages.load(PAGE)))?;
    let by_load = loads.end()?;
    if let End::Killed(signal) = &by_load {
        stage.event("child", format!("a load from there: ended by {signal}"));
    }
    let looks = stage.fork("child", |stage| {
        let copied = copy(getpid(), &mut [0; 8], pages.address() + PAGE);
        stage.call("process_vm_readv(getpid(), copy, 8)", &copied);
        Ok(copied.shown())
    })?;
    let by_call = looks.end()?;
    stage.saw("a load ended it", by_load == End::Killed(Signal::SIGSEGV));
    if let End::Done(returned) = &by_call {
        stage.saw("the call returned", returned.as_str());
    }
    match by_call {
        End::Done(returned) if returned.starts_with("EFAULT") => Ok(1),
        End::Killed(Signal::SIGSEGV) => Ok(2),
        End::Done(returned) if returned.starts_with("EPERM") => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: probe-own
