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

/// Asks for all sockets that `request` describes, with the flag NLM_F_DUMP, or for the one; gives
/// each answer's payload to `each`.
///
/// # Errors
/// ENOENT where the kernel has no list of this family, or not that one socket.
pub fn ask(
    request: &[u8],
    flags: libc::c_int,
    mut each: impl FnMut(&[u8]),
) -> nix::Result<()> {
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
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        let mut rest = &buffer[..count];
        while let (Some(length), Some(kind)) = (word(rest, 0), half(rest, 4)) {
            let length = length as usize;
            let answer = rest.get(HEAD..length).ok_or(Errno::EBADMSG)?;
            match i32::from(kind) {
                // The end of an empty list carries an error, too, where there is no handler.
                libc::NLMSG_ERROR | libc::NLMSG_DONE => {
                    let error = word(answer, 0).map_or(0, u32::cast_signed);
                    return match error {
                        0.. => Ok(()),
                        _ => Err(Errno::from_raw(-error)),
                    };
                }
                _ => each(answer),
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        if count == 0 || flags & libc::NLM_F_DUMP == 0 {
            return Ok(());
        }
    }
}

/// `struct unix_diag_req`: the socket with this inode, or all for 0; what to show of it.
pub fn unix_request(inode: u32, show: u32) -> Vec<u8> {
    // Family, protocol, padding; all states; and a cookie that is not known.
    let mut request = vec![libc::AF_UNIX as u8, 0, 0, 0];
    for word in [u32::MAX, inode, show, u32::MAX, u32::MAX] {
        request.extend(word.to_ne_bytes());
    }
    request
}

/// The attributes behind an answer's fixed part of `skip` bytes: type, value.
pub fn attributes(answer: &[u8], skip: usize) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = answer.get(skip..).unwrap_or_default();
    std::iter::from_fn(move || {
        let length = usize::from(half(rest, 0)?);
        let attribute = (half(rest, 2)?, rest.get(4..length)?);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(attribute)
    })
}

/// The inode of the peer of a Unix socket; `None` where it has none, and where the kernel does
/// not tell.
pub fn unix_peer(inode: u64) -> Option<u64> {
    /// UDIAG_SHOW_PEER and UNIX_DIAG_PEER of linux/unix_diag.h.
    const SHOW: u32 = 4;
    const PEER: u16 = 2;
    let request = unix_request(u32::try_from(inode).ok()?, SHOW);
    let mut peer = None;
    ask(&request, 0, |answer| {
        // Behind struct unix_diag_msg.
        let mut all = attributes(answer, 16);
        peer = all.find(|(kind, _)| *kind == PEER).and_then(|(_, it)| word(it, 0));
    })
    .ok()?;
    peer.map(u64::from)
}

/// The word of 32 bits at this place.
pub fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
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
