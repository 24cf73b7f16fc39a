//! How many of the signals that were sent arrive, and in which order.

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Pid, getpid};
use rustix::process::{PidfdFlags, pidfd_open};

use crate::child::End;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::handlers::{self, is_pending, take};
use os::signal::{Set, pidfd_sigqueue};

/// How many of `signal` wait in this process, which has blocked it; takes them.
fn drain(signal: i32) -> Vec<i32> {
    std::iter::from_fn(|| take(signal).ok()).map(|info| info.value).collect()
}

/// This process, as sigqueue's descriptor form wants it.
fn own_pidfd() -> Result<std::os::fd::OwnedFd> {
    pidfd_open(rustix::process::getpid(), PidfdFlags::empty()).context("pidfd_open")
}

pub(super) const THOUSAND: Experiment = Experiment {
    name: "thousand",
    title: "A thousand signals while they are blocked",
    level: Level::First,
    question: "A process has SIGUSR1 and SIGRTMIN blocked. Each is sent to it 1000 times \
               by sigqueue(3), which lets a signal carry a value: here the values 0 to \
               999. Then it takes what waits. SIGRTMIN comes with all 1000 values. Which \
               values come with SIGUSR1?",
    answers: &[
        wrong(
            "all of them, from 0 to 999",
            "That is true of a real-time signal. Of a standard signal one waits at most, \
             by whatever call it was sent.",
        ),
        wrong(
            "only the last one, 999",
            "A standard signal that waits is not replaced. What comes later is dropped, \
             with its value.",
        ),
        right(
            "only the first one, 0",
            "The first SIGUSR1 waits, with its value; 999 others found one waiting and \
             were dropped, though sigqueue returned 0. Real-time signals are queued, \
             first in, first out.",
        ),
    ],
    kind: Kind::Kernel,
    run: thousand,
    moral: "A standard signal says: look. It does not count, and it can lose a value in \
            silence. To count or to carry values, queue a real-time signal.",
    see: "signal(7), sigqueue(3)",
    file: file!(),
    shows: &["thousand"],
};

// ANCHOR: thousand
fn thousand(stage: &Stage) -> Result<usize> {
    let (usr1, rtmin) = (libc::SIGUSR1, libc::SIGRTMIN());
    Set::of(&[usr1, rtmin]).block().context("sigprocmask")?;
    let own = own_pidfd()?;
    for value in 0..1000 {
        pidfd_sigqueue(&own, usr1, value).context("sigqueue")?;
        pidfd_sigqueue(&own, rtmin, value).context("sigqueue")?;
    }
    stage.event("main", "has sent itself 1000 SIGUSR1 and 1000 SIGRTMIN");
    let (standard, queued) = (drain(usr1), drain(rtmin));
    stage.call("sigtimedwait(SIGUSR1) until EAGAIN", &standard.len());
    stage.call("sigtimedwait(SIGRTMIN) until EAGAIN", &queued.len());
    stage.saw("values of SIGUSR1", standard.clone());
    stage.saw("SIGRTMIN taken", queued.len());
    stage.saw("SIGRTMIN in order", queued.is_sorted());
    match standard[..] {
        [0] => Ok(3),
        [999] => Ok(2),
        _ if standard.len() == 1000 => Ok(1),
        _ => bail!("SIGUSR1 came with {standard:?}"),
    }
}
// ANCHOR_END: thousand

