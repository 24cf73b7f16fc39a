//! Where clients come in: listening sockets, Unix and TCP, as many as were asked for.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, listen, socket};
use rustix::net::{SocketFlags, accept_with};

use wire::address::{self, Addresses, send_at_once};
use wire::local::{self, Name};
use wire::meet::{Presence, Rendezvous};
use wire::say;
use wire::shortage::{Blame, blame};

/// A listening socket that does not block.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) listener: OwnedFd,
    /// Its address, as a client would name it.
    pub(super) name: String,
    /// How a client names it on its command line.
    pub(super) option: &'static str,
    /// A Unix socket's name goes with the last one out.
    _presence: Option<Presence>,
}

/// What accept(2) says.
#[derive(Debug)]
pub(super) enum Came {
    /// A client; its socket does not block.
    Client(OwnedFd),
    /// Nobody more, for now.
    Nobody,
    /// Somebody, but there is no descriptor or no memory for him.
    NoRoom(Errno),
}

// ANCHOR: accept
impl Door {
    /// accept4(2): takes up a client that the kernel has connected.
    ///
    /// # Errors
    /// What no client is to blame for.
    pub(super) fn accept(&self) -> Result<Came> {
        // Non-blocking from the start: no further call for it. Close-on-exec as always.
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        match accept_with(&self.listener, flags) {
            Ok(socket) => Ok(Came::Client(socket)),
            Err(error) => {
                let error = Errno::from_raw(error.raw_os_error());
                match blame(error) {
                    Blame::Client => Ok(Came::Nobody), // or nobody more: EAGAIN
                    Blame::Shortage => Ok(Came::NoRoom(error)),
                    Blame::Server => {
                        Err(error).with_context(|| format!("accept {}", self.name))
                    }
                }
            }
        }
    }
}
// ANCHOR_END: accept

// ANCHOR: unix_door
/// A Unix socket at the path of `rendezvous`.
pub(super) fn unix(rendezvous: &Rendezvous) -> Result<Door> {
    let kind = SockType::Stream;
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let listener =
        socket(AddressFamily::Unix, kind, flags, None).context("socket")?;
    let name = Name::path(rendezvous)?;
    let mut presence = local::take(rendezvous, &name, &listener)?;
    listen(&listener, Backlog::MAXCONN).with_context(|| format!("listen {name}"))?;
    presence.as_mut().map_or(Ok(()), Presence::admit_peers)?;
    let fd = listener.as_raw_fd();
    say!("bind({name}), listen(): clients come to descriptor {fd}");
    Ok(Door {
        listener,
        name: name.to_string(),
        option: "--at",
        _presence: presence,
    })
}
// ANCHOR_END: unix_door

/// A TCP socket at one of `addresses`; its port may be 0.
pub(super) fn tcp(addresses: &Addresses) -> Result<Door> {
    let (listener, address) = address::listen_by("--tcp", addresses)?;
    // Again, for more than 128 at once (/proc/sys/net/core/somaxconn is the most).
    listen(&listener, Backlog::MAXCONN).context("listen")?;
    // On Linux the accepted sockets inherit it: no call for each client.
    send_at_once(&listener)?;
    rustix::io::ioctl_fionbio(&listener, true).context("ioctl(FIONBIO)")?;
    let name = address.to_string();
    Ok(Door { listener, name, option: "--connect", _presence: None })
}

impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}
