//! What datagrams of UDP do that people do not expect.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::ReuseAddr;
use nix::sys::socket::{
    self, AddressFamily, SockFlag, SockType, SockaddrIn, setsockopt, socket,
};

use super::row::Experiment;
use super::stage::Stage;

mod answers;
mod errors;
mod network;
mod order;
mod peers;
mod room;
mod sharing;

/// The chapter's experiments, in the order of its page.
pub const ALL: &[Experiment] = &[
    room::FULL_BUFFER,
    room::SHORT_BUFFER,
    errors::NOBODY_THERE,
    answers::TWICE,
    answers::LATE_ANSWER,
    room::EMPTY_DATAGRAM,
    room::TOO_LARGE,
    room::GAP,
    order::OVERTAKEN,
    errors::UNCONNECTED,
    errors::UNBOUND_CLIENT,
    peers::THIRD_PARTY,
    peers::WILDCARD_ANSWER,
    sharing::REUSEADDR,
    sharing::REUSEPORT,
    sharing::BROADCAST_FLAG,
    sharing::MULTICAST_COPIES,
    errors::SPENT_ERROR,
    peers::QUEUED_BEFORE,
    room::NEXT_LENGTH,
    room::LARGER_BUFFER,
    sharing::BROADCAST_BOUND,
    sharing::UNINVITED,
    answers::MMSG_TIMEOUT,
    network::PATH_MTU,
    network::FORGED_SOURCE,
    network::BAD_CHECKSUM,
];

/// Nothing of these experiments takes longer, unless it never comes.
const PATIENCE: Duration = Duration::from_secs(5);

/// `socket`, and `bind` to a port of 127.0.0.1 that the kernel chooses.
fn bound() -> Result<(UdpSocket, SocketAddr)> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("bind")?;
    socket.set_read_timeout(Some(PATIENCE)).context("SO_RCVTIMEO")?;
    let address = socket.local_addr().context("getsockname")?;
    Ok((socket, address))
}

/// `socket`, and no more.
fn unbound() -> Result<UdpSocket> {
    let (family, kind) = (AddressFamily::Inet, SockType::Datagram);
    let made = socket(family, kind, SockFlag::SOCK_CLOEXEC, None);
    let socket = UdpSocket::from(made.context("socket")?);
    socket.set_read_timeout(Some(PATIENCE)).context("SO_RCVTIMEO")?;
    Ok(socket)
}

/// `socket`, SO_REUSEADDR, and `bind` to this address.
fn sharing(address: (Ipv4Addr, u16)) -> Result<UdpSocket> {
    let socket = unbound()?;
    setsockopt(&socket, ReuseAddr, &true).context("SO_REUSEADDR")?;
    let address =
        SockaddrIn::from(std::net::SocketAddrV4::new(address.0, address.1));
    socket::bind(socket.as_raw_fd(), &address).context("bind")?;
    Ok(socket)
}

/// An address of this machine where no socket is bound, and where no other program comes.
fn nobody() -> Result<SocketAddr> {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let socket = UdpSocket::bind((Ipv4Addr::new(127, 80, high, low), 0));
    socket.context("bind")?.local_addr().context("getsockname")
}

/// send(2) of a text on a connected socket, reported.
fn send(
    stage: &Stage,
    who: &str,
    socket: &UdpSocket,
    text: &str,
) -> io::Result<usize> {
    let sent = socket.send(text.as_bytes());
    stage.call(format!("{who}: send({text:?})"), &sent);
    sent
}

/// sendto(2) of a text, reported; `whom` is what `to` is called.
fn send_to(
    stage: &Stage,
    who: &str,
    socket: &UdpSocket,
    text: &str,
    (whom, to): (&str, SocketAddr),
) -> io::Result<usize> {
    let sent = socket.send_to(text.as_bytes(), to);
    stage.call(format!("{who}: sendto({text:?}, {whom})"), &sent);
    sent
}

/// recv(2), which sleeps until a datagram comes, reported.
fn recv(stage: &Stage, who: &str, socket: &UdpSocket) -> io::Result<String> {
    let mut room = [0; 1000];
    let got = socket.recv(&mut room);
    let got = got.map(|n| String::from_utf8_lossy(&room[..n]).into_owned());
    let shown = got.as_ref().map(|text| match text.len() {
        0 => "0".to_owned(),
        n => format!("{n}: {text:?}"),
    });
    stage.call(format!("{who}: recv()"), &shown);
    got
}

/// Waits until an ICMP message has come back to a socket.
fn until_error(socket: &UdpSocket) -> Result<()> {
    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::empty())];
    let patience = PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::MAX);
    poll(&mut fds, patience).context("poll")?;
    anyhow::ensure!(fds[0].any() == Some(true), "no ICMP message has come");
    Ok(())
}