pub(super) const OVERTAKEN: Experiment = Experiment {
    name: "overtaken",
    title: "Three signals in a row",
    level: Level::Later,
    question: "A process has three signals blocked, and they are sent to it in this order: \
               SIGRTMIN+1, SIGRTMIN, SIGUSR2. Then it takes them one by one. In which order \
               does it get them?",
    answers: &[
        right(
            "SIGUSR2, SIGRTMIN, SIGRTMIN+1",
            "The kernel looks for the lowest number that waits. A signal that was sent \
             last can overtake all the others.",
        ),
        wrong(
            "SIGRTMIN+1, SIGRTMIN, SIGUSR2",
            "Only signals of one number keep the order in which they were sent. Among \
             numbers the lowest comes first.",
        ),
        wrong(
            "SIGRTMIN, SIGRTMIN+1, SIGUSR2",
            "POSIX leaves open whether standard or real-time signals come first. Linux \
             takes the standard ones first: their numbers are lower.",
        ),
    ],
    kind: Kind::Kernel,
    run: overtaken,
    moral: "What must arrive in order travels in one signal number. A goodbye with a lower \
            number than the data arrives before the data.",
    see: "signal(7)",
    file: file!(),
    shows: &["overtaken"],
};

// ANCHOR: overtaken
fn overtaken(stage: &Stage) -> Result<usize> {
    let rtmin = libc::SIGRTMIN();
    let sent =
        [("SIGRTMIN+1", rtmin + 1), ("SIGRTMIN", rtmin), ("SIGUSR2", libc::SIGUSR2)];
    let set = Set::of(&sent.map(|(_, number)| number));
    set.block().context("sigprocmask")?;
    for (name, number) in sent {
        stage.call(format!("kill(self, {name})"), &handlers::kill(getpid(), number));
    }
    let mut order = Vec::new();
    for _ in sent {
        let info = os::signal::sigwaitinfo(&set).context("sigwaitinfo")?;
        let name = sent.iter().find(|(_, number)| *number == info.signal);
        let name = name.context("a signal that nobody sent")?.0;
        stage.call("sigwaitinfo()", &name);
        order.push(name);
    }
    stage.saw("taken in this order", order.clone());
    Ok(match order[..] {
        ["SIGRTMIN+1", "SIGRTMIN", "SIGUSR2"] => 2,
        ["SIGUSR2", "SIGRTMIN", "SIGRTMIN+1"] => 1,
        _ => 3,
    })
}
// ANCHOR_END: overtaken

pub(super) const QUEUE_LIMIT: Experiment = Experiment {
    name: "queue-limit",
    title: "When the queue of signals is full",
    level: Level::Deep,
    question: "RLIMIT_SIGPENDING leaves room for 10 more signals to a receiver that has \
               SIGRTMIN blocked. A sender without such a limit calls sigqueue(3) 100 times, \
               and then kill(2) once with the same signal. What do the last sigqueue and the kill return?",
    answers: &[
        wrong(
            "0 from sigqueue, 0 from kill",
            "The queue belongs to the receiver's user, and the receiver's limit counts. \
             No queued signal is dropped to make room for a new one.",
        ),
        right(
            "EAGAIN from sigqueue, 0 from kill",
            "sigqueue promises to queue or to say no. kill promises a pending signal and \
             nothing more: SIGRTMIN is pending already. Its own signal is lost.",
        ),
        wrong(
            "EAGAIN from sigqueue and from kill",
            "kill never says EAGAIN. What it cannot queue it drops.",
        ),
        wrong(
            "0 from sigqueue, EAGAIN from kill",
            "It is the other way round. sigqueue carries a value and must not lose it; \
             kill may.",
        ),
    ],
    kind: Kind::Kernel,
    run: queue_limit,
    moral: "sigqueue may fail with EAGAIN, and then the message must be sent again: a \
            protocol on signals needs its receiver to say how far it is.",
    see: "sigqueue(3), getrlimit(2)",
    file: file!(),
    shows: &["queue-limit"],
};

// ANCHOR: queue-limit
/// How many signals are queued for all processes of this user: SigQ in /proc/PID/status.
fn waiting_for_this_user() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("read")?;
    let line = status.lines().find_map(|line| line.strip_prefix("SigQ:"));
    let queued = line.and_then(|numbers| numbers.trim().split('/').next());
    queued
        .and_then(|number| number.parse().ok())
        .context("SigQ in /proc/self/status")
}

