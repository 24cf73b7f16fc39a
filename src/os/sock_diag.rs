//! sock_diag(7): what the kernel knows of sockets, over netlink(7).

use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv,
    sendto, socket,
};

/// SOCK_DIAG_BY_FAMILY of linux/sock_diag.h.
const BY_FAMILY: u16 = 20;
/// The length of a struct nlmsghdr: length, type, flags, sequence, port.
const HEAD: usize = 16;

/// Asks for all sockets that `request` describes, or for the one with `flags` 0; returns the first
/// answer, which is empty where there is none.
///
/// # Errors
/// ENOENT where the kernel has no list of this family, or not that one socket.
pub fn ask(request: &[u8], flags: libc::c_int) -> nix::Result<Vec<u8>> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkSockDiag,
    )?;
    let mut message = ((HEAD + request.len()) as u32).to_ne_bytes().to_vec();
    message.extend(BY_FAMILY.to_ne_bytes());
    message.extend(((libc::NLM_F_REQUEST | flags) as u16).to_ne_bytes());
    message.extend([0; 8]);
    message.extend(request);
    let kernel = NetlinkAddr::new(0, 0);
    sendto(socket.as_raw_fd(), &message, &kernel, MsgFlags::empty())?;
    let mut answer = vec![0; 8192];
    let n = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    answer.truncate(n);
    let kind = answer.get(4..6).filter(|_| n >= HEAD).ok_or(Errno::EBADMSG)?;
    let kind = i32::from(u16::from_ne_bytes([kind[0], kind[1]]));
    // The end of an empty list carries an error, too, where there is no handler.
    if matches!(kind, libc::NLMSG_ERROR | libc::NLMSG_DONE) {
        let error = word(&answer, HEAD).map_or(0, u32::cast_signed);
        return if error < 0 {
            Err(Errno::from_raw(-error))
        } else {
            Ok(Vec::new())
        };
    }
    Ok(answer.split_off(HEAD))
}

/// The inode of the peer of a Unix socket; `None` where it has none, and where the kernel does
/// not tell.
pub fn unix_peer(inode: u64) -> Option<u64> {
    /// UDIAG_SHOW_PEER and UNIX_DIAG_PEER of linux/unix_diag.h.
    const SHOW: u32 = 4;
    const PEER: u16 = 2;
    // struct unix_diag_req: family, protocol, padding, states, inode, what to show, and a cookie
    // that is not known.
    let mut request = vec![libc::AF_UNIX as u8, 0, 0, 0];
    for word in [u32::MAX, u32::try_from(inode).ok()?, SHOW, u32::MAX, u32::MAX] {
        request.extend(word.to_ne_bytes());
    }
    let answer = ask(&request, 0).ok()?;
    // struct unix_diag_msg, then attributes: length, type, value.
    let mut rest = answer.get(16..)?;
    loop {
        let head = word(rest, 0)?.to_ne_bytes();
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        if u16::from_ne_bytes([head[2], head[3]]) == PEER {
            return word(rest, 4).map(u64::from);
        }
        rest = rest.get(length.max(4).next_multiple_of(4)..)?;
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::os::linux::fs::MetadataExt;
    use std::os::unix::net::UnixStream;

    #[test]
    fn the_peer_of_a_socket_pair_is_the_other_one() {
        let pair = UnixStream::pair().unwrap();
        let inode = |socket: &UnixStream| {
            use std::os::fd::AsRawFd;
            let path = format!("/proc/self/fd/{}", socket.as_raw_fd());
            std::fs::metadata(path).unwrap().st_ino()
        };
        assert_eq!(super::unix_peer(inode(&pair.0)), Some(inode(&pair.1)));
        let alone = std::os::unix::net::UnixDatagram::unbound().unwrap();
        use std::os::fd::AsRawFd;
        let path = format!("/proc/self/fd/{}", alone.as_raw_fd());
        let alone = std::fs::metadata(path).unwrap().st_ino();
        assert_eq!(super::unix_peer(alone), None);
    }
}
