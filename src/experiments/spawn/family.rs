//! One process, or all that it has started: how each is ended.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, getpid, pause, pipe2, read, setpgid, setsid, write};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Signal as Number, set_child_subreaper, set_parent_process_death_signal,
};

use crate::child::PAUSE;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use crate::until::until;
use doctor::probes::processes::NAMESPACES;
use os::calls::pidfd_open;
use os::handlers;
use os::proc::{Activity, activity};
use os::signal::pidfd_kill;
use os::spawn::{Forked, fork};

pub(super) const LEFT_THE_GROUP: Experiment = Experiment {
    name: "left-the-group",
    title: "kill of a whole process group",
    level: Level::Later,
    question: "A child leads a process group of its own. It has two children: one is as fork(2) \
               made it, the other has called setsid(2). The parent calls kill(-child, SIGKILL). \
               Which of the three processes go on?",
    answers: &[
        wrong(
            "no process of the three goes on",
            "setsid(2) makes a new session, and with it a new process group. The signal goes \
             to the members of the old one.",
        ),
        right(
            "that in the new session does",
            "A process belongs to one group, and setsid(2) and setpgid(2) change it. What \
             wants to be a daemon leaves each group that could be killed.",
        ),
        wrong(
            "its two children go on",
            "That is so with kill(child). With a minus the number is a process group's, and \
             the first of the two is in it.",
        ),
    ],
    kind: Kind::Kernel,
    run: left_the_group,
    moral: "A group is enough for a family that stays together. For one that does not: be its \
            subreaper, and end what becomes your child; or put it into a cgroup or a PID namespace.",
    see: "kill(2), setsid(2), setpgid(2)",
    file: file!(),
    shows: &["left-the-group"],
};

// ANCHOR: left-the-group
fn left_the_group(stage: &Stage) -> Result<usize> {
    // So that main can wait for those whose parents end.
    set_child_subreaper(Some(rustix::process::getpid())).context("prctl")?;
    let (output, to) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
    let child = stage.fork("child", |stage| {
        setpgid(Pid::this(), Pid::from_raw(0)).context("setpgid")?;
        for (who, leaves) in [("first", false), ("second", true)] {
            let grandchild = stage.fork(who, |stage| {
                set_parent_process_death_signal(None)?; // as after any fork
                if leaves {
                    setsid().context("setsid")?;
                    stage.event(who, "setsid(): a session of its own");
                }
                write(&to, &getpid().as_raw().to_ne_bytes())?;
                pause();
                Ok(())
            })?;
            grandchild.leave();
        }
        pause();
        Ok(())
    })?;
    let mut pids = Vec::new();
    for _ in 0..2 {
        let mut pid = [0; 4];
        read(&output, &mut pid).context("read")?; // what write(2) wrote stays together
        pids.push(Pid::from_raw(i32::from_ne_bytes(pid)));
    }
    child.until_asleep_in(&[PAUSE])?;
    stage.call("kill(-child, SIGKILL)", &killpg(child.pid(), Signal::SIGKILL));
    child.status()?;
    // Which is which, their groups do not tell any more; their ends do.
    let first = waitpid(None, None).context("waitpid")?;
    stage.event("first", "has ended, as the child has");
    let left =
        pids.into_iter().find(|pid| Some(*pid) != first.pid()).context("two")?;
    let goes_on = activity(left) != Activity::Ended;
    stage.event("second", if goes_on { "goes on" } else { "has ended" });
    kill(left, Signal::SIGKILL).context("kill")?;
    waitpid(left, None).context("waitpid")?;
    stage.saw("the first ended", matches!(first, WaitStatus::Signaled(..)));
    stage.saw("the second goes on", goes_on);
    Ok(if goes_on { 2 } else { 1 })
}
// ANCHOR_END: left-the-group

pub(super) const PIDFD_READABLE: Experiment = Experiment {
    name: "pidfd-readable",
    title: "A descriptor that stands for a child",
    level: Level::Later,
    question: "A parent has a pidfd of its child, and asks poll(2) of it again and again: while \
               the child runs, while it is stopped by SIGSTOP, once it has ended, and once \
               waitpid(2) has returned it. From when on is the pidfd readable?",
    answers: &[
        wrong(
            "once it has been stopped",
            "A stop is no end: SIGCONT may follow. waitid(2) with WSTOPPED tells of stops, a \
             pidfd does not.",
        ),
        wrong(
            "once it has been reaped by wait",
            "Then nobody could wait for the child by poll(2), and call waitpid(2) when it \
             will not sleep.",
        ),
        right(
            "once it has come to an end",
            "A pidfd is readable as soon as the process has ended, as a zombie, and stays so. \
             After waitpid(2) a signal by it fails with ESRCH, whoever has the number by then.",
        ),
    ],
    kind: Kind::Kernel,
    run: pidfd_readable,
    moral: "A pidfd waits for a child beside sockets and pipes, without SIGCHLD, and never means \
            another process that has got the number since (`signal/pid-reuse`).",
    see: "pidfd_open(2), pidfd_send_signal(2), poll(2)",
    file: file!(),
    shows: &["pidfd-readable"],
};

