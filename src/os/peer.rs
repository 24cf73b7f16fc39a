//! The process that connected a Unix socket's other end: SO_PEERCRED, of unix(7).

use std::os::fd::RawFd;

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
