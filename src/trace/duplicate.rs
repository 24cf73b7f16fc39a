//! A duplicate of a descriptor of a stopped thread: pidfd_getfd(2).

use std::fs;
use std::os::fd::OwnedFd;

use nix::unistd::Pid;
use rustix::process::{Pid as RustixPid, PidfdFlags, PidfdGetfdFlags};
use rustix::process::{pidfd_getfd, pidfd_open};

use os::proc::field;

/// A thread's descriptor, duplicated; `None` where the kernel does not allow it.
pub(super) fn duplicate(tid: Pid, fd: i32) -> Option<OwnedFd> {
    // PIDFD_THREAD, since Linux 6.9: a thread may have a table of its own.
    let thread = PidfdFlags::from_bits_retain(libc::O_EXCL as u32);
    let pid = RustixPid::from_raw(tid.as_raw())?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())
        .or_else(|_| pidfd_open(pid, thread))
        .or_else(|_| {
            let status = fs::read_to_string(format!("/proc/{tid}/status"));
            let group =
                status.ok().and_then(|text| field(&text, "Tgid:")?.parse().ok());
            let group = group.and_then(RustixPid::from_raw);
            pidfd_open(group.unwrap_or(pid), PidfdFlags::empty())
        })
        .ok()?;
    pidfd_getfd(pidfd, fd, PidfdGetfdFlags::empty()).ok()
}
