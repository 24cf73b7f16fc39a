//! The process that connected a Unix socket's other end: SO_PEERCRED and SO_PEERPIDFD, of unix(7).

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

use crate::process_identity::state;

/// Whether the process that made the other end of the Unix socket `fd` has ended: who holds that
/// end now has inherited it, or was sent it. Of another descriptor it is not known: false.
pub fn is_of_ended(fd: RawFd) -> bool {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes, and `peer` has as many.
    let done = unsafe {
        let to = (&raw mut peer).cast();
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            to,
            &raw mut length,
        )
    };
    let has_ended = |pid| matches!(state(pid), None | Some('Z' | 'X'));
    done == 0 && peer.pid > 0 && has_ended(peer.pid.unsigned_abs())
}

/// `getsockopt(SO_PEERPIDFD)`: a pidfd of the process that made the other end of this socket.
///
/// # Errors
/// ENOPROTOOPT before Linux 6.5; ENODATA where the socket has no such end.
pub fn pidfd_of_peer(socket: impl AsFd) -> nix::Result<OwnedFd> {
    let mut pidfd: libc::c_int = -1;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes, and `pidfd` has as many.
    let done = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERPIDFD,
            (&raw mut pidfd).cast(),
            &raw mut length,
        )
    };
    Errno::result(done)?;
    // SAFETY: the kernel has made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(pidfd) })
}
