//! fork(2) in a program that has threads.

use std::process::Command;
use std::sync::{Mutex, mpsc};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, gettid};
use syscalls::Sysno;

use super::stdio::print_in_rust;
use super::{all_of, piped};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use crate::until::until;
use os::proc::{Activity, activity};
use os::spawn::fork_with_threads;

pub(super) const FORK_BESIDE_THREADS: Experiment = Experiment {
    name: "fork-beside-threads",
    title: "A lock that another thread holds, and fork",
    level: Level::Later,
    question: "A program has two threads. The second one holds a mutex, as malloc(3) does for a \
               moment. In that moment the first one calls fork(2), and the child wants the mutex. \
               What does its lock do?",
    answers: &[
        wrong(
            "it succeeds: the holder is not there",
            "The holder is not there, that is true. But the mutex is a word in memory, and the \
             child has its copy, which says \"locked\".",
        ),
        right(
            "it sleeps: the holder is not there",
            "The child has one thread, the one that called fork(2), and a locked mutex that no \
             thread will unlock. So it may call nothing that takes a lock: no malloc(3), no \
             printf(3).",
        ),
        wrong(
            "it fails: the holder is not there",
            "A mutex that knows its holder's death is a robust one (pthread_mutexattr_setrobust), \
             and few are. This one sleeps.",
        ),
    ],
    kind: Kind::Kernel,
    run: fork_beside_threads,
    moral: "In a program with threads, call nothing between fork(2) and execve(2) but what is \
            async-signal-safe; or let posix_spawn(3) or Command do it. Python's multiprocessing \
            starts its workers by a fork server since 3.14 for this reason.",
    see: "fork(2), signal-safety(7), pthread_atfork(3)",
    file: file!(),
    shows: &["fork-beside-threads"],
};

/// Waits until a thread or a process has ended, or sleeps in `call`. Has it ended?
fn ends_or_sleeps_in(thread: Pid, call: Sysno) -> Result<bool> {
    until(
        || format!("it neither ends nor sleeps in {call}"),
        || {
            Ok(match activity(thread) {
                Activity::Ended => Some(true),
                Activity::Asleep(number) if number != call.id() as usize => None,
                Activity::Asleep(_) | Activity::AsleepSomewhere => Some(false),
                Activity::Other => None,
            })
        },
    )
}

// ANCHOR: fork-beside-threads
fn fork_beside_threads(stage: &Stage) -> Result<usize> {
    static LOCK: Mutex<()> = Mutex::new(());
    let (holds, done) = (stage.gate()?, stage.gate()?);
    let child = std::thread::scope(|scope| -> Result<Pid> {
        scope.spawn(|| {
            let _held = LOCK.lock();
            let _ = holds.open(1);
            let _ = done.pass();
        });
        holds.pass()?;
        stage.event("second thread", "holds the mutex");
        let child = fork_with_threads(|| LOCK.lock().is_ok()).context("fork");
        done.open(1)?;
        child
    })?;
    stage.event("second thread", "has unlocked it, in the parent");
    let sleeps = !ends_or_sleeps_in(child, Sysno::futex)?;
    stage.event("child", if sleeps { "sleeps in futex()" } else { "has ended" });
    let _ = kill(child, Signal::SIGKILL);
    let ended = waitpid(child, None).context("waitpid")?;
    stage.saw("the child sleeps", sleeps);
    Ok(match (sleeps, ended) {
        (true, _) => 2,
        (false, WaitStatus::Exited(_, 0)) => 1,
        (false, _) => 3,
    })
}
// ANCHOR_END: fork-beside-threads

pub(super) const LOCKED_PRINT: Experiment = Experiment {
    name: "locked-print",
    title: "println! in one thread, fork in another",
    level: Level::Deep,
    question: "A Rust program has two threads. The second one is in println!, and sleeps there: \
               standard output is a pipe, which is full. Then the first one calls fork(2), and \
               the child calls println!, too. Now the pipe is read, to its end. Where is the \
               child's line?",
    answers: &[
        right(
            "nowhere: the child sleeps on",
            "println! locks standard output before it writes. The child has a copy of that lock, \
             locked, and no second thread. Nobody wrote a lock into this program.",
        ),
        wrong(
            "last: after all that was in turn",
            "So it would be in the parent, where println! waits until the other thread has \
             done its own. The child waits for a thread that it does not have.",
        ),
        wrong(
            "within: among the other's bytes",
            "Two processes that write more than PIPE_BUF may mix. The child does not come as far \
             as its write(2).",
        ),
    ],
    kind: Kind::Kernel,
    run: locked_print,
    moral: "A library has locks that you do not see. glibc frees those of malloc(3) and stdio in the \
            child; it knows nothing of Rust's, or of yours. Command and posix_spawn(3) \
            run no code of the program between fork and execve: they are safe beside threads.",
    see: "fork(2), posix_spawn(3), pthread_atfork(3)",
    file: file!(),
    shows: &["locked-print-broken", "locked-print-cured", "locked-print"],
};

// ANCHOR: locked-print-broken
/// The child prints. Was that done?
fn by_fork(read: &dyn Fn() -> Result<()>) -> Result<bool> {
    let child = fork_with_threads(|| print_in_rust("child").is_ok());
    let child = child.context("fork")?;
    read()?;
    let ended = ends_or_sleeps_in(child, Sysno::futex)?;
    let _ = kill(child, Signal::SIGKILL);
    waitpid(child, None).context("waitpid")?;
    Ok(ended)
}
// ANCHOR_END: locked-print-broken

// ANCHOR: locked-print-cured
/// Another program prints. Was that done?
fn by_command(read: &dyn Fn() -> Result<()>) -> Result<bool> {
    let mut child = Command::new("echo").arg("child").spawn().context("spawn")?;
    read()?;
    Ok(child.wait().context("waitpid")?.success())
}
// ANCHOR_END: locked-print-cured

// ANCHOR: locked-print
/// A process is started while another thread sleeps in println!. What comes out of the pipe?
fn printed(
    stage: &Stage,
    start: fn(&dyn Fn() -> Result<()>) -> Result<bool>,
) -> Result<String> {
    let full = stage.gate()?;
    let (program, output) = piped(stage, "program", |stage| {
        let (tell, told) = mpsc::channel();
        std::thread::scope(|scope| {
            let second = scope.spawn(move || {
                tell.send(gettid())?;
                print_in_rust(&"x".repeat(100_000))
            });
            ends_or_sleeps_in(told.recv()?, Sysno::write)?;
            stage.event("second thread", "sleeps in println!: the pipe is full");
            let done = start(&|| {
                full.open(1)?; // the pipe is read
                let done = || Ok(second.is_finished().then_some(()));
                until(|| "the second thread sleeps on".into(), done)?;
                stage.event("second thread", "has printed, and unlocked");
                Ok(())
            })?;
            stage.event(
                "child",
                if done { "has printed, and ended" } else { "sleeps in futex()" },
            );
            Ok(())
        })
    })?;
    full.pass()?;
    let text = all_of(output)?.replace('x', "");
    stage.call("read(the pipe), without the long line", &format!("{text:?}"));
    program.join()?;
    Ok(text)
}

fn locked_print(stage: &Stage) -> Result<usize> {
    let text = printed(stage, by_fork)?;
    stage.saw("printed after fork", text.as_str());
    stage.saw("printed by a Command", printed(stage, by_command)?);
    Ok(match text.as_str() {
        "\nchild\n" => 2,
        "\n" => 1,
        _ => 3,
    })
}
// ANCHOR_END: locked-print
