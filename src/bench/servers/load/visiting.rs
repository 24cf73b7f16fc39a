//! Clients that come and go: each connects, sends one line, waits for it, and leaves.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result, ensure};
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use super::address::ServerAddress;
use super::client::Client;
use super::wait::{PATIENCE, look, now};
use super::window::{Answers, MOST};
use crate::servers::times::Times;

/// One load thread's clients: so many at once, each of them again and again another.
#[derive(Debug)]
pub(super) struct VisitingClients {
    address: ServerAddress,
    at_once: usize,
    epoll: OwnedFd,
    number: u64,
}

impl VisitingClients {
    /// No client yet; the first will have the number `first`.
    ///
    /// # Errors
    /// EMFILE.
    pub(super) fn new(
        address: &ServerAddress,
        at_once: usize,
        first: usize,
    ) -> Result<VisitingClients> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).context("epoll_create1")?;
        Ok(VisitingClients {
            address: address.clone(),
            at_once,
            epoll,
            number: (first as u64) << 32,
        })
    }

    /// Connects a client, which asks. A visit is timed from before connect(2).
    fn visit(&mut self, index: usize, now: u64) -> Result<Client> {
        self.number += 1;
        let mut client = Client::new(self.address.connect()?, self.number);
        client.ask(now)?;
        let data = EventData::new_u64(index as u64);
        epoll::add(&self.epoll, &client, data, EventFlags::IN)
            .context("epoll_ctl")?;
        Ok(client)
    }

    /// A client that is answered leaves, and another connects, for `window` nanoseconds.
    ///
    /// # Errors
    /// A wrong answer, none for a long while, or a server that is gone.
    pub(super) fn closed(&mut self, window: u64) -> Result<Answers> {
        let began = now();
        let (mut times, mut requests) = (Times::new(), 0);
        let mut here = Vec::with_capacity(self.at_once);
        for index in 0..self.at_once {
            here.push(Some(self.visit(index, now())?));
        }
        let (mut last, ends) = (began, began + window);
        let mut events: Vec<Event> = Vec::with_capacity(self.at_once);
        while here.iter().any(Option::is_some) {
            look(&self.epoll, &mut events, PATIENCE)?;
            ensure!(!events.is_empty(), "the server has not answered for 5 s");
            for event in events.drain(..) {
                let index = event.data.u64() as usize;
                let Some(client) = &mut here[index] else { continue };
                if !client.take()? {
                    continue;
                }
                let sent = client.sent;
                here[index] = None; // close(2) is part of the visit
                last = now();
                times.add(last - sent);
                requests += 1;
                if last < ends && requests < MOST {
                    here[index] = Some(self.visit(index, last)?);
                }
            }
        }
        let (honest, naive) = (times.pairs(), Vec::new());
        Ok(Answers { requests, nanoseconds: last - began, honest, naive })
    }
}
