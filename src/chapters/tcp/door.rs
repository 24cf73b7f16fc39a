//! Where clients come in, and what to do when there is no room for them.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::net::{SocketFlags, acceptfrom_with};

use crate::errors::{Advise, line};
use crate::say;
use crate::wire::address::send_at_once;

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
                let client = client.context("a client without an address")?;
                let client = SocketAddr::try_from(client).context("accept")?;
                say!("accept() = a socket to the client at {client}");
                send_at_once(&connection)?;
                Ok(Some(connection))
            }
            // The client that knocks is still there, so the next accept() fails at once,
            // too: a loop that only went on would take a whole processor to do nothing.
            Err(
                full @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM),
            ) => {
                self.crowd.rest(full, "accept", "ulimit -n raises RLIMIT_NOFILE");
                Ok(None)
            }
            Err(broken @ (Errno::BADF | Errno::INVAL | Errno::NOTSOCK)) => {
                Err(broken).context("accept")
            }
            // Of the one that came: it gave up, or its network did (accept(2)).
            Err(_) => Ok(None),
        }
    }
}

/// Something that runs out: descriptors, processes, memory. Nothing tells when there is
/// some again, so what failed is tried again and again, with a rest between.
#[derive(Debug, Default)]
pub struct Shortage {
    /// Whether it has been said.
    said: bool,
}

impl Shortage {
    const REST: Duration = Duration::from_millis(100);

    /// `call` has failed by `error`: says so the first time, and sleeps.
    pub fn rest(
        &mut self,
        error: impl Into<anyhow::Error>,
        call: &'static str,
        way_out: &str,
    ) {
        if !std::mem::replace(&mut self.said, true) {
            let advice = format!("it is tried again every 0.1 s; {way_out}");
            let error: Result<()> = Err(error.into().context(call));
            let error = error.advise(|_| Some(advice)).unwrap_err();
            eprintln!("ipclab: {}", line(&error));
        }
        std::thread::sleep(Shortage::REST);
    }

    /// It worked: the next failure is another story.
    pub fn is_over(&mut self) {
        self.said = false;
    }
}
// ANCHOR_END: accept

impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}
