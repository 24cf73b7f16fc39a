//! Where clients come in, and what to do when there is no room for them.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};
use nix::errno::Errno;
use rustix::net::{SocketFlags, acceptfrom_with};

use wire::address::send_at_once;
use wire::say;
use wire::shortage::{Blame, Shortage, blame};

// ANCHOR: accept
/// A listening socket.
#[derive(Debug)]
pub struct Door {
    listener: OwnedFd,
    crowd: Shortage,
}

impl Door {
    /// A door at `listener`.
    pub fn new(listener: OwnedFd) -> Door {
        Door { listener, crowd: Shortage::default() }
    }

    /// accept4(2): sleeps until the kernel has connected a client, and returns the new
    /// socket that leads to it. The listening socket goes on listening.
    ///
    /// # Errors
    /// What no client is to blame for.
    pub fn accept(&mut self) -> Result<OwnedFd> {
        loop {
            if let Some(connection) = self.try_accept()? {
                return Ok(connection);
            }
        }
    }

    /// As [`Door::accept`], but `None` when a client had given up before its turn came,
    /// or when there is no room for it.
    ///
    /// # Errors
    /// As [`Door::accept`].
    pub fn try_accept(&mut self) -> Result<Option<OwnedFd>> {
        match acceptfrom_with(&self.listener, SocketFlags::CLOEXEC) {
            Ok((connection, client)) => {
                self.crowd.is_over();
                let client = client.map(SocketAddr::try_from);
                let Some(Ok(client)) = client else { return Ok(None) };
                say!("accept() = a socket to the client at {client}");
                Ok(send_at_once(&connection).ok().map(|()| connection))
            }
            Err(error) => self.refused(Errno::from_raw(error.raw_os_error())),
        }
    }

    fn refused(&mut self, error: Errno) -> Result<Option<OwnedFd>> {
        match blame(error) {
            Blame::Client => {}
            // The client that knocks is still there, so the next accept() fails at once,
            // too: a loop that only went on would take a whole processor to do nothing.
            Blame::Shortage => {
                self.crowd.rest(error, "accept", "ulimit -n raises RLIMIT_NOFILE");
            }
            Blame::Server => return Err(error).context("accept"),
        }
        Ok(None)
    }
}
// ANCHOR_END: accept

impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}
