//! A duplicate of another process's descriptor: pidfd_getfd(2). It leads to the same open file
//! description, so asking it how much lies in a pipe changes nothing; opening
//! /proc/PID/fd/N would make a reader or a writer.

use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdGetfdFlags, pidfd_getfd};

use os::calls::pidfd_open;

/// The duplicate; `None` where the kernel does not allow it, which needs the right to ptrace.
pub(super) fn duplicate(pid: i32, fd: i32) -> Option<OwnedFd> {
    Pid::from_raw(pid)?;
    let process = pidfd_open(pid).ok()?;
    pidfd_getfd(process, fd, PidfdGetfdFlags::empty()).ok()
}
