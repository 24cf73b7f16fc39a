//! The end of a parent, as its child sees it.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Command;

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, dup2_stdout, getpid, getppid, pause, pipe2, read, write};
use rustix::process::{
    Signal as Number, set_child_subreaper, set_parent_process_death_signal,
};

use crate::child::PAUSE;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use crate::until::until;
use os::proc::{Activity, activity};
use os::spawn::die_with_parent;

/// How a process ended, which may be a signal.
pub(super) fn ended_by(status: WaitStatus) -> String {
    match status {
        WaitStatus::Signaled(_, signal, _) => signal.to_string(),
        WaitStatus::Exited(_, status) => format!("exit status {status}"),
        other => format!("{other:?}"),
    }
}

/// Waits until the process sleeps in a call.
fn until_asleep(pid: Pid) -> Result<()> {
    until(
        || "a process does not fall asleep".into(),
        || {
            let asleep =
                |is| matches!(is, Activity::Asleep(_) | Activity::AsleepSomewhere);
            Ok(asleep(activity(pid)).then_some(()))
        },
    )
}

pub(super) const PARENT_KILLED: Experiment = Experiment {
    name: "parent-killed",
    title: "A parent is killed, and its child has asked for it",
    level: Level::First,
    question: "A child calls prctl(PR_SET_PDEATHSIG, SIGKILL), to end with its parent. Then it \
               becomes `sh` by execve(2), and the shell starts `sleep 600`. Now the parent is \
               killed. Which of the two go on?",
    answers: &[
        wrong(
            "both sh and sleep go on",
            "execve(2) keeps the wish, unless the new program is set-user-ID. So the shell is \
             killed.",
        ),
        wrong(
            "neither sh nor sleep goes on",
            "The wish is the shell's alone: a child of fork(2) begins without one. And no \
             signal comes because a parent's parent has ended.",
        ),
        right(
            "sh ends, and sleep goes on",
            "The shell gets SIGKILL. Its child, sleep, has asked for nothing: it becomes the \
             child of process 1, or of a subreaper.",
        ),
    ],
    kind: Kind::Kernel,
    run: parent_killed,
    moral: "PR_SET_PDEATHSIG ends one process, never a family. For all of it there are a pipe held \
            for life (`spawn/pipe-for-life`), a cgroup, and a PID namespace (`spawn/process-1`).",
    see: "prctl(2), PR_SET_PDEATHSIG(2const)",
    file: file!(),
    shows: &["parent-killed"],
};

// ANCHOR: parent-killed
fn parent_killed(stage: &Stage) -> Result<usize> {
    // So that main can wait for those whose parents end.
    set_child_subreaper(Some(rustix::process::getpid())).context("prctl")?;
    let (output, to) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
    let parent = stage.fork("parent", |stage| {
        let child = stage.fork("child", |stage| -> Result<()> {
            set_parent_process_death_signal(Some(Number::KILL))?;
            stage.event(
                "child",
                "prctl(PR_SET_PDEATHSIG, SIGKILL), and execve(\"sh\")",
            );
            dup2_stdout(&to)?;
            let script = "sleep 600 & echo $$ $!; wait";
            Err(Command::new("sh").args(["-c", script]).exec().into())
        })?;
        child.leave();
        pause();
        Ok(())
    })?;
    drop(to);
    let mut text = [0; 64];
    let n = read(&output, &mut text).context("read")?;
    let text = String::from_utf8_lossy(&text[..n]).into_owned();
    let pids = text.split_whitespace().map(|pid| Ok(Pid::from_raw(pid.parse()?)));
    let pids: Vec<Pid> = pids.collect::<Result<_>>()?;
    let [sh, sleep] = pids[..] else { anyhow::bail!("sh said {text:?}") };
    until_asleep(sleep)?;
    parent.kill(Signal::SIGKILL)?;
    parent.status()?;
    stage.event("parent", "is ended by SIGKILL");
    let sh = waitpid(sh, None).context("waitpid")?;
    stage.call("waitpid(sh)", &ended_by(sh));
    let goes_on = activity(sleep) != Activity::Ended;
    stage.event("sleep", if goes_on { "sleeps on" } else { "has ended" });
    kill(sleep, Signal::SIGKILL).context("kill")?;
    waitpid(sleep, None).context("waitpid")?;
    stage.saw("sh ended by", ended_by(sh));
    stage.saw("sleep goes on", goes_on);
    Ok(if goes_on { 3 } else { 2 })
}
// ANCHOR_END: parent-killed

