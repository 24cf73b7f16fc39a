//! Clients come and go.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result};
use nix::errno::Errno;

use super::connection::Connection;
use super::doors::Came;
use super::event_loop::TURN;
use super::selector::Interest;
use super::server::{Server, Token};
use wire::errors::{Advise, errno, line};
use wire::say::{self, Commentary, grouped};
use wire::shortage::is_shortage;

/// How long accept(2) is left alone at most, when there was no descriptor for a client.
const REST: Duration = Duration::from_secs(1);

// ANCHOR: let_in
impl Server<'_> {
    /// Accepts whoever waits at a door.
    pub(super) fn let_in(&mut self, index: usize) -> Result<()> {
        for _ in 0..TURN {
            // The doors may have been closed in this very turn.
            let Some(door) = self.doors.get(index) else { return Ok(()) };
            match door.accept()? {
                Came::Client(socket) => self.welcome(socket, index)?,
                Came::Nobody => return Ok(()),
                Came::NoRoom(error) => return self.rest(error),
            }
        }
        Ok(())
    }

    fn welcome(&mut self, socket: OwnedFd, door: usize) -> Result<()> {
        let interest = Interest::READ | self.trigger;
        let index = self.free.pop().unwrap_or(self.clients.len());
        let watched =
            self.selector.register(socket.as_fd(), interest, Token::Client(index));
        if let Err(error) = watched {
            // select(2) from 1,024 on: the client is told by the end of its stream.
            if index < self.clients.len() {
                self.free.push(index);
            }
            self.turned_away.about(error.context("a client was turned away"));
            return Ok(());
        }
        self.accepted += 1;
        let (number, fd) = (self.accepted, socket.as_raw_fd());
        let name = &self.doors[door].name;
        self.accepts.call(0, || format!("accept4({name}) = {fd}: client {number}"));
        if index == self.clients.len() {
            self.clients.push(None);
        }
        self.clients[index] = Some(Connection::new(socket, number, interest));
        if self.has_all() {
            self.close_doors()?;
            self.doors.clear(); // whoever comes now is refused, and need not wait
        }
        Ok(())
    }

    /// No descriptor is left. The one who knocks still does, so a selector would tell of
    /// him again at once, and for ever: the doors are not watched until a client leaves.
    fn rest(&mut self, error: Errno) -> Result<()> {
        let limit = match error {
            Errno::EMFILE => {
                "RLIMIT_NOFILE (ulimit -n) is how many one process may have"
            }
            _ => "that is a limit of the whole machine",
        };
        let here = grouped(self.here() as u64);
        let rest = format!(
            "{here} clients are here, others wait until one leaves; {limit}"
        );
        let error = Err::<(), _>(error).context("accept").advise(|_| Some(rest));
        self.no_room.about(error.unwrap_err());
        self.close_doors()?;
        self.rests_until = Some(Instant::now() + REST);
        Ok(())
    }

    /// Forgets a client, and lets in another one if one waits.
    pub(super) fn let_go(&mut self, index: usize) -> Result<()> {
        let Some(client) = self.clients[index].take() else { return Ok(()) };
        self.free.push(index);
        // Before it is closed: epoll would remember one that was duplicated.
        self.selector.unregister(client.as_fd())?;
        client.close(&mut self.shared); // close(2)
        if self.rests_until.is_some() { self.reopen_doors() } else { Ok(()) }
    }
}
// ANCHOR_END: let_in

impl Server<'_> {
    /// Watches the doors.
    pub(super) fn open_doors(&mut self) -> Result<()> {
        self.rests_until = None;
        for (index, door) in self.doors.iter().enumerate() {
            let token = Token::Door(index);
            self.selector.register(door.as_fd(), Interest::READ, token)?;
        }
        Ok(())
    }

    /// Watches them again after a rest; without room for that, the rest goes on.
    pub(super) fn reopen_doors(&mut self) -> Result<()> {
        let Err(error) = self.open_doors() else { return Ok(()) };
        if !errno(&error).is_some_and(is_shortage) {
            return Err(error);
        }
        for door in &self.doors {
            let _ = self.selector.unregister(door.as_fd()); // ENOENT: it was not
        }
        self.rests_until = Some(Instant::now() + REST);
        self.no_room.about(error);
        Ok(())
    }

    /// Watches them no longer.
    pub(super) fn close_doors(&mut self) -> Result<()> {
        if self.rests_until.take().is_none() {
            for door in &self.doors {
                self.selector.unregister(door.as_fd())?;
            }
        }
        Ok(())
    }
}

/// What goes wrong with those who come: the first time is worth a line of its own, even
/// under `-q`; the rest is commentary.
#[derive(Debug)]
pub(super) struct Complaint {
    made: bool,
    rest: Commentary,
}

impl Complaint {
    /// None yet; `step` is what the rest are counted as.
    pub(super) const fn of(step: &'static str) -> Complaint {
        Complaint { made: false, rest: Commentary::steps(step) }
    }

    fn about(&mut self, error: Error) {
        if self.made {
            self.rest.call(0, || line(&error));
        } else {
            say::complain(&error);
        }
        self.made = true;
    }
}
