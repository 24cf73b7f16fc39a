//! UDP's addresses: bound to, and sent to. A UDP socket that is bound has no backlog and no
//! connections, and connect(2) sends nothing: that no server is there shows only when something
//! was sent to it, and an ICMP message comes back.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result};
use nix::sys::socket::{self, SockType, SockaddrStorage};

use super::holder::Protocol;
use super::{
    Addresses, address_of, at_the_first, no_note, places, socket_for,
    warn_of_others, way_out,
};
use crate::errors::Advise;
use crate::meet::Rendezvous;
use crate::say;

// ANCHOR: bind_udp
/// A socket that is bound to the first of `addresses` that this machine has, and the address
/// that it really has; port 0 lets the kernel choose a free one. There is no SO_REUSEADDR: with
/// it a second server could bind the same port, and take the first one's datagrams.
///
/// # Errors
/// EADDRINUSE, and the process that has it; EACCES below port 1024; EADDRNOTAVAIL.
pub fn bind_udp(addresses: &Addresses) -> Result<(OwnedFd, SocketAddr)> {
    at_the_first(addresses, |address| {
        let socket = socket_for(address, SockType::Datagram)?;
        socket::bind(socket.as_raw_fd(), &SockaddrStorage::from(address))
            .with_context(|| format!("bind {address}"))
            .advise(|error| way_out(error, Protocol::Udp, address, "--listen"))?;
        let address = address_of(&socket)?;
        say!(
            "bind({address}): from now on the kernel keeps what comes to this port"
        );
        warn_of_others(address, "send");
        Ok((socket, address))
    })
}
// ANCHOR_END: bind_udp

/// The addresses that a server may be at, each once: `given`, or where one is published, or
/// `default`. Where there is none, what is missing.
///
/// # Errors
/// As [`published`](super::published).
pub fn candidates(
    rendezvous: &Rendezvous,
    given: Option<&Addresses>,
    default: &Addresses,
) -> Result<Result<Vec<SocketAddr>, String>> {
    let places = places(rendezvous, given, default)?;
    let all: Vec<_> = places.into_iter().flat_map(|place| place.all).collect();
    Ok(if all.is_empty() { Err(no_note(rendezvous)) } else { Ok(all) })
}

// ANCHOR: connect_udp
/// A socket that is connected to `address`: it has a free port of the kernel's choice, takes
/// datagrams from that address alone, and is told of ICMP's errors.
///
/// # Errors
/// ENETUNREACH and the like: the kernel has no way there.
pub fn connect_udp(address: SocketAddr) -> Result<OwnedFd> {
    let socket = socket_for(address, SockType::Datagram)?;
    socket::connect(socket.as_raw_fd(), &SockaddrStorage::from(address))
        .with_context(|| format!("connect {address}"))
        .advise(|error| way_out(error, Protocol::Udp, address, "--connect"))?;
    Ok(socket)
}
// ANCHOR_END: connect_udp
