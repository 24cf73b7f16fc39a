//! Clients that stay connected: each sends a message, and waits for the same message.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result, ensure};
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use super::address::ServerAddress;
use super::client::Client;
use super::schedule::Schedule;
use super::wait::{PATIENCE, look, now};
use super::window::{Answers, MOST};
use crate::servers::times::Times;

/// One load thread's clients.
#[derive(Debug)]
pub(super) struct StayingClients {
    busy: Vec<Client>,
    idle: Vec<Client>,
    epoll: OwnedFd,
    /// Whether it asks again and again instead of sleeping: it has a CPU for itself.
    spins: bool,
}

impl StayingClients {
    /// Connects `busy` clients and then `idle` ones, the first of them with the number
    /// `first`. The server has answered each of them once.
    ///
    /// # Errors
    /// ECONNREFUSED, EMFILE; a server that does not answer.
    pub(super) fn connect(
        address: &ServerAddress,
        busy: usize,
        idle: usize,
        first: usize,
        spins: bool,
    ) -> Result<StayingClients> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).context("epoll_create1")?;
        let mut clients = StayingClients {
            busy: Vec::with_capacity(busy + idle),
            idle: Vec::new(),
            epoll,
            spins,
        };
        for index in 0..busy + idle {
            let client = Client::new(address.connect()?, (first + index) as u64);
            let data = EventData::new_u64(index as u64);
            epoll::add(&clients.epoll, &client, data, EventFlags::IN)
                .context("epoll_ctl")?;
            clients.busy.push(client);
        }
        // All of them are served, also the clients that will send nothing more.
        let mut events = events();
        for some in (0..busy + idle).step_by(64) {
            let mut waiting = 0;
            for client in clients.busy.iter_mut().skip(some).take(64) {
                client.ask(now())?;
                waiting += 1;
            }
            while waiting > 0 {
                clients.wait(&mut events)?;
                for event in events.drain(..) {
                    waiting -= usize::from(clients.client(&event).take()?);
                }
            }
        }
        clients.idle = clients.busy.split_off(busy);
        for client in &clients.idle {
            epoll::delete(&clients.epoll, client).context("epoll_ctl")?;
        }
        Ok(clients)
    }

    /// Each client asks again once it is answered, for `window` nanoseconds.
    ///
    /// # Errors
    /// A wrong answer, none for a long while, or a server that is gone.
    pub(super) fn closed(&mut self, window: u64) -> Result<Answers> {
        let began = now();
        let (mut times, mut requests, mut events) = (Times::new(), 0, events());
        for client in &mut self.busy {
            client.ask(now())?;
        }
        let mut waiting = self.busy.len();
        let (mut last, ends) = (began, began + window);
        while waiting > 0 {
            self.wait(&mut events)?;
            for event in events.drain(..) {
                let client = self.client(&event);
                if !client.take()? {
                    continue;
                }
                last = now();
                times.add(last - client.sent);
                requests += 1;
                if last < ends && requests < MOST {
                    client.ask(last)?;
                } else {
                    waiting -= 1;
                }
            }
        }
        self.check_idle()?;
        let (honest, naive) = (times.pairs(), Vec::new());
        Ok(Answers { requests, nanoseconds: last - began, honest, naive })
    }

    /// Requests come due at `rate` a second for `window` nanoseconds, whatever the
    /// server does; all of them are sent and answered in the end.
    ///
    /// # Errors
    /// As [`StayingClients::closed`].
    pub(super) fn open(&mut self, rate: u64, window: u64) -> Result<Answers> {
        let window = window.min(MOST.saturating_mul(1_000_000_000) / rate.max(1));
        let began = now();
        let mut schedule = Schedule::new(self.busy.len(), rate, began, window);
        let (mut last, mut events) = (began, events());
        while !schedule.is_over() {
            while let Some(client) = schedule.start(now()) {
                self.busy[client].ask(now())?;
            }
            let sleep = match schedule.idle_for(now()) {
                Some(_) if self.spins => 0,
                Some(left) => left,
                None => PATIENCE,
            };
            self.look(&mut events, sleep)?;
            for event in events.drain(..) {
                if self.client(&event).take()? {
                    last = now();
                    schedule.answered(event.data.u64() as usize, last);
                }
            }
            ensure!(
                now().saturating_sub(last) < window + PATIENCE,
                "{} requests are due, and none was answered for 5 s",
                schedule.owed(now())
            );
        }
        self.check_idle()?;
        Ok(Answers {
            requests: schedule.honest.count(),
            nanoseconds: last - began,
            honest: schedule.honest.pairs(),
            naive: schedule.naive.pairs(),
        })
    }

    fn client(&mut self, event: &Event) -> &mut Client {
        &mut self.busy[event.data.u64() as usize]
    }

    /// Waits until a client has something to read.
    fn wait(&self, events: &mut Vec<Event>) -> Result<()> {
        self.look(events, PATIENCE)?;
        ensure!(!events.is_empty(), "the server has not answered for 5 s");
        Ok(())
    }

    /// epoll_wait(2), for so many nanoseconds at most.
    fn look(&self, events: &mut Vec<Event>, most: u64) -> Result<()> {
        look(&self.epoll, events, most)
    }

    /// The idle clients are still connected, and have received nothing.
    fn check_idle(&self) -> Result<()> {
        let lost = self.idle.iter().filter(|client| !client.is_silent()).count();
        ensure!(
            lost == 0,
            "{lost} of {} idle clients lost their server",
            self.idle.len()
        );
        Ok(())
    }
}

fn events() -> Vec<Event> {
    Vec::with_capacity(512)
}
