//! Clients come and leave.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;

use super::connection::NonblockingClient;
use super::limits::TURN;
use super::listener::Accepted;
use super::selector::Interest;
use super::server::{MultiplexServer, Token};
use wire::errors::{Advise, errno};
use wire::say::count;
use wire::shortage::is_shortage;

/// How long accept(2) is not tried again at most, when there was no descriptor for a client.
const PAUSE: Duration = Duration::from_secs(1);

// ANCHOR: accept_clients
impl MultiplexServer<'_> {
    /// Accepts the clients that wait at a listening socket.
    pub(super) fn accept_clients(&mut self, index: usize) -> Result<()> {
        for _ in 0..TURN {
            // The listening sockets may have been closed in this very turn.
            let Some(listener) = self.listeners.get(index) else { return Ok(()) };
            match listener.accept()? {
                Accepted::Client(socket) => self.add_client(socket, index)?,
                Accepted::Nothing => return Ok(()),
                Accepted::Shortage(error) => return self.pause_accepting(error),
            }
        }
        Ok(())
    }

    fn add_client(&mut self, socket: OwnedFd, listener: usize) -> Result<()> {
        let interest = Interest::READ | self.trigger;
        let index = self.free.pop().unwrap_or(self.clients.len());
        let watched =
            self.selector.register(socket.as_fd(), interest, Token::Client(index));
        if let Err(error) = watched {
            // select(2) from 1,024 on: the client learns it from the end of its stream.
            if index < self.clients.len() {
                self.free.push(index);
            }
            self.turned_away.about(error.context("a client was turned away"));
            return Ok(());
        }
        self.accepted += 1;
        let (number, fd) = (self.accepted, socket.as_raw_fd());
        let name = &self.listeners[listener].name;
        self.accepts.call(0, || format!("accept4({name}) = {fd}: client {number}"));
        if index == self.clients.len() {
            self.clients.push(None);
        }
        self.clients[index] = Some(NonblockingClient::new(socket, number, interest));
        if self.has_all() {
            self.unwatch_listeners()?;
            self.listeners.clear(); // a later client is refused, and need not wait
        }
        Ok(())
    }

    /// No descriptor is left. The connection stays in the backlog, so a selector would report
    /// the listening socket again at once, and for ever: the listening sockets are not watched
    /// until a client leaves.
    fn pause_accepting(&mut self, error: Errno) -> Result<()> {
        let limit = match error {
            Errno::EMFILE => {
                "RLIMIT_NOFILE (ulimit -n) is how many one process may have"
            }
            _ => "that is a limit of the whole machine",
        };
        let here = count(self.here() as u64, "client");
        let pause =
            format!("with {here} here, others wait until one leaves; {limit}");
        let error = Err::<(), _>(error).context("accept").advise(|_| Some(pause));
        self.no_room.about(error.unwrap_err());
        self.unwatch_listeners()?;
        self.paused_until = Some(Instant::now() + PAUSE);
        Ok(())
    }

    /// Forgets a client, and accepts another one if one waits.
    pub(super) fn close_client(&mut self, index: usize) -> Result<()> {
        let Some(client) = self.clients[index].take() else { return Ok(()) };
        self.free.push(index);
        // Before close(2): epoll would keep a descriptor that was duplicated.
        self.selector.unregister(client.as_fd())?;
        client.close(&mut self.shared); // close(2)
        if self.paused_until.is_some() { self.resume_accepting() } else { Ok(()) }
    }
}
// ANCHOR_END: accept_clients

impl MultiplexServer<'_> {
    /// Watches the listening sockets again after a pause; without room for that, the pause
    /// goes on.
    pub(super) fn resume_accepting(&mut self) -> Result<()> {
        let Err(error) = self.watch_listeners() else { return Ok(()) };
        if !errno(&error).is_some_and(is_shortage) {
            return Err(error);
        }
        for listener in &self.listeners {
            let _ = self.selector.unregister(listener.as_fd()); // ENOENT: it was not
        }
        self.paused_until = Some(Instant::now() + PAUSE);
        self.no_room.about(error);
        Ok(())
    }

    /// Watches the listening sockets no longer.
    pub(super) fn unwatch_listeners(&mut self) -> Result<()> {
        if self.paused_until.take().is_none() {
            for listener in &self.listeners {
                self.selector.unregister(listener.as_fd())?;
            }
        }
        Ok(())
    }
}
