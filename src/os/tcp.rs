//! What the kernel reports of a TCP socket: getsockopt(2) with TCP_INFO and SO_MEMINFO. And a
//! filter that cuts it off: SO_ATTACH_FILTER.

use std::mem::zeroed;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

/// A part of `struct tcp_info`, tcp(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Info {
    /// The state, by the name that ss(8) uses; C writes TCP_ in front of it.
    pub state: &'static str,
    /// How many bytes came from the peer, whether read or not.
    pub received: u64,
    /// How many bytes went to the peer, or are on their way.
    pub sent: u64,
    /// How many segments with data in them were sent, also those sent again.
    pub data_segments_sent: u32,
    /// Of a listening socket: how many connections wait in its backlog to be accepted.
    pub queued: u32,
}

/// The states in the order of the kernel's numbers, from 1 (`TCP_ESTABLISHED`).
pub const STATES: [&str; 12] = [
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECV",
    "FIN_WAIT1",
    "FIN_WAIT2",
    "TIME_WAIT",
    "CLOSE",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "CLOSING",
    "NEW_SYN_RECV",
];

const LISTEN: u8 = 10;

/// The states after the peer's FIN has come, which counts as one byte received.
const AFTER_FIN: [u8; 4] = [
    8,  // TCP_CLOSE_WAIT
    9,  // TCP_LAST_ACK
    11, // TCP_CLOSING
    6,  // TCP_TIME_WAIT
];

/// `getsockopt(socket, IPPROTO_TCP, TCP_INFO)`.
///
/// # Errors
/// ENOPROTOOPT, EOPNOTSUPP for a socket that is not TCP's.
pub fn info(socket: impl AsFd) -> nix::Result<Info> {
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: plain numbers, valid when they are all zeros: an older kernel fills in less.
    let mut info: libc::tcp_info = unsafe { zeroed() };
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: an open descriptor; the kernel writes at most `length` bytes.
    Errno::result(unsafe {
        let into = (&raw mut info).cast();
        libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, into, &mut length)
    })?;
    let number = usize::from(info.tcpi_state).wrapping_sub(1);
    let fin = u64::from(AFTER_FIN.contains(&info.tcpi_state));
    Ok(Info {
        received: info.tcpi_bytes_received.saturating_sub(fin),
        sent: info.tcpi_bytes_sent,
        state: STATES.get(number).copied().unwrap_or("unknown"),
        data_segments_sent: info.tcpi_data_segs_out,
        queued: if info.tcpi_state == LISTEN { info.tcpi_unacked } else { 0 },
    })
}

/// `getsockopt(socket, SOL_SOCKET, SO_MEMINFO)`: how many packets the kernel has dropped at
/// this socket; for a listening socket, connection requests for which its backlog had no room.
///
/// # Errors
/// ENOPROTOOPT before Linux 4.12.
pub fn dropped(socket: impl AsFd) -> nix::Result<u32> {
    const DROPS: usize = libc::SK_MEMINFO_DROPS as usize;
    let fd = socket.as_fd().as_raw_fd();
    let mut numbers = [0_u32; DROPS + 1];
    let mut length = size_of_val(&numbers) as libc::socklen_t;
    // SAFETY: an open descriptor; the kernel writes at most `length` bytes.
    Errno::result(unsafe {
        let into = numbers.as_mut_ptr().cast();
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_MEMINFO, into, &mut length)
    })?;
    Ok(numbers[DROPS])
}

/// `setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &filter)` with a filter that keeps no byte:
/// from now on the kernel drops each segment that comes to the socket, before TCP sees it. What
/// both ends of a connection see then is what they see when a cable is cut between them.
///
/// # Errors
/// EBADF, ENOTSOCK.
pub fn drop_incoming(socket: impl AsFd) -> nix::Result<()> {
    let keep_nothing = libc::BPF_RET | libc::BPF_K;
    let mut code =
        libc::sock_filter { code: keep_nothing as u16, jt: 0, jf: 0, k: 0 };
    let filter = libc::sock_fprog { len: 1, filter: &raw mut code };
    set(socket, libc::SO_ATTACH_FILTER, &filter)
}

/// `setsockopt(socket, SOL_SOCKET, SO_DETACH_FILTER, …)`: the end of [`drop_incoming`].
///
/// # Errors
/// ENOENT when the socket has no filter.
pub fn accept_incoming(socket: impl AsFd) -> nix::Result<()> {
    set(socket, libc::SO_DETACH_FILTER, &0)
}

fn set<T>(socket: impl AsFd, option: libc::c_int, value: &T) -> nix::Result<()> {
    let fd = socket.as_fd().as_raw_fd();
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: an open descriptor; the kernel copies the value, and what it points to.
    Errno::result(unsafe {
        let value = (&raw const *value).cast();
        libc::setsockopt(fd, libc::SOL_SOCKET, option, value, length)
    })
    .map(drop)
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn what_is_sent_to_a_socket_that_is_cut_off_comes_once_it_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        super::drop_incoming(&server).unwrap();
        client.write_all(b"x").unwrap();
        while super::info(&client).unwrap().data_segments_sent < 2 {
            std::thread::yield_now(); // it is sent again
        }
        server.set_nonblocking(true).unwrap();
        let error = server.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        super::accept_incoming(&server).unwrap();
        server.set_nonblocking(false).unwrap();
        assert_eq!(server.read(&mut [0]).unwrap(), 1);
    }

    #[test]
    fn a_listener_listens_and_a_connection_is_established() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(super::info(&listener).unwrap().state, "LISTEN");
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(super::info(&stream).unwrap().state, "ESTABLISHED");
        let (ours, _) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(super::info(&ours).is_err());
    }
}
