//! Those who have come to the door and are no workers yet: the multiprocessing protocol
//! lets them first make themselves known.

use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Error, Result, anyhow};

use super::multiprocessing::{Greeting, Rules, Side, late};

/// How many may be on the doorstep at once. Who comes then waits in the kernel's queue.
pub(super) const MOST: usize = 16;

/// One who has come.
#[derive(Debug)]
pub(super) struct Guest {
    /// What epoll(7) calls it.
    pub(super) id: u64,
    pub(super) pid: i32,
    pub(super) socket: UnixStream,
    greeting: Greeting,
}

// ANCHOR: guests
/// All of them. None is waited for: each goes on when something of its has come.
#[derive(Debug)]
pub(super) struct Guests {
    rules: Option<Rules>,
    within: Duration,
    all: Vec<Guest>,
}

impl Guests {
    /// Nobody has come yet.
    pub(super) fn new(rules: Option<Rules>, within: Duration) -> Guests {
        Guests { rules, within, all: Vec::new() }
    }

    /// How many are on the doorstep.
    pub(super) fn number(&self) -> usize {
        self.all.len()
    }

    /// Greets the process `pid`, which has come.
    pub(super) fn greet(
        &mut self,
        id: u64,
        pid: i32,
        socket: UnixStream,
    ) -> Result<()> {
        let (who, rules) = (format!("worker {pid}"), self.rules.as_ref());
        let greeting =
            Greeting::begin(&socket, Side::Listener, &who, rules, self.within)?;
        self.all.push(Guest { id, pid, socket, greeting });
        Ok(())
    }

    /// Goes on with the guest `id`, of whom something has come: it is let in, or refused,
    /// or waits on.
    pub(super) fn go_on(&mut self, id: u64) -> Option<Result<Guest>> {
        let index = self.all.iter().position(|guest| guest.id == id)?;
        let guest = &mut self.all[index];
        match guest.greeting.go_on(&guest.socket) {
            Ok(false) => None,
            Ok(true) => Some(Ok(self.all.swap_remove(index))),
            Err(error) => Some(Err(refused(&self.all.swap_remove(index), error))),
        }
    }

    /// When the first of them is too late.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.all.iter().filter_map(|guest| guest.greeting.deadline()).min()
    }

    /// Refuses one who is too late.
    pub(super) fn next_late(&mut self, now: Instant) -> Option<Error> {
        let is_late =
            |guest: &Guest| guest.greeting.deadline().is_some_and(|d| d <= now);
        let guest = self.all.swap_remove(self.all.iter().position(is_late)?);
        Some(refused(&guest, anyhow!("{}", late(self.within))))
    }
}
// ANCHOR_END: guests

fn refused(guest: &Guest, why: Error) -> Error {
    why.context(format!("worker {} is refused", guest.pid))
}