// ANCHOR: pidfd-readable
fn pidfd_readable(stage: &Stage) -> Result<usize> {
    let child = stage.fork("child", |_| {
        pause();
        Ok(())
    })?;
    let pidfd = pidfd_open(child.pid().as_raw()).context("pidfd_open")?;
    let readable = |pidfd: &OwnedFd, at_most: Option<&Timespec>| -> Result<bool> {
        let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
        Ok(poll(&mut fds, at_most)? > 0)
    };
    let now = Timespec::default();
    child.until_asleep_in(&[PAUSE])?;
    let runs = readable(&pidfd, Some(&now))?;
    stage.call("poll(pidfd), while it sleeps", &runs.to_string());
    child.kill(Signal::SIGSTOP)?;
    let flags = nix::sys::wait::WaitPidFlag::WUNTRACED;
    waitpid(child.pid(), Some(flags)).context("waitpid")?; // it has stopped
    let stopped = readable(&pidfd, Some(&now))?;
    stage.call("poll(pidfd), while it is stopped", &stopped.to_string());
    child.kill(Signal::SIGKILL)?;
    let ended = readable(&pidfd, None)?; // sleeps until it has ended
    stage.call("poll(pidfd), once it has ended", &ended.to_string());
    child.status()?;
    let late = pidfd_kill(&pidfd, Signal::SIGTERM as i32);
    stage.call("pidfd_send_signal(pidfd, SIGTERM), once it is reaped", &late);
    stage.saw("while it runs and is stopped", vec![runs, stopped]);
    stage.saw("as a zombie", ended);
    stage.saw("a late signal fails with ESRCH", late == Err(Errno::ESRCH));
    Ok(match (stopped, ended) {
        (true, _) => 1,
        (false, true) => 3,
        (false, false) => 2,
    })
}
// ANCHOR_END: pidfd-readable

pub(super) const PROCESS_1: Experiment = Experiment {
    name: "process-1",
    title: "docker stop takes ten seconds",
    level: Level::Deep,
    question: "In a PID namespace of its own, as in a container, a program is process 1. It has no \
               handler for SIGTERM. From outside, a process that may do so sends it SIGTERM, and \
               then SIGKILL. What do the two signals do?",
    answers: &[
        wrong(
            "nothing at all, not even by SIGKILL",
            "That is true of a signal from within the namespace, and of the machine's own \
             process 1.",
        ),
        wrong(
            "the end at once, by SIGTERM",
            "So it would be for any other process. The kernel protects process 1 from default \
             actions, because its end is the end of all others.",
        ),
        right(
            "nothing at first, then the end",
            "A signal whose action is the default does nothing to process 1 of a namespace. \
             SIGKILL and SIGSTOP from outside are the exceptions, and SIGKILL ends all of the \
             namespace with it.",
        ),
    ],
    kind: Kind::Needs(&NAMESPACES),
    run: process_1,
    moral: "A program that may be process 1 installs a handler for SIGTERM, and reaps the orphans \
            that it gets; or an init such as tini stands before it (`docker run --init`).",
    see: "pid_namespaces(7), kill(2)",
    file: file!(),
    shows: &["process-1"],
};

// ANCHOR: process-1
/// Sends SIGTERM to a process 1, once it sleeps. Does it end?
fn ends_by_sigterm(stage: &Stage, with_handler: bool) -> Result<bool> {
    let Forked::Parent(first) = fork().context("fork")? else {
        // This is process 1. It ends with this experiment.
        let _ = set_parent_process_death_signal(Some(Number::KILL));
        if with_handler {
            let _ = handlers::count(libc::SIGTERM, 0);
        }
        while handlers::counted() == 0 {
            pause();
        }
        std::process::exit(0)
    };
    let asleep = || -> Result<()> {
        until(
            || "process 1 does not sleep".into(),
            || Ok((activity(first) != Activity::Other).then_some(())),
        )
    };
    asleep()?;
    stage.call("kill(process 1, SIGTERM)", &kill(first, Signal::SIGTERM));
    if with_handler {
        let ended = waitpid(first, None).context("waitpid")?;
        return Ok(matches!(ended, WaitStatus::Exited(_, 0)));
    }
    // What is not ignored at once, the target has seen before it sleeps again.
    asleep()?;
    let goes_on = activity(first) != Activity::Ended;
    stage.event(
        "process 1",
        if goes_on { "sleeps on in pause()" } else { "has ended" },
    );
    stage.call("kill(process 1, SIGKILL)", &kill(first, Signal::SIGKILL));
    let ended = waitpid(first, None).context("waitpid")?;
    let killed = matches!(ended, WaitStatus::Signaled(_, Signal::SIGKILL, _));
    stage.event(
        "process 1",
        if killed { "is ended by SIGKILL" } else { "ended before" },
    );
    Ok(!goes_on || !killed)
}

fn process_1(stage: &Stage) -> Result<usize> {
    stage.needs(&NAMESPACES)?;
    let in_its_own = |with_handler: bool| -> Result<bool> {
        let outside = stage.fork("outside", |stage| {
            // Root needs no user namespace, and may be refused one.
            unshare(CloneFlags::CLONE_NEWPID)
                .or_else(|_| {
                    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID)
                })
                .context("unshare")?;
            ends_by_sigterm(stage, with_handler) // the next child is process 1
        })?;
        outside.join()
    };
    let ended = in_its_own(false)?;
    stage.saw("SIGTERM ended it", ended);
    stage.saw("with a handler it did", in_its_own(true)?);
    Ok(if ended { 2 } else { 3 })
}
// ANCHOR_END: process-1
