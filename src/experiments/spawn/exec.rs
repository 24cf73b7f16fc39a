//! What execve(2) keeps.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{dup2_stderr, execvp, pipe2, read, write};
use rustix::process::{set_child_subreaper, set_parent_process_death_signal};
use syscalls::Sysno;

use super::parents::ended_by;
use super::{all_of, piped};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::handlers;
use os::proc::field;
use os::signal::{Set, ignore};

pub(super) const KEPT_BY_EXEC: Experiment = Experiment {
    name: "kept-by-exec",
    title: "Signals before and after execve",
    level: Level::Later,
    question: "A process has a handler for SIGUSR1, ignores SIGUSR2, and has blocked SIGTERM. \
               Now it becomes another program by execve(2). Which of the three does the new \
               program still have?",
    answers: &[
        right(
            "the ignore, and also the block",
            "What needs no code of the old program stays. So nohup(1) works, and so a child of \
             a careless server cannot be ended by SIGTERM.",
        ),
        wrong(
            "the ignore, but not the block",
            "The mask of blocked signals belongs to the thread that calls execve(2), and \
             that thread goes on.",
        ),
        wrong(
            "all of the three",
            "The handler was a function of the program that is gone. Its signal has the \
             default action again.",
        ),
    ],
    kind: Kind::Kernel,
    run: kept_by_exec,
    moral: "Between fork(2) and execve(2) set the mask and the dispositions that the new program \
            should have: it has no other parent to do so. Rust's Command resets SIGPIPE alone, and leaves \
            the mask as it is: here it started cat.",
    see: "execve(2), signal(7), sigprocmask(2)",
    file: file!(),
    shows: &["kept-by-exec"],
};

// ANCHOR: kept-by-exec
fn kept_by_exec(stage: &Stage) -> Result<usize> {
    let (cat, output) = piped(stage, "child", |stage| {
        handlers::count(libc::SIGUSR1, 0)?;
        ignore(libc::SIGUSR2)?;
        Set::of(&[libc::SIGTERM]).block()?;
        stage.event("child", "has a handler, ignores, blocks, and calls execve()");
        Err(Command::new("cat").arg("/proc/self/status").exec().into())
    })?;
    let status = all_of(output)?;
    cat.status()?;
    let has = |name: &str, signal: i32| {
        let mask =
            field(&status, name).and_then(|m| u64::from_str_radix(m, 16).ok());
        mask.unwrap_or(0) >> (signal - 1) & 1 == 1
    };
    let handler = has("SigCgt:", libc::SIGUSR1);
    let ignored = has("SigIgn:", libc::SIGUSR2);
    let blocked = has("SigBlk:", libc::SIGTERM);
    stage.event("child", "is cat now, and prints its /proc/self/status");
    stage.saw("SIGUSR1 is caught", handler);
    stage.saw("SIGUSR2 is ignored", ignored);
    stage.saw("SIGTERM is blocked", blocked);
    Ok(match (handler, blocked) {
        (true, _) => 3,
        (false, false) => 2,
        (false, true) => 1,
    })
}
// ANCHOR_END: kept-by-exec

pub(super) const IGNORED_SIGPIPE: Experiment = Experiment {
    name: "ignored-sigpipe",
    title: "A child that nobody reads any more",
    level: Level::Later,
    question: "`yes` prints `y` for ever, and `yes | head -1` ends it by SIGPIPE, from a shell. \
               A Rust program starts yes by fork(2) and execvp(3), with a pipe as standard \
               output, and closes the read end. How does yes end?",
    answers: &[
        wrong(
            "by SIGPIPE, in the same way",
            "Before main, Rust has SIGPIPE ignored, so that its own writes fail with EPIPE. \
             That is inherited by execve(2).",
        ),
        right(
            "by exit(3), after an error",
            "yes inherits that SIGPIPE is ignored. Its write(2) returns EPIPE, and yes says \
             so. A program that does not look at its errors would print for ever.",
        ),
        wrong(
            "by SIGKILL, from its parent",
            "Nobody kills it. The kernel sends SIGPIPE alone, and that is ignored.",
        ),
    ],
    kind: Kind::Kernel,
    run: ignored_sigpipe,
    moral: "Reset SIGPIPE to SIG_DFL between fork(2) and execve(2). Rust's Command does, and so \
            does Python's subprocess (restore_signals); os.fork with os.execvp do not.",
    see: "signal(7), execve(2), pipe(7)",
    file: file!(),
    shows: &["ignored-sigpipe-broken", "ignored-sigpipe-cured", "ignored-sigpipe"],
};

// ANCHOR: ignored-sigpipe-broken
fn by_execvp() -> Result<()> {
    execvp(c"yes", &[c"yes"]).context("execvp").map(drop)
}
// ANCHOR_END: ignored-sigpipe-broken