pub(super) const PDEATHSIG_LATE: Experiment = Experiment {
    name: "pdeathsig-late",
    title: "The wish to end with a parent, a moment late",
    level: Level::Deep,
    question: "A child wants SIGTERM when its parent ends. But the parent ends before the child \
               calls prctl(PR_SET_PDEATHSIG, SIGTERM), and the child has a subreaper as its \
               parent by then. When does the signal come?",
    answers: &[
        wrong(
            "at once, at the call of prctl",
            "The kernel looks at no past. The call succeeds, and no signal comes.",
        ),
        right(
            "at the subreaper's end",
            "The wish is about the parent that the process has when that parent ends: by now \
             the subreaper, or process 1, which never ends.",
        ),
        wrong(
            "only at its own end",
            "No signal comes to a process that has ended. It comes to one whose parent has.",
        ),
    ],
    kind: Kind::Kernel,
    run: pdeathsig_late,
    moral: "After prctl(2) compare getppid(2) with the parent's PID, which the parent has noted \
            before fork(2), and end if it differs. Not with 1: it may be a subreaper.",
    see: "prctl(2), getppid(2)",
    file: file!(),
    shows: &["pdeathsig-late-broken", "pdeathsig-late-cured", "pdeathsig-late"],
};

// ANCHOR: pdeathsig-late-broken
fn hopes_for_a_signal(_: Pid) -> Result<()> {
    set_parent_process_death_signal(Some(Number::TERM)).context("prctl")
}
// ANCHOR_END: pdeathsig-late-broken

// ANCHOR: pdeathsig-late-cured
fn looks_for_its_parent(parent: Pid) -> Result<()> {
    set_parent_process_death_signal(Some(Number::TERM)).context("prctl")?;
    anyhow::ensure!(getppid() == parent, "the parent was gone before prctl(2)");
    Ok(())
}
// ANCHOR_END: pdeathsig-late-cured

// ANCHOR: pdeathsig-late
fn pdeathsig_late(stage: &Stage) -> Result<usize> {
    set_child_subreaper(Some(rustix::process::getpid())).context("prctl")?;
    let (output, to) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
    let reaper = stage.fork("subreaper", |stage| {
        set_child_subreaper(Some(rustix::process::getpid())).context("prctl")?;
        let begun = stage.gate()?;
        let parent = stage.fork("parent", |stage| -> Result<()> {
            let parent = getpid();
            let child = stage.fork("child", |stage| {
                set_parent_process_death_signal(None)?; // as after any fork
                begun.open(1)?;
                until(
                    || "its parent does not end".into(),
                    || Ok((getppid() != parent).then_some(())),
                )?;
                stage.event("parent", "has ended");
                hopes_for_a_signal(parent)?;
                stage.event("child", "prctl(PR_SET_PDEATHSIG, SIGTERM) = 0");
                let sees = looks_for_its_parent(parent).is_err();
                stage.saw("getppid() tells", sees);
                write(&to, getpid().to_string().as_bytes())?;
                pause();
                Ok(())
            })?;
            child.leave();
            begun.pass()
        })?;
        parent.status()?;
        pause();
        Ok(())
    })?;
    drop(to);
    let mut text = [0; 16];
    let n = read(&output, &mut text).context("read")?;
    let child = Pid::from_raw(std::str::from_utf8(&text[..n])?.parse()?);
    until_asleep(child)?;
    reaper.until_asleep_in(&[PAUSE])?;
    let before = activity(child) == Activity::Ended;
    stage.saw("ended before the subreaper", before);
    reaper.kill(Signal::SIGKILL)?;
    reaper.status()?;
    stage.event("subreaper", "is ended by SIGKILL");
    let ended = waitpid(child, None).context("waitpid")?;
    stage.call("waitpid(child)", &ended_by(ended));
    stage.saw("ended by", ended_by(ended));
    Ok(if before { 1 } else { 2 })
}
// ANCHOR_END: pdeathsig-late

