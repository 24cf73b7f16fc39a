//! Listening sockets, Unix and TCP, as many as were asked for.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, listen, socket};

use os::calls::accept4;
use wire::address::{self, Addresses, send_at_once};
use wire::local::{self, Name};
use wire::meet::{Presence, Rendezvous};
use wire::say;
use wire::shortage::{ErrorOf, error_of};

/// A listening socket that does not block.
#[derive(Debug)]
pub(super) struct NonblockingListener {
    pub(super) socket: OwnedFd,
    /// Its address, as a client would name it.
    pub(super) name: String,
    /// How a client names it on its command line.
    pub(super) option: &'static str,
    /// The last role out removes a Unix socket's name.
    _presence: Option<Presence>,
}

/// What accept4(2) returned.
#[derive(Debug)]
pub(super) enum Accepted {
    /// A client; its socket does not block.
    Client(OwnedFd),
    /// No client is connected now: EAGAIN, or one that gave up.
    Nothing,
    /// EMFILE, ENFILE, ENOBUFS, ENOMEM: no room for the new connection, which stays in the
    /// backlog.
    Shortage(Errno),
}

// ANCHOR: accept
impl NonblockingListener {
    /// accept4(2): takes a connection out of the backlog.
    ///
    /// # Errors
    /// Those of the listening socket itself: EBADF, EINVAL, ENOTSOCK.
    pub(super) fn accept(&self) -> Result<Accepted> {
        // Non-blocking from the start: no further call for it. Close-on-exec as always.
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        match accept4(&self.socket, flags) {
            Ok(client) => Ok(Accepted::Client(client)),
            Err(error) => match error_of(error) {
                ErrorOf::Client => Ok(Accepted::Nothing),
                ErrorOf::Resources => Ok(Accepted::Shortage(error)),
                ErrorOf::Listener => {
                    Err(error).with_context(|| format!("accept {}", self.name))
                }
            },
        }
    }
}
// ANCHOR_END: accept

// ANCHOR: unix
/// A Unix socket at the path of `rendezvous`.
pub(super) fn unix(rendezvous: &Rendezvous) -> Result<NonblockingListener> {
    let kind = SockType::Stream;
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Unix, kind, flags, None).context("socket")?;
    let name = Name::path(rendezvous)?;
    let mut presence = local::take(rendezvous, &name, &socket)?;
    listen(&socket, Backlog::MAXCONN).with_context(|| format!("listen {name}"))?;
    presence.as_mut().map_or(Ok(()), Presence::admit_peers)?;
    let fd = socket.as_raw_fd();
    say!("bind({name}), listen(): clients come to descriptor {fd}");
    Ok(NonblockingListener {
        socket,
        name: name.to_string(),
        option: "--at",
        _presence: presence,
    })
}
// ANCHOR_END: unix

/// A TCP socket at one of `addresses`; its port may be 0.
pub(super) fn tcp(addresses: &Addresses) -> Result<NonblockingListener> {
    let (socket, address) = address::listen_by("--tcp", addresses)?;
    // listen(2) again, for more than 128 at once (/proc/sys/net/core/somaxconn is the most).
    listen(&socket, Backlog::MAXCONN).context("listen")?;
    // On Linux the accepted sockets inherit this option: no call for each client.
    send_at_once(&socket)?;
    rustix::io::ioctl_fionbio(&socket, true).context("ioctl(FIONBIO)")?;
    let name = address.to_string();
    Ok(NonblockingListener { socket, name, option: "--connect", _presence: None })
}

impl AsFd for NonblockingListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
