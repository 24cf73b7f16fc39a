//! The process at a Unix socket's other end: SO_PEERCRED, SO_PASSPIDFD, of unix(7).

use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

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

/// The type of a control message with a pidfd: of linux/socket.h, and not in libc.
const SCM_PIDFD: i32 = 4;

/// `setsockopt(socket, SO_PASSPIDFD, 1)`: from now on a pidfd of its sender comes with each message.
/// What a listening socket accepts, has the option from its beginning.
///
/// # Errors
/// ENOPROTOOPT before Linux 6.5.
pub fn pass_pidfd(socket: impl AsFd) -> nix::Result<()> {
    let (fd, on) = (socket.as_fd().as_raw_fd(), 1_i32);
    let length = size_of_val(&on) as libc::socklen_t;
    // SAFETY: the kernel reads as many bytes as `on` has.
    let done = unsafe {
        let (level, option) = (libc::SOL_SOCKET, libc::SO_PASSPIDFD);
        libc::setsockopt(fd, level, option, (&raw const on).cast(), length)
    };
    Errno::result(done).map(drop)
}

/// recvmsg(2) into `bytes`: how many have come, and the pidfd that came with them (SCM_PIDFD). There
/// is no room for another control message.
///
/// # Errors
/// As recvmsg(2).
pub fn recv_with_pidfd(
    socket: impl AsFd,
    bytes: &mut [u8],
) -> nix::Result<(usize, Option<OwnedFd>)> {
    let mut room = [IoSliceMut::new(bytes)];
    let mut control = nix::cmsg_space!(RawFd);
    let (fd, flags) = (socket.as_fd().as_raw_fd(), MsgFlags::empty());
    let got = recvmsg::<()>(fd, &mut room, Some(&mut control), flags)?;
    let number = got.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::Unknown(one)
            if one.cmsg_header.cmsg_type == SCM_PIDFD =>
        {
            one.data_bytes.first_chunk().map(|bytes| RawFd::from_ne_bytes(*bytes))
        }
        _ => None,
    });
    // Of a sender that is gone, some kernels say an error's number in its place.
    let number = number.filter(|number| *number >= 0);
    // SAFETY: the kernel has made it for this call; nothing else has it.
    let pidfd = number.map(|number| unsafe { OwnedFd::from_raw_fd(number) });
    Ok((got.bytes, pidfd))
}
