//! What the kernel knows of a TCP connection: TCP_INFO (tcp(7)).

use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

/// The names of the states, by their numbers in `netinet/tcp.h`, which begin at 1.
const STATES: [&str; 11] = [
    "TCP_ESTABLISHED",
    "TCP_SYN_SENT",
    "TCP_SYN_RECV",
    "TCP_FIN_WAIT1",
    "TCP_FIN_WAIT2",
    "TCP_TIME_WAIT",
    "TCP_CLOSE",
    "TCP_CLOSE_WAIT",
    "TCP_LAST_ACK",
    "TCP_LISTEN",
    "TCP_CLOSING",
];

/// The name of the state that the connection is in, as C writes it.
///
/// # Errors
/// ENOPROTOOPT or EOPNOTSUPP when the socket is not of TCP.
pub fn state(socket: impl AsFd) -> nix::Result<&'static str> {
    let place = usize::from(info(socket)?.tcpi_state).checked_sub(1);
    Ok(place.and_then(|place| STATES.get(place)).unwrap_or(&"an unknown state"))
}

/// How many bytes have passed over a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// Came from the peer, whether read or not.
    pub received: u64,
    /// Went to the peer, or are on their way.
    pub sent: u64,
}

/// The states after the peer's FIN has come, which counts as one byte received .
const AFTER_FIN: [u8; 4] = [
    8,  // TCP_CLOSE_WAIT
    9,  // TCP_LAST_ACK
    11, // TCP_CLOSING
    6,  // TCP_TIME_WAIT
];

/// The bytes that have passed over a connection.
///
/// # Errors
/// As [`state`].
pub fn traffic(socket: impl AsFd) -> nix::Result<Traffic> {
    let info = info(socket)?;
    let fin = u64::from(AFTER_FIN.contains(&info.tcpi_state));
    Ok(Traffic {
        received: info.tcpi_bytes_received.saturating_sub(fin),
        sent: info.tcpi_bytes_sent,
    })
}

/// `getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size)`.
fn info(socket: impl AsFd) -> nix::Result<libc::tcp_info> {
    let fd = socket.as_fd().as_raw_fd();
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut size = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: room for `size` bytes, of which an older kernel fills fewer; all of them are
    // numbers, so what it leaves is zero.
    unsafe {
        let room = info.as_mut_ptr().cast();
        let (level, name) = (libc::IPPROTO_TCP, libc::TCP_INFO);
        Errno::result(libc::getsockopt(fd, level, name, room, &mut size))?;
        Ok(info.assume_init())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_listener_listens_and_a_connection_is_established() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(super::state(&listener), Ok("TCP_LISTEN"));
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(super::state(&stream), Ok("TCP_ESTABLISHED"));
        let (ours, _) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(super::state(&ours).is_err());
    }
}