pub(super) const PDEATHSIG_THREAD: Experiment = Experiment {
    name: "pdeathsig-thread",
    title: "A child of one thread",
    level: Level::Deep,
    question: "A program starts `sleep 600` from one of its threads, with SIGKILL as parent-death \
               signal. The thread comes to its end, and the program goes on. What becomes of \
               sleep?",
    answers: &[
        right(
            "it is killed, with the thread",
            "The parent of PR_SET_PDEATHSIG is the thread that called fork(2), not its \
             process. Runtimes end idle threads, and with them children.",
        ),
        wrong(
            "it is killed, with the program",
            "getppid(2) returns the process. The parent-death signal is about the thread all \
             the same; prctl(2) warns of it.",
        ),
        wrong(
            "it goes on for ten minutes",
            "It would without a parent-death signal. A parent that ends sends none by itself.",
        ),
    ],
    kind: Kind::Kernel,
    run: pdeathsig_thread,
    moral: "Start such children from a thread that lives as long as the process: the first one. A \
            pool of threads that shrinks is a pool of killers.",
    see: "prctl(2)",
    file: file!(),
    shows: &[
        "pdeathsig-thread-broken",
        "pdeathsig-thread-cured",
        "pdeathsig-thread",
    ],
};

// ANCHOR: pdeathsig-thread-broken
fn from_a_thread(mut command: Command) -> Result<std::process::Child> {
    let thread = std::thread::spawn(move || command.spawn());
    Ok(thread.join().map_err(|_| anyhow::anyhow!("panic"))??) // the thread has ended
}
// ANCHOR_END: pdeathsig-thread-broken

// ANCHOR: pdeathsig-thread-cured
fn from_the_first_thread(mut command: Command) -> Result<std::process::Child> {
    Ok(command.spawn()?)
}
// ANCHOR_END: pdeathsig-thread-cured

// ANCHOR: pdeathsig-thread
/// `sleep 600`, with SIGKILL as parent-death signal.
fn sleep() -> Command {
    let mut command = Command::new("sleep");
    command.arg("600");
    die_with_parent(&mut command);
    command
}

fn pdeathsig_thread(stage: &Stage) -> Result<usize> {
    let mut first = from_the_first_thread(sleep())?;
    let mut child = from_a_thread(sleep())?;
    stage.event("thread", "has started sleep, and has ended");
    let ended =
        until(|| "sleep goes on".into(), || child.try_wait().context("waitpid"));
    if ended.is_err() {
        child.kill().context("kill")?;
        child.wait().context("waitpid")?;
    }
    stage.event(
        "sleep",
        match &ended {
            Err(_) => "goes on".to_owned(),
            Ok(status) => match status.signal().map(Signal::try_from).transpose()? {
                Some(signal) => format!("killed by {signal}"),
                None => status.to_string(),
            },
        },
    );
    let lives = first.try_wait().context("waitpid")?.is_none();
    if lives {
        stage.event("sleep", "that the first thread has started goes on");
    }
    first.kill().context("kill")?;
    first.wait().context("waitpid")?;
    stage.saw("ended with the thread", ended.is_ok());
    stage.saw("that of the first thread goes on", lives);
    Ok(if ended.is_ok() { 1 } else { 2 })
}
// ANCHOR_END: pdeathsig-thread
