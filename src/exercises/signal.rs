//! The exercises of the chapter signal.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use nix::unistd::Pid;

use super::row::Exercise;

mod children;
mod counter;
mod ready;

/// The exercises.
pub(super) const ALL: &[Exercise] =
    &[counter::COUNTER, ready::READY, children::CHILDREN, super::design::jobs::ROW];

/// A descriptor of a process.
fn pidfd(pid: Pid) -> Result<OwnedFd> {
    let pid = rustix::process::Pid::from_raw(pid.as_raw()).context("a pid")?;
    let flags = rustix::process::PidfdFlags::empty();
    rustix::process::pidfd_open(pid, flags).context("pidfd_open")
}
