//! The exercises of the chapter signal.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use os::process_identity::state;

use super::partner::Partner;
use super::row::Exercise;

mod children;
mod counter;
mod ready;

/// The exercises.
pub(super) const ALL: &[Exercise] =
    &[counter::COUNTER, ready::READY, children::CHILDREN, super::design::jobs::ROW];

/// Stops a process, and waits until it is.
fn stop(partner: &Partner, pid: Pid) -> Result<()> {
    partner.signal(pid, Signal::SIGSTOP, "the process is stopped")?;
    partner.until("the stop", || {
        (state(pid.as_raw().unsigned_abs()) == Some('T')).then_some(())
    })
}

/// A descriptor of a process.
fn pidfd(pid: Pid) -> Result<OwnedFd> {
    let pid = rustix::process::Pid::from_raw(pid.as_raw()).context("a pid")?;
    let flags = rustix::process::PidfdFlags::empty();
    rustix::process::pidfd_open(pid, flags).context("pidfd_open")
}
