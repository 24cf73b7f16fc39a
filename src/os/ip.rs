//! Options of ip(7) that no crate has.

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

/// `setsockopt(socket, IPPROTO_IP, option, &value, sizeof value)`: IP_MTU_DISCOVER and others
/// whose value is a number.
///
/// # Errors
/// As setsockopt(2).
pub fn set_option(
    socket: impl AsFd,
    option: libc::c_int,
    value: libc::c_int,
) -> nix::Result<()> {
    let fd = socket.as_fd().as_raw_fd();
    let length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: an open descriptor, and a number with its length, which the kernel only reads.
    let done = unsafe {
        let value = (&raw const value).cast();
        libc::setsockopt(fd, libc::IPPROTO_IP, option, value, length)
    };
    Errno::result(done).map(drop)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    #[test]
    fn a_number_is_set_and_an_unknown_option_refused() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let discover = libc::IP_MTU_DISCOVER;
        super::set_option(&socket, discover, libc::IP_PMTUDISC_DO).unwrap();
        let unknown = super::set_option(&socket, 0x7fff, 1);
        assert_eq!(unknown, Err(nix::errno::Errno::ENOPROTOOPT));
    }
}
