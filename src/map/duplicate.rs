//! A duplicate of another process's descriptor: pidfd_getfd(2). It leads to the same open file
//! description, so asking it how much lies in a pipe changes nothing; opening
//! /proc/PID/fd/N would make a reader or a writer.

use std::cell::RefCell;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdGetfdFlags, pidfd_getfd};

use os::calls::pidfd_open;

/// Makes duplicates. The process that was asked last stays at hand: most objects that stand
/// beside each other are one process's.
#[derive(Default)]
pub(super) struct Duplicates(RefCell<Option<(i32, OwnedFd)>>);

impl Duplicates {
    /// The duplicate; `None` where the kernel does not allow it, which needs the right to ptrace.
    pub(super) fn of(&self, pid: i32, fd: i32) -> Option<OwnedFd> {
        let mut last = self.0.borrow_mut();
        if last.as_ref().is_none_or(|(known, _)| *known != pid) {
            Pid::from_raw(pid)?;
            *last = Some((pid, pidfd_open(pid).ok()?));
        }
        let (_, process) = last.as_ref()?;
        pidfd_getfd(process, fd, PidfdGetfdFlags::empty()).ok()
    }
}