// ANCHOR: ignored-sigpipe-cured
fn by_command() -> Result<()> {
    Err(Command::new("yes").exec().into()) // which resets SIGPIPE first
}
// ANCHOR_END: ignored-sigpipe-cured

// ANCHOR: ignored-sigpipe
/// How `yes` ends when its reader closes, and what it says of it.
fn ends(
    stage: &Stage,
    become_yes: fn() -> Result<()>,
) -> Result<(WaitStatus, String)> {
    let (errors, to) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
    let (yes, output) = piped(stage, "yes", |_| {
        ignore(libc::SIGPIPE)?; // as Rust does before main
        dup2_stderr(&to)?;
        become_yes()
    })?;
    drop(to);
    read(&output, &mut [0; 2]).context("read")?; // it runs by now
    drop(output);
    stage.event("main", "has read from yes, and closes the read end");
    let said = all_of(errors)?;
    Ok((yes.status()?, said))
}

fn ignored_sigpipe(stage: &Stage) -> Result<usize> {
    let (ended, said) = ends(stage, by_execvp)?;
    stage.call("waitpid(yes)", &ended_by(ended));
    stage.saw("ended by", ended_by(ended));
    stage.saw("it said something", !said.is_empty());
    let (cured, _) = ends(stage, by_command)?;
    stage.call("waitpid(yes)", &ended_by(cured));
    stage.saw("by Command it ends by", ended_by(cured));
    Ok(match ended {
        WaitStatus::Signaled(_, Signal::SIGPIPE, _) => 1,
        WaitStatus::Exited(..) => 2,
        _ => 3,
    })
}
// ANCHOR_END: ignored-sigpipe

pub(super) const PIPE_FOR_LIFE: Experiment = Experiment {
    name: "pipe-for-life",
    title: "What tells of a killed supervisor",
    level: Level::Deep,
    question: "A supervisor starts a worker, which starts helpers of its own. All of them should \
               end if the supervisor does, however it ends. It is killed by SIGKILL. Which of \
               these do the worker and the helpers see?",
    answers: &[
        wrong(
            "what the supervisor's atexit(3) does",
            "SIGKILL ends a process at once: no function of it runs, and no destructor.",
        ),
        right(
            "an end of file in a pipe it made",
            "The supervisor made a pipe, and alone has the write end. The kernel closes it, \
             whatever has ended the process. Each process that has the read end can poll(2) it.",
        ),
        wrong(
            "a SIGCHLD, which each can handle",
            "SIGCHLD goes from a child to its parent. No signal goes the other way, unless \
             PR_SET_PDEATHSIG has asked for it.",
        ),
    ],
    kind: Kind::Kernel,
    run: pipe_for_life,
    moral: "A pipe that is held for life needs no thread, no race and no relation: it works for \
            grandchildren, and for other users. Its one enemy is a second write end, so make it \
            close-on-exec (`pipe/over-exec`).",
    see: "pipe(7), prctl(2)",
    file: file!(),
    shows: &["pipe-for-life"],
};

// ANCHOR: pipe-for-life
fn pipe_for_life(stage: &Stage) -> Result<usize> {
    // So that main can wait for the worker, whose parent ends.
    set_child_subreaper(Some(rustix::process::getpid())).context("prctl")?;
    let (alive, held) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
    let (result, tell) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
    let mut held = Some(held);
    let supervisor = stage.fork("supervisor", |stage| {
        let mut held = held.take();
        let worker = stage.fork("worker", |stage| {
            drop(held.take()); // or it would hold its own supervisor alive
            set_parent_process_death_signal(None)?; // as after any fork
            handlers::count(libc::SIGCHLD, 0)?;
            let end = read(&alive, &mut [0; 1]); // sleeps for as long as the supervisor lives
            stage.call("read(the pipe)", &end);
            let seen = [u8::from(end == Ok(0)), u8::from(handlers::counted() > 0)];
            write(&tell, &seen)?;
            Ok(())
        })?;
        worker.until_asleep_in(&[Sysno::read])?;
        write(&tell, b"!")?;
        worker.leave();
        nix::unistd::pause();
        Ok(())
    })?;
    drop((held, tell));
    read(&result, &mut [0; 1]).context("read")?;
    supervisor.kill(Signal::SIGKILL)?;
    supervisor.status()?;
    stage.event("supervisor", "is ended by SIGKILL");
    let mut seen = [0; 2];
    read(&result, &mut seen).context("read")?;
    waitpid(None, None).context("waitpid")?; // the worker
    stage.saw("the worker read the end", seen[0] == 1);
    stage.saw("the worker got SIGCHLD", seen[1] == 1);
    Ok(match seen {
        [1, 0] => 2,
        [_, 1] => 3,
        _ => 1,
    })
}
// ANCHOR_END: pipe-for-life
