//! Sockets: made, bound, connected, and gone again.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::unistd::unlink;
use rustix::net::sockopt::set_socket_linger;

use super::operation::{Batch, Resources, each};

pub(super) fn pair(_: &Resources) -> Result<Batch> {
    Ok(each(|| UnixStream::pair().context("socketpair").map(drop)))
}

pub(super) fn bind(resources: &Resources) -> Result<Batch> {
    use nix::sys::socket::{
        AddressFamily, SockFlag, SockType, UnixAddr, bind, socket,
    };
    use std::os::fd::AsRawFd;
    let path = resources.path("bound");
    let name = UnixAddr::new(&path).context("a path too long")?;
    Ok(each(move || {
        let (family, flags) = (AddressFamily::Unix, SockFlag::SOCK_CLOEXEC);
        let socket =
            socket(family, SockType::Stream, flags, None).context("socket")?;
        bind(socket.as_raw_fd(), &name).context("bind")?;
        unlink(&path).context("unlink")
    }))
}

pub(super) fn unix(resources: &Resources) -> Result<Batch> {
    let path = resources.path("socket");
    let listener = UnixListener::bind(&path).context("bind")?;
    Ok(each(move || {
        // The kernel connects it before it is accepted, as long as there is room.
        let client = UnixStream::connect(&path).context("connect")?;
        let (served, _) = listener.accept().context("accept")?;
        drop((client, served));
        Ok(())
    }))
}

pub(super) fn tcp(_: &Resources) -> Result<Batch> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = TcpListener::bind(any).context("bind")?;
    let address = listener.local_addr().context("getsockname")?;
    Ok(each(move || {
        let client = TcpStream::connect(address).context("connect")?;
        let (served, _) = listener.accept().context("accept")?;
        // A reset, and no goodbye: no port stays in TIME_WAIT, where they run out.
        set_socket_linger(&client, Some(Duration::ZERO)).context("SO_LINGER")?;
        drop((client, served));
        Ok(())
    }))
}

/// What a client of UDP does for one question: its socket is new, as TCP's connection is. Both
/// ends are this process's, and nobody sleeps.
pub(super) fn udp(_: &Resources) -> Result<Batch> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = UdpSocket::bind(any).context("bind")?;
    let address = server.local_addr().context("getsockname")?;
    let mut room = [0; 64];
    Ok(each(move || {
        let client = UdpSocket::bind(any).context("bind")?;
        client.connect(address).context("connect")?;
        client.send(&room).context("send")?;
        let (n, from) = server.recv_from(&mut room).context("recvfrom")?;
        server.send_to(&room[..n], from).context("sendto")?;
        client.recv(&mut room).context("recv").map(drop)
    }))
}
