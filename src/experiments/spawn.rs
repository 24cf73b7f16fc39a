//! What a process has from its parent, and what becomes of both: what people do not expect.

use std::io::Read;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::unistd::{dup2_stdout, pipe2};

use super::child::Child;
use super::row::Experiment;
use super::stage::Stage;

mod exec;
mod family;
mod parents;
mod pipes;
mod stdio;
mod terminal;
mod threads;

/// The chapter's experiments, in the order of its page.
pub const ALL: &[Experiment] = &[
    pipes::WAIT_THEN_READ,
    stdio::LATE_LINES,
    parents::PARENT_KILLED,
    terminal::CTRL_C,
    pipes::TWO_STREAMS,
    pipes::OPEN_STDIN,
    pipes::HELD_PIPE,
    stdio::LOST_AT_KILL,
    stdio::TWICE_AFTER_FORK,
    stdio::AT_A_TERMINAL,
    stdio::STDBUF_C,
    stdio::STDBUF_PYTHON,
    exec::KEPT_BY_EXEC,
    exec::IGNORED_SIGPIPE,
    threads::FORK_BESIDE_THREADS,
    family::LEFT_THE_GROUP,
    family::PIDFD_READABLE,
    exec::PIPE_FOR_LIFE,
    parents::PDEATHSIG_LATE,
    parents::PDEATHSIG_THREAD,
    terminal::BACKGROUND_READ,
    terminal::HANGUP,
    terminal::NO_TERMINAL,
    terminal::GROUP_LEADER,
    family::PROCESS_1,
    threads::LOCKED_PRINT,
];

/// Forks a child whose standard output is a pipe; returns the read end, too.
fn piped(
    stage: &Stage,
    who: &'static str,
    part: impl FnOnce(&Stage) -> Result<()>,
) -> Result<(Child<()>, OwnedFd)> {
    let (output, to) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
    let child = stage.fork(who, |stage| {
        dup2_stdout(&to)?;
        part(stage)
    })?;
    Ok((child, output)) // `to` is closed here
}

/// All that comes out of it.
fn all_of(output: OwnedFd) -> Result<String> {
    let mut text = String::new();
    std::fs::File::from(output).read_to_string(&mut text).context("read")?;
    Ok(text)
}
