//! How much of what was sent lies unread in a socket's peer.

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

/// `ioctl(socket, SIOCOUTQ, &amount)`: how much of what was sent on a Unix socket its
/// other end has not read. unix(7) does not name it. It is counted as the kernel charges it: a
/// whole buffer for each message, so only 0 means the same everywhere: all was read, or is lost
/// since the other end is closed.
///
/// # Errors
/// ENOTTY and EINVAL for what is no connected socket.
pub fn unread(socket: impl AsFd) -> nix::Result<usize> {
    let mut amount: libc::c_int = 0;
    // SAFETY: an open socket, and an out-parameter of the right type; SIOCOUTQ and
    // TIOCOUTQ are the same number.
    let done = unsafe {
        libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut amount)
    };
    Errno::result(done).map(|_| usize::try_from(amount).unwrap_or(0))
}
