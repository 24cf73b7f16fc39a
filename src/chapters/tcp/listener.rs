//! The listening socket, and what to do when there is no room for a client.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::socket::SockFlag;

use os::calls::accept4_from;
use wire::address::send_at_once;
use wire::say;
use wire::shortage::{ErrorOf, Shortage, error_of};

// ANCHOR: accept
/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    shortage: Shortage,
}

impl Listener {
    /// Clients are accepted from `socket`, which listens.
    pub fn new(socket: OwnedFd) -> Listener {
        Listener { socket, shortage: Shortage::default() }
    }

    /// accept4(2): sleeps until the kernel has connected a client, and returns a new socket
    /// that is connected to it. The listening socket goes on listening.
    ///
    /// # Errors
    /// Those of the listening socket itself: EBADF, EINVAL, ENOTSOCK.
    pub fn accept(&mut self) -> Result<OwnedFd> {
        loop {
            if let Some(connection) = self.try_accept()? {
                return Ok(connection);
            }
        }
    }

    /// As [`Listener::accept`], but `None` when a client had given up before its turn came,
    /// or when there is no room for it.
    ///
    /// # Errors
    /// As [`Listener::accept`].
    pub fn try_accept(&mut self) -> Result<Option<OwnedFd>> {
        match accept4_from(&self.socket, SockFlag::SOCK_CLOEXEC) {
            Ok((connection, client)) => {
                self.shortage.is_over();
                let Some(client) = client else { return Ok(None) };
                say!("accept() = a socket to the client at {client}");
                Ok(send_at_once(&connection).ok().map(|()| connection))
            }
            Err(error) => self.refused(error),
        }
    }

    fn refused(&mut self, error: Errno) -> Result<Option<OwnedFd>> {
        match error_of(error) {
            ErrorOf::Client => {}
            // The connection stays in the backlog, so the next accept() fails at once, too: a
            // loop that only went on would take a whole processor to do nothing.
            ErrorOf::Resources => {
                self.shortage.rest(
                    error,
                    "accept",
                    "ulimit -n raises RLIMIT_NOFILE",
                );
            }
            ErrorOf::Listener => return Err(error).context("accept"),
        }
        Ok(None)
    }
}
// ANCHOR_END: accept

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
