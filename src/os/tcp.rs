//! What the kernel knows of a TCP connection.

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

/// `getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size)`: the name of the state that the
/// connection is in, as C writes it (tcp(7)).
///
/// # Errors
/// ENOPROTOOPT or EOPNOTSUPP when the socket is not of TCP.
pub fn state(socket: impl AsFd) -> nix::Result<&'static str> {
    let fd = socket.as_fd().as_raw_fd();
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut size = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: room for `size` bytes, of which an older kernel fills fewer; all of them are
    // numbers, so what it leaves is zero.
    let info = unsafe {
        let room = info.as_mut_ptr().cast();
        let (level, name) = (libc::IPPROTO_TCP, libc::TCP_INFO);
        Errno::result(libc::getsockopt(fd, level, name, room, &mut size))?;
        info.assume_init()
    };
    let place = usize::from(info.tcpi_state).checked_sub(1);
    Ok(place.and_then(|place| STATES.get(place)).unwrap_or(&"an unknown state"))
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
