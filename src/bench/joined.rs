//! What joins two ends before they start, where they do not meet at a name.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use super::subject::Subject;

/// What joins two ends before they start.
#[derive(Debug)]
pub(super) enum Joined {
    /// Nothing: they meet at a name.
    No,
    /// Two pipes, from each one's standard output to the other's standard input.
    Pipes,
    /// A connected socket each, as descriptor 4.
    Sockets([OwnedFd; 2]),
}

/// What joins the two ends of a subject before they start.
pub(super) fn joined(subject: Subject) -> Result<Joined> {
    let kind = match subject.name {
        "unix stream" => SockType::Stream,
        "unix seqpacket" => SockType::SeqPacket,
        "unix dgram" => SockType::Datagram,
        "tcp" => return loopback().map(Joined::Sockets),
        _ if subject.chapter == "pipe" => return Ok(Joined::Pipes),
        _ => return Ok(Joined::No),
    };
    let flags = SockFlag::SOCK_CLOEXEC;
    let (a, b) =
        socketpair(AddressFamily::Unix, kind, None, flags).context("socketpair")?;
    Ok(Joined::Sockets([a, b]))
}

/// Two sockets that are connected with each other over the loopback interface.
pub(super) fn loopback() -> Result<[OwnedFd; 2]> {
    let listener =
        std::net::TcpListener::bind("127.0.0.1:0").context("bind 127.0.0.1")?;
    let address = listener.local_addr().context("getsockname")?;
    let a = std::net::TcpStream::connect(address).context("connect")?;
    let (b, _) = listener.accept().context("accept")?;
    for socket in [&a, &b] {
        socket.set_nodelay(true).context("setsockopt(TCP_NODELAY)")?;
    }
    Ok([a.into(), b.into()])
}

/// A port on which no process listens just now.
pub(super) fn free_port() -> Result<u16> {
    let listener =
        std::net::TcpListener::bind("127.0.0.1:0").context("bind 127.0.0.1")?;
    Ok(listener.local_addr().context("getsockname")?.port())
}
