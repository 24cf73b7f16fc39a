//! The Unix socket at which server and workers meet. Its name is taken and found as that
//! of the chapter unix.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use anyhow::{Context, Result};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, listen, socket};

use wire::local::{self, Name};
use wire::meet::{Presence, Rendezvous};
use wire::say;

// ANCHOR: door
/// Binds the socket where workers come to `name`.
pub(super) fn open(name: &Name, presence: &mut Presence) -> Result<UnixListener> {
    let door = stream()?;
    local::bind(&door, name, Some(presence))?;
    listen(&door, Backlog::MAXCONN).with_context(|| format!("listen {name}"))?;
    say!("socket(AF_UNIX), bind({name}), listen(): workers come here");
    Ok(UnixListener::from(door))
}

/// Connects to the server, as soon as there is one.
pub(super) fn find(rendezvous: &Rendezvous, name: &Name) -> Result<OwnedFd> {
    let server = stream()?;
    local::connect(rendezvous, name, &server)?;
    Ok(server)
}

fn stream() -> Result<OwnedFd> {
    let (kind, flags) = (SockType::Stream, SockFlag::SOCK_CLOEXEC);
    socket(AddressFamily::Unix, kind, flags, None).context("socket")
}
// ANCHOR_END: door