fn queue_limit(stage: &Stage) -> Result<usize> {
    let rtmin = libc::SIGRTMIN();
    let (blocked, go) = (stage.gate()?, stage.gate()?);
    let receiver = stage.fork("receiver", |_| {
        Set::of(&[rtmin]).block()?;
        let limit = waiting_for_this_user()? + 10;
        setrlimit(Resource::RLIMIT_SIGPENDING, limit, limit)?;
        blocked.open(1)?;
        go.pass()?;
        Ok(drain(rtmin))
    })?;
    blocked.pass()?;
    let pid = rustix::process::Pid::from_raw(receiver.pid().as_raw());
    let pidfd = pidfd_open(pid.context("a pid")?, PidfdFlags::empty())?;
    let mut queued = 0;
    let mut last = Ok(());
    for value in 0..100 {
        last = pidfd_sigqueue(&pidfd, rtmin, value);
        queued += usize::from(last.is_ok());
    }
    stage.event(
        "main",
        format!("sigqueue(SIGRTMIN) succeeded {queued} times of 100"),
    );
    stage.call("sigqueue(SIGRTMIN), the last one", &last);
    let killed = handlers::kill(receiver.pid(), rtmin);
    stage.call("kill(SIGRTMIN)", &killed);
    go.open(1)?;
    let arrived = receiver.join()?;
    stage.event("receiver", format!("takes {} signals", arrived.len()));
    stage.saw("queued", queued);
    stage.saw("kill succeeded", killed.is_ok());
    stage.saw("arrived", arrived.len());
    if queued != 10 {
        stage.note(format!(
            "{queued} were queued, not 10: the limit counts what waits for all processes of \
             the user, and meanwhile that has changed."
        ));
    }
    let refused = last == Err(Errno::EAGAIN);
    Ok(match (refused, killed.is_ok()) {
        (true, true) if arrived.len() == queued => 2,
        (true, false) => 3,
        (false, true) => 1,
        _ => 4,
    })
}
// ANCHOR_END: queue-limit

pub(super) const UNSTOPPABLE: Experiment = Experiment {
    name: "unstoppable",
    title: "Catching and blocking SIGKILL",
    level: Level::First,
    question: "A process wants to survive everything. It calls sigaction(2) to handle \
               SIGKILL, and sigprocmask(2) to block it. What do the two calls return?",
    answers: &[
        right(
            "-1 from sigaction, 0 from sigprocmask",
            "Neither can be done. sigaction says it, with EINVAL. sigprocmask takes a \
             whole set and leaves out, in silence, what cannot be blocked. The next \
             SIGKILL still ends the process.",
        ),
        wrong(
            "-1 from sigaction and sigprocmask",
            "sigaction fails, with EINVAL. sigprocmask takes a whole set, and does not \
             say that it left out one signal.",
        ),
        wrong(
            "0 from sigaction and sigprocmask",
            "That is true of sigprocmask. sigaction does refuse.",
        ),
    ],
    kind: Kind::Kernel,
    run: unstoppable,
    moral: "No program can clean up after SIGKILL: whoever starts next must recognise what \
            is left. And a mask that was accepted may be smaller than what was asked for.",
    see: "signal(7), sigprocmask(2)",
    file: file!(),
    shows: &["unstoppable"],
};

