//! What joins two ends before they start, where they do not meet at a name.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::pipe2;

use wire::address::udp::connect_udp;

/// What joins two ends before they start; nothing, where they meet at a name.
#[derive(Debug, Default)]
pub(super) struct Joined {
    /// What each has as standard input, and as standard output.
    pub(super) streams: Option<[[OwnedFd; 2]; 2]>,
    /// A connected socket each, as descriptor 4.
    pub(super) sockets: Option<[OwnedFd; 2]>,
}

impl Joined {
    fn sockets(a: OwnedFd, b: OwnedFd) -> Joined {
        Joined { sockets: Some([a, b]), ..Joined::default() }
    }
}

/// How the two ends of a pair meet, whose names begin with this path.
pub(super) type Meet = fn(&mut PathBuf) -> Result<Joined>;

/// They meet at a name.
pub(super) fn at_a_name(_: &mut PathBuf) -> Result<Joined> {
    Ok(Joined::default())
}

/// They meet at a port, whose number ends the path.
pub(super) fn at_a_port(base: &mut PathBuf) -> Result<Joined> {
    base.set_extension(format!("x:{}", free_port()?));
    Ok(Joined::default())
}

/// They meet at keys of ftok(3), which are made of files.
#[expect(clippy::ptr_arg, reason = "as each Meet")]
pub(super) fn at_keys(base: &mut PathBuf) -> Result<Joined> {
    for way in ["there", "back"] {
        let path = base.with_extension(way);
        std::fs::write(&path, b"")
            .with_context(|| format!("open {}", path.display()))?;
    }
    Ok(Joined::default())
}

/// They have a pipe each way.
pub(super) fn by_pipes(_: &mut PathBuf) -> Result<Joined> {
    let there = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
    let back = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
    let streams = Some([[back.0, there.0], [there.1, back.1]]);
    Ok(Joined { streams, sockets: None })
}

/// They have an eventfd each way, and a connection, whose end tells that the other has left.
pub(super) fn by_eventfds(_: &mut PathBuf) -> Result<Joined> {
    let both = || -> Result<[OwnedFd; 2]> {
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC).context("eventfd")?;
        let copy = event.as_fd().try_clone_to_owned().context("dup")?;
        Ok([event.into(), copy])
    };
    let ([there, to_b], [back, to_a]) = (both()?, both()?);
    let streams = Some([[to_a, to_b], [there, back]]);
    Ok(Joined { streams, ..by_sockets(SockType::Stream)? })
}

/// They have a pair of Unix sockets of this type.
pub(super) fn by_sockets(kind: SockType) -> Result<Joined> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let (a, b) =
        socketpair(AddressFamily::Unix, kind, None, flags).context("socketpair")?;
    Ok(Joined::sockets(a, b))
}

/// One has a socket of UDP that is bound, and the other one that is connected to it.
pub(super) fn by_udp(_: &mut PathBuf) -> Result<Joined> {
    let bound = UdpSocket::bind("127.0.0.1:0").context("bind 127.0.0.1")?;
    let connected = connect_udp(bound.local_addr().context("getsockname")?)?;
    Ok(Joined::sockets(connected, bound.into()))
}

/// They have two sockets that are connected with each other over the loopback interface.
pub(super) fn by_tcp(_: &mut PathBuf) -> Result<Joined> {
    let listener = TcpListener::bind("127.0.0.1:0").context("bind 127.0.0.1")?;
    let address = listener.local_addr().context("getsockname")?;
    let a = TcpStream::connect(address).context("connect")?;
    let (b, _) = listener.accept().context("accept")?;
    for socket in [&a, &b] {
        socket.set_nodelay(true).context("setsockopt(TCP_NODELAY)")?;
    }
    Ok(Joined::sockets(a.into(), b.into()))
}

/// A port that neither TCP nor UDP uses just now.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("bind 127.0.0.1")?;
    let address = listener.local_addr().context("getsockname")?;
    UdpSocket::bind(address).context("bind 127.0.0.1")?;
    Ok(address.port())
}
