//! Where the roles meet: workers at a Unix socket, clients at a TCP port that is published
//! beside it. The name of the Unix socket is bound and found as in the chapter unix.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use anyhow::{Context, Result};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, listen, socket};

use wire::address::{self as tcp, Addresses};
use wire::local::{self, Name};
use wire::meet::{Presence, Rendezvous};
use wire::say;

// ANCHOR: rendezvous
/// The server: binds the Unix socket to `name`, and listens for workers.
pub(super) fn listen_for_workers(
    name: &Name,
    presence: &mut Presence,
) -> Result<UnixListener> {
    let listener = unix_socket()?;
    local::bind(&listener, name, Some(presence))?;
    listen(&listener, Backlog::MAXCONN).with_context(|| format!("listen {name}"))?;
    say!("socket(AF_UNIX), bind({name}), listen(): workers come here");
    Ok(UnixListener::from(listener))
}

/// The worker: connects to the server, as soon as there is one.
pub(super) fn connect_to_server(
    rendezvous: &Rendezvous,
    name: &Name,
) -> Result<OwnedFd> {
    let server = unix_socket()?;
    local::connect(rendezvous, name, &server, "server")?;
    Ok(server)
}

fn unix_socket() -> Result<OwnedFd> {
    let (kind, flags) = (SockType::Stream, SockFlag::SOCK_CLOEXEC);
    socket(AddressFamily::Unix, kind, flags, None).context("socket")
}
// ANCHOR_END: rendezvous

/// The server: listens for clients, and publishes where.
pub(super) fn listen_for_clients(
    rendezvous: &Rendezvous,
    addresses: &Addresses,
    presence: &mut Presence,
) -> Result<TcpListener> {
    let (socket, address) = tcp::listen(addresses)?;
    tcp::publish(rendezvous, presence, address)?;
    presence.admit_peers()?;
    rendezvous.ready(address)?;
    Ok(TcpListener::from(socket))
}

/// The server removes its names when it leaves. If it is killed, the last of the other roles
/// removes them.
pub(super) fn remove_names_when_last(presence: &mut Presence) -> Result<()> {
    presence.noted()?.iter().try_for_each(|object| presence.remove_when_last(object))
}