// ANCHOR: unstoppable
fn unstoppable(stage: &Stage) -> Result<usize> {
    let tries = stage.fork("tries", |stage| {
        let caught = handlers::count(libc::SIGKILL, 0);
        stage.call("sigaction(SIGKILL, handler)", &caught);
        let blocked = Set::of(&[libc::SIGKILL]).block();
        stage.call("sigprocmask(SIG_BLOCK, {SIGKILL})", &blocked);
        Ok((caught.is_ok(), blocked.is_ok()))
    })?;
    let (caught, blocked) = tries.join()?;
    stage.saw("sigaction succeeded", caught);
    stage.saw("sigprocmask succeeded", blocked);

    let (ready, never) = (stage.gate()?, stage.gate()?);
    let immortal = stage.fork("immortal", |_| {
        Set::of(&[libc::SIGKILL]).block()?;
        ready.open(1)?;
        never.pass()
    })?;
    ready.pass()?;
    immortal.kill(Signal::SIGKILL)?;
    let killed = immortal.end()? == End::Killed(Signal::SIGKILL);
    stage.event("immortal", if killed { "ended by SIGKILL" } else { "lives" });
    stage.saw("one that had blocked it was ended", killed);
    Ok(match (caught, blocked) {
        (false, true) => 1,
        (false, false) => 2,
        _ => 3,
    })
}
// ANCHOR_END: unstoppable

pub(super) const FIVE_CHILDREN: Experiment = Experiment {
    name: "five-children",
    title: "Five children end at once",
    level: Level::First,
    question: "A parent has SIGCHLD blocked while its five children end. Then it takes a \
               SIGCHLD and calls wait(2) once, and repeats this while a SIGCHLD waits. \
               How many of the five stay zombies?",
    answers: &[
        wrong(
            "none of the five",
            "Five signals were sent. But SIGCHLD is a standard signal: four of them \
             found one waiting, and were dropped.",
        ),
        wrong(
            "all of the five",
            "wait looks for children that have ended. It needs no signal, and works \
             while SIGCHLD is blocked.",
        ),
        right(
            "four of the five",
            "Exactly one SIGCHLD was pending, and wait was called once. The others stay \
             zombies until the parent waits for them.",
        ),
    ],
    kind: Kind::Kernel,
    run: five_children,
    moral: "On SIGCHLD, call waitpid(-1, WNOHANG) until it finds no more. The signal \
            says: one or more.",
    see: "wait(2), signal(7)",
    file: file!(),
    shows: &["five-children-broken", "five-children-cured", "five-children"],
};

// ANCHOR: five-children-broken
/// One wait(2) for each SIGCHLD: returns how many children were reaped.
fn one_wait_each() -> Result<usize> {
    let mut reaped = 0;
    while take(libc::SIGCHLD).is_ok() {
        waitpid(None, None)?;
        reaped += 1;
    }
    Ok(reaped)
}
// ANCHOR_END: five-children-broken

// ANCHOR: five-children-cured
/// As many as have ended, whatever the number of signals was.
fn until_nobody_is_left() -> usize {
    let mut reaped = 0;
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            break;
        }
        reaped += 1;
    }
    reaped
}
// ANCHOR_END: five-children-cured

// ANCHOR: five-children
fn five_children(stage: &Stage) -> Result<usize> {
    let parent = stage.fork("parent", |stage| {
        Set::of(&[libc::SIGCHLD]).block()?;
        let mut children: Vec<Pid> = Vec::new();
        for _ in 0..5 {
            let child = stage.fork("child", |_| Ok(()))?;
            children.push(child.leave());
        }
        for child in &children {
            // WNOWAIT: wait until it has ended, and leave the zombie.
            waitid(Id::Pid(*child), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)?;
        }
        stage.event("parent", "all five children have ended");
        stage.saw("SIGCHLD is pending", is_pending(libc::SIGCHLD));
        let reaped = one_wait_each()?;
        stage.call("one wait() for each SIGCHLD: reaped", &reaped);
        let rest = until_nobody_is_left();
        stage.call("waitpid(-1, WNOHANG) until 0: reaped", &rest);
        Ok((reaped, rest))
    })?;
    let (reaped, rest) = parent.join()?;
    stage.saw("reaped by one wait for each signal", reaped);
    stage.saw("reaped by the loop", rest);
    Ok(match reaped {
        5 => 1,
        0 => 2,
        _ => 3,
    })
}
// ANCHOR_END: five-children
