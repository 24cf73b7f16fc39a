//! POSIX message queues, as far as nix has no wrapper: mq_notify(3).

use std::mem::zeroed;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

/// `mq_notify(queue, { SIGEV_SIGNAL, signal })`: asks for `signal` when a message comes
/// into the empty queue, once.
///
/// # Errors
/// EBUSY while a process is registered, be it this one.
pub fn mq_notify(queue: impl AsFd, signal: i32) -> nix::Result<()> {
    // SAFETY: plain data, valid when it is all zeros.
    let mut event: libc::sigevent = unsafe { zeroed() };
    event.sigev_notify = libc::SIGEV_SIGNAL;
    event.sigev_signo = signal;
    let queue = queue.as_fd().as_raw_fd();
    // SAFETY: an open descriptor, and a whole sigevent that is only read.
    Errno::result(unsafe { libc::mq_notify(queue, &event) }).map(drop)
}
