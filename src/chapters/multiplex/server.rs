//! The server: everything that it watches.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use nix::sys::time::TimeSpec;
use nix::sys::timer::{Expiration, TimerSetTimeFlags};
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};

use super::complaint::Complaint;
use super::connection::NonblockingClient;
use super::inputs::WatchedInput;
use super::listener::NonblockingListener;
use super::messages::{Messages, Shared};
use super::options::Options;
use super::selector::{Interest, Selector};
use super::signals::EndingSignals;
use wire::frame::CHUNK;
use wire::meet::Rendezvous;
use wire::say;
use wire::say::Commentary;
use wire::shortage::Shortage;

/// What a descriptor is, to the server.
#[derive(Debug, Clone, Copy)]
pub(super) enum Token {
    Listener(usize),
    WatchedInput(usize),
    Client(usize),
    Signals,
    Tick,
}

/// All that the server watches, and the selector that watches it.
pub(super) struct MultiplexServer<'a> {
    pub(super) options: &'a Options,
    pub(super) selector: Box<dyn Selector<Token>>,
    pub(super) listeners: Vec<NonblockingListener>,
    pub(super) inputs: Vec<Option<WatchedInput>>,
    pub(super) clients: Vec<Option<NonblockingClient>>,
    /// The indices in `clients` that are free.
    pub(super) free: Vec<usize>,
    pub(super) signals: EndingSignals,
    pub(super) ticker: Option<TimerFd>,
    /// What is received lies here until it is answered: one buffer for all clients.
    pub(super) buffer: Vec<u8>,
    pub(super) shared: Shared,
    /// How clients are watched: level, edge, one-shot.
    pub(super) trigger: Interest,
    pub(super) accepted: u64,
    /// No room for a client: the listening sockets are not watched before this.
    pub(super) paused_until: Option<Instant>,
    pub(super) no_room: Complaint,
    pub(super) turned_away: Complaint,
    pub(super) stopping: Option<(Signal, Instant)>,
    pub(super) accepts: Commentary,
    pub(super) waits: Commentary,
    pub(super) shortage: Shortage,
}

impl<'a> MultiplexServer<'a> {
    /// Nothing is watched yet.
    pub(super) fn new(
        options: &'a Options,
        listeners: Vec<NonblockingListener>,
        inputs: Vec<WatchedInput>,
        signals: EndingSignals,
    ) -> Result<MultiplexServer<'a>> {
        let selector = options.with.open()?;
        let waits = Commentary::of(selector.call()).naming(8);
        let prints = !options.no_print;
        let messages = Messages::new(&options.server, prints, signals.duplicate()?)?;
        Ok(MultiplexServer {
            options,
            selector,
            listeners,
            inputs: inputs.into_iter().map(Some).collect(),
            clients: Vec::new(),
            free: Vec::new(),
            signals,
            ticker: options.tick.map(ticker).transpose()?,
            buffer: vec![0; CHUNK],
            shared: Shared::new(messages),
            trigger: options.trigger(),
            accepted: 0,
            paused_until: None,
            no_room: Complaint::of("times without room"),
            turned_away: Complaint::of("clients turned away"),
            stopping: None,
            accepts: Commentary::of("accept4"),
            waits,
            shortage: Shortage::default(),
        })
    }

    /// Registers everything that is there before the first client.
    pub(super) fn watch_all(&mut self) -> Result<()> {
        for (index, input) in self.inputs.iter().enumerate() {
            if let Some(input) = input {
                let (fd, token) = (input.as_fd(), Token::WatchedInput(index));
                self.selector
                    .register(fd, Interest::READ, token)
                    .with_context(|| input.name.clone())?;
            }
        }
        let signals = self.signals.as_fd();
        self.selector.register(signals, Interest::READ, Token::Signals)?;
        if let Some(ticker) = &self.ticker {
            self.selector.register(ticker.as_fd(), Interest::READ, Token::Tick)?;
        }
        self.watch_listeners()
    }

    /// Watches the listening sockets.
    pub(super) fn watch_listeners(&mut self) -> Result<()> {
        self.paused_until = None;
        for (index, listener) in self.listeners.iter().enumerate() {
            let token = Token::Listener(index);
            self.selector.register(listener.as_fd(), Interest::READ, token)?;
        }
        Ok(())
    }

    /// Whether all clients of `--count` have come.
    pub(super) fn has_all(&self) -> bool {
        self.options.server.count.is_some_and(|count| self.accepted >= count)
    }

    /// How many clients there are.
    pub(super) fn here(&self) -> usize {
        self.clients.len() - self.free.len()
    }

    /// Says where peers may connect.
    pub(super) fn announce(&self, rendezvous: &Rendezvous) -> Result<()> {
        let names: Vec<&str> =
            self.listeners.iter().map(|listener| &*listener.name).collect();
        rendezvous.ready(names.join(" "))?;
        let call = self.selector.call();
        let what =
            format!("{call}() sleeps until something is ready: a client, say");
        let client = rendezvous.peer("client");
        let listeners =
            self.listeners.iter().map(|listener| (listener as &dyn AsFd, &*client));
        say::waiting_at(what, &listeners.collect::<Vec<_>>());
        for NonblockingListener { name, option, .. } in self.listeners.iter().skip(1)
        {
            say!(
                "clients may come to {name}, too: multiplex client {option} {name}"
            );
        }
        Ok(())
    }
}

/// A descriptor that is readable every `every`: timerfd_create(2).
fn ticker(every: Duration) -> Result<TimerFd> {
    let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
    let timer =
        TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).context("timerfd_create")?;
    let every = Expiration::Interval(TimeSpec::from_duration(every));
    timer.set(every, TimerSetTimeFlags::empty()).context("timerfd_settime")?;
    Ok(timer)
}
