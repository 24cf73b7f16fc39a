//! What the kernel counts of a TCP connection.

use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

/// How many bytes have passed over a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// Came from the peer, whether read or not.
    pub received: u64,
    /// Went to the peer, or are on their way.
    pub sent: u64,
}

/// The states after the peer's FIN has come, which counts as one byte received (tcp(7)).
const AFTER_FIN: [u8; 4] = [
    8,  // TCP_CLOSE_WAIT
    9,  // TCP_LAST_ACK
    11, // TCP_CLOSING
    6,  // TCP_TIME_WAIT
];

/// `getsockopt(socket, IPPROTO_TCP, TCP_INFO)`: the bytes that have passed.
///
/// # Errors
/// EOPNOTSUPP and the like for what is no TCP socket.
pub fn traffic(socket: impl AsFd) -> nix::Result<Traffic> {
    // SAFETY: plain data, all zeroes is a value of it; the kernel writes no more than
    // `length`, and older ones less.
    let info = unsafe {
        let mut info: libc::tcp_info = zeroed();
        let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
        let done = libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        );
        Errno::result(done)?;
        info
    };
    let fin = u64::from(AFTER_FIN.contains(&info.tcpi_state));
    Ok(Traffic {
        received: info.tcpi_bytes_received.saturating_sub(fin),
        sent: info.tcpi_bytes_sent,
    })
}
