//! Semaphores without a name, in memory that processes share.

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use syscalls::Sysno;

use super::sleeps;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::mutex::page;
use os::semaphore::{
    Unnamed, sem_getvalue, sem_open, sem_open_or_create, sem_trywait,
};

pub(super) const WHO_GETS_IT: Experiment = Experiment {
    name: "who-gets-it",
    title: "One post, one that sleeps, one that only tries",
    level: Level::Later,
    question: "A semaphore lies in memory that three processes share. It was made by \
               sem_init(3) with pshared 0 and the value 0. A sleeps in sem_wait(3). B calls \
               sem_post(3). Some time later C calls sem_trywait(3). Who has the post in the \
               end?",
    answers: &[
        wrong(
            "A, which has slept for it",
            "So it is with pshared 1. With 0 the C library asks the kernel for a wake-up \
             within one process, and B's process has no sleeper.",
        ),
        wrong(
            "B, as no process took it",
            "A post belongs to nobody. The value is 1, and any process can take it: C does.",
        ),
        right(
            "C, which has not slept",
            "The value in memory is right, and whoever looks sees it. A does not look: it \
             sleeps, and the wake-up went to B's own threads.",
        ),
    ],
    kind: Kind::Kernel,
    run: who_gets_it,
    moral: "sem_init(&semaphore, 1, value) between processes. As long as nobody has to sleep, 0 \
            works as well, and so tests pass. sem_open(3) has no such question: its semaphores are \
            always for processes.",
    see: "sem_init(3), sem_overview(7)",
    file: file!(),
    shows: &["who-gets-it-broken", "who-gets-it-cured", "who-gets-it"],
};

// ANCHOR: who-gets-it-broken
fn for_threads() -> nix::Result<Unnamed> {
    Unnamed::init(page()?, false, 0) // sem_init(&semaphore, 0, 0)
}
// ANCHOR_END: who-gets-it-broken

// ANCHOR: who-gets-it-cured
fn for_processes() -> nix::Result<Unnamed> {
    Unnamed::init(page()?, true, 0) // sem_init(&semaphore, 1, 0)
}
// ANCHOR_END: who-gets-it-cured

// ANCHOR: who-gets-it
fn who_gets_it(stage: &Stage) -> Result<usize> {
    let got = |pshared: &str, make: fn() -> nix::Result<Unnamed>| {
        let semaphore = make().context("sem_init")?;
        stage.event("main", format!("sem_init(&semaphore, {pshared}, 0)"));
        let end = stage.gate()?;
        let a = stage.fork("A", |_| {
            semaphore.wait()?;
            end.pass()
        })?;
        a.until_asleep_in(&[Sysno::futex])?;
        stage.event("A", "sleeps in sem_wait()");
        let b = stage.fork("B", |stage| {
            let posted = semaphore.post();
            stage.call("sem_post()", &posted);
            Ok(posted?)
        })?;
        b.join()?;
        let slept_on = sleeps(&a)?;
        stage.event("A", if slept_on { "sleeps on" } else { "has the post" });
        let tried = semaphore.trywait();
        stage.call("C: sem_trywait()", &tried);
        if !slept_on {
            end.open(1)?;
            a.join()?;
        }
        anyhow::Ok((!slept_on, tried.is_ok()))
    };
    let (a, c) = got("0", for_threads)?;
    let (a_shared, c_shared) = got("1", for_processes)?;
    stage.saw("pshared 0: A and C have it", vec![a, c]);
    stage.saw("pshared 1: A and C have it", vec![a_shared, c_shared]);
    match (a, c) {
        (true, false) => Ok(1),
        (false, false) => Ok(2),
        (false, true) => Ok(3),
        _ => bail!("two have it"),
    }
}
// ANCHOR_END: who-gets-it

pub(super) const MADE_BY_EACH: Experiment = Experiment {
    name: "made-by-each",
    title: "Each process makes the semaphore, to be sure",
    level: Level::Later,
    question: "A semaphore guards what one process at a time may do. It lies in shared memory, \
               and each process calls sem_init(&semaphore, 1, 1) when it starts, then \
               sem_wait(3). A has waited, and is at work. Now B starts. What does its sem_wait \
               do?",
    answers: &[
        right(
            "it returns, and both are at work",
            "sem_init(3) stores the value, whatever is there. It asks nobody: POSIX calls \
             it undefined for a semaphore that is in use.",
        ),
        wrong(
            "it sleeps, until A has posted",
            "It would if B had left the value alone, which was 0. B has set it to 1.",
        ),
        wrong(
            "it fails, since A has made it",
            "Nothing in memory says that this is a semaphore. sem_open(3) with O_EXCL fails \
             for that reason, because there is a name.",
        ),
    ],
    kind: Kind::Kernel,
    run: made_by_each,
    moral: "Exactly one process calls sem_init(3), before the others may look. Where none is the \
            first, use sem_open(3) with O_CREAT: it takes the value only if it makes the \
            semaphore, and shows the name only when all is there.",
    see: "sem_init(3), sem_open(3)",
    file: file!(),
    shows: &["made-by-each"],
};

// ANCHOR: made-by-each
fn made_by_each(stage: &Stage) -> Result<usize> {
    let memory = page().context("mmap")?;
    let by_init = || Unnamed::init(memory, true, 1)?.trywait();
    let a = by_init();
    stage.call("A: sem_init(&semaphore, 1, 1), sem_trywait()", &a);
    let b = stage.fork("B", |stage| {
        let got = by_init();
        stage.call("sem_init(&semaphore, 1, 1), sem_trywait()", &got);
        Ok(got.is_ok())
    })?;
    let both = b.join()? && a.is_ok();

    // The same by a name: sem_wait() would sleep where sem_trywait() says EAGAIN.
    let name = stage.semaphore("guard");
    let by_name = || sem_trywait(&sem_open_or_create(&name, 1)?);
    let a = by_name();
    stage.call(
        format!("A: sem_open(\"{name}\", O_CREAT, 0600, 1), sem_trywait()"),
        &a,
    );
    let b = stage.fork("B", |stage| {
        let got = by_name();
        stage.call(
            format!("sem_open(\"{name}\", O_CREAT, 0600, 1), sem_trywait()"),
            &got,
        );
        Ok(got == Err(Errno::EAGAIN))
    })?;
    let kept_out = b.join()? && a.is_ok();
    let value = sem_getvalue(&sem_open(&name).context("sem_open")?);
    stage.saw("by sem_init, both are at work", both);
    stage.saw("by sem_open, B is kept out", kept_out);
    stage.saw("the value of the named one", value);
    Ok(if both { 1 } else { 2 })
}
// ANCHOR_END: made-by-each
