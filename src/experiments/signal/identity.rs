//! Which process sent a signal, and which process gets it.

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, Uid, setuid};
use rustix::process::{PidfdFlags, pidfd_open};

use crate::child::End;
use crate::record::Returned;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use doctor::probes::needs;
use os::handlers::take;
use os::signal::{Set, pidfd_kill, pidfd_sigqueue_as};

pub(super) const FORGED: Experiment = Experiment {
    name: "forged",
    title: "From process 1, it says",
    level: Level::Deep,
    question: "A receiver takes a queued signal and looks at siginfo_t to see who sent it: \
               si_code is SI_QUEUE, si_pid is 1, si_uid is 4242. The sender was an ordinary \
               process of the receiver's own user. Who filled in si_pid and si_uid?",
    answers: &[
        wrong(
            "the kernel, from credentials",
            "That is true of kill(2), where si_code is SI_USER. With SI_QUEUE they come \
             from the sender's own memory.",
        ),
        right(
            "the sender, with what it likes",
            "rt_sigqueueinfo(2) takes the whole siginfo_t. The kernel asks only that \
             si_code is not one of its own, and delivers the rest unchanged.",
        ),
        wrong(
            "nobody, they were never set",
            "Both values arrive exactly as the sender wrote them.",
        ),
    ],
    kind: Kind::Kernel,
    run: forged,
    moral: "si_pid of a queued signal is what the sender says of itself. What protects \
            you is that the kernel checks whether the sender may signal you at all: it \
            must be your user, or root.",
    see: "rt_sigqueueinfo(2), kill(2)",
    file: file!(),
    shows: &["forged"],
};

// ANCHOR: forged
fn forged(stage: &Stage) -> Result<usize> {
    let signal = libc::SIGRTMIN();
    let (ready, sent) = (stage.gate()?, stage.gate()?);
    let receiver = stage.fork("receiver", |stage| {
        Set::of(&[signal]).block()?;
        ready.open(1)?;
        sent.pass()?;
        let info = take(signal)?;
        let said = format!("si_pid = {}, si_uid = {}", info.pid, info.uid);
        stage.call("sigtimedwait()", &said);
        Ok((info.code, info.pid, info.uid))
    })?;
    let pid = receiver.pid();
    ready.pass()?;
    let sender = stage.fork("sender", |stage| {
        let target =
            rustix::process::Pid::from_raw(pid.as_raw()).context("a pid")?;
        let pidfd = pidfd_open(target, PidfdFlags::empty())?;
        let done = pidfd_sigqueue_as(&pidfd, signal, 7, 1, 4242);
        stage.call("pidfd_send_signal({SI_QUEUE, pid 1, uid 4242})", &done);
        Ok(done?)
    })?;
    sender.join()?;
    sent.open(1)?;
    let (code, pid, uid) = receiver.join()?;
    stage.saw("si_code is SI_QUEUE", code == libc::SI_QUEUE);
    stage.saw("si_pid", pid);
    stage.saw("si_uid", uid);

    // What protects: another user may not send at all.
    let root = Uid::effective().is_root();
    if root {
        let stranger = stage.fork("stranger", |stage| {
            setuid(Uid::from_raw(65_534))?;
            let parent = Pid::parent();
            let denied = nix::sys::signal::kill(parent, Signal::SIGUSR1);
            stage.call("kill(someone else's process)", &denied);
            Ok(denied == Err(Errno::EPERM))
        })?;
        stage.saw("another user is refused", stranger.join()?);
    } else {
        stage.note("to try it as another user one must be root.");
    }
    Ok(match (pid, uid) {
        (1, 4242) => 2,
        (0, 0) => 3,
        _ => 1,
    })
}
// ANCHOR_END: forged

pub(super) const PID_REUSE: Experiment = Experiment {
    name: "pid-reuse",
    title: "A signal to a process that has gone",
    level: Level::Deep,
    question: "A program has noted the pid of a server, and opened a pidfd for it. The \
               server ended and was reaped, and the kernel has given its pid to another \
               process. The program sends SIGTERM, by kill(2) with the pid and by \
               pidfd_send_signal(2). What happens?",
    answers: &[
        right(
            "only kill(2) ends the other process",
            "A pidfd refers to one process for ever, and its call fails with ESRCH. A \
             pid is a number that is handed out again.",
        ),
        wrong(
            "neither call ends the other process",
            "kill has a number, and the number is some process. It cannot know which one \
             you meant.",
        ),
        wrong(
            "either call ends the other process",
            "A pidfd is not a number of a process but a descriptor of it. That is what \
             it was made for, in Linux 5.1.",
        ),
    ],
    kind: Kind::Needs(&needs::NEXT_PID),
    run: pid_reuse,
    moral: "A pid file is a guess. Open a pidfd while you know which process it is, or \
            note its start time beside the pid and compare.",
    see: "pidfd_open(2), pidfd_send_signal(2)",
    file: file!(),
    shows: &["pid-reuse"],
};

// ANCHOR: pid-reuse
/// Forks until the kernel gives out `wanted`: the next pid is the last one plus one.
pub(crate) fn fork_as<T>(
    wanted: Pid,
    fork: impl Fn() -> Result<(Pid, T)>,
) -> Result<T> {
    for _ in 0..200 {
        let before = (wanted.as_raw() - 1).to_string();
        std::fs::write("/proc/sys/kernel/ns_last_pid", before)
            .context("ns_last_pid")?;
        let (pid, child) = fork()?;
        if pid == wanted {
            return Ok(child);
        }
    }
    bail!("somebody else got the pid each time")
}

fn pid_reuse(stage: &Stage) -> Result<usize> {
    stage.needs(&needs::NEXT_PID)?;
    let server = stage.fork("server", |_| Ok(()))?;
    let noted = server.pid();
    let number = rustix::process::Pid::from_raw(noted.as_raw()).context("a pid")?;
    let pidfd = pidfd_open(number, PidfdFlags::empty()).context("pidfd_open")?;
    server.join()?;
    stage.event("server", "has ended and was reaped");
    let never = stage.gate()?;
    let innocent = fork_as(noted, || {
        let child = stage.fork("innocent", |_| never.pass())?;
        Ok((child.pid(), child))
    })?;
    stage.event("innocent", "has got the server's pid");

    let by_pidfd = pidfd_kill(&pidfd, libc::SIGTERM);
    stage.call("pidfd_send_signal(the server's pidfd, SIGTERM)", &by_pidfd);
    let by_pid = nix::sys::signal::kill(noted, Signal::SIGTERM);
    stage.call("kill(the noted pid, SIGTERM)", &by_pid);
    let hit = innocent.end()? == End::Killed(Signal::SIGTERM);
    stage.event("innocent", if hit { "ended by SIGTERM" } else { "lives" });
    stage.saw("the pidfd said", by_pidfd.shown());
    stage.saw("the innocent was ended", hit);
    let _ = waitpid(noted, None);
    Ok(match (by_pidfd.is_err(), hit) {
        (true, false) => 2,
        (true, true) => 1,
        (false, _) => 3,
    })
}
// ANCHOR_END: pid-reuse
