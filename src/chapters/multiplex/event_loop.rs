//! The server's loop: one call that sleeps, and a turn for whatever is ready.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Error, Result};
use nix::sys::signal::Signal;
use nix::unistd::read;

use super::connection::Progress;
use super::inputs::{InputState, WatchedInput};
use super::limits::{GRACE, TURN};
use super::selector::{Events, Interest, Registered};
use super::server::{MultiplexServer, Token};
use super::signals::EndingSignals;
use os::signal::is_to_end;
use wire::errors::errno;
use wire::roles::messages;
use wire::say;
use wire::say::count;
use wire::shortage::{Shortage, is_shortage};

// ANCHOR: loop
impl MultiplexServer<'_> {
    /// Serves until a signal has come, or the last of `--count` clients has left.
    pub(super) fn serve(&mut self) -> Result<()> {
        let mut ready = Vec::new();
        while !self.is_over() {
            let timeout = self.timeout();
            match self.selector.select(timeout, &mut ready) {
                Ok(()) => self.shortage.is_over(),
                Err(error) => self.rest_unless_fatal(error)?,
            }
            self.say_what_is(&ready);
            // What is ready was ready a moment ago. One turn may close another descriptor of
            // this round: then its token leads to nothing.
            for (key, _) in &ready {
                match key.data {
                    Token::Client(index) => self.serve_client(index)?,
                    Token::Listener(index) => self.accept_clients(index)?,
                    Token::WatchedInput(index) => self.read_input(index)?,
                    Token::Signals => self.stop()?,
                    Token::Tick => self.tick()?,
                }
            }
            self.shared.messages.print()?;
            if self.paused_until.is_some_and(|until| until <= Instant::now()) {
                self.resume_accepting()?;
            }
        }
        Ok(())
    }

    /// Gives a client its turn. What it is ready for is a hint; what recv(2) and send(2)
    /// return is the truth.
    fn serve_client(&mut self, index: usize) -> Result<()> {
        let Some(client) = &mut self.clients[index] else { return Ok(()) };
        // An edge is reported once, so all there is must be taken: until EAGAIN. A short read is
        // no proof of that, for the end of the stream may be behind it.
        let drains = self.options.edge;
        let mut drained = false;
        for _ in 0..if drains { TURN } else { 1 } {
            drained = client.step(&mut self.buffer, &mut self.shared)?
                == Progress::WouldBlock;
            let ending = self.stopping.is_some() && !client.has_answers();
            if client.is_over() || ending && client.may_be_closed() {
                return self.close_client(index);
            }
            if drained {
                break;
            }
        }
        let wanted = client.wants() | self.trigger;
        // A change of interest; a one-shot that is spent; an edge whose turn ended before all
        // was taken, which would never be reported again: epoll_ctl(2) looks anew. A client that
        // takes its answers costs no call but recv and send.
        if wanted != client.interest || self.options.oneshot || drains && !drained {
            client.interest = wanted;
            self.selector.modify(client.as_fd(), wanted)?;
        }
        Ok(())
    }
}
// ANCHOR_END: loop

impl MultiplexServer<'_> {
    /// The call that sleeps failed: for want of memory, it is made again after a rest. A
    /// signal that would end the sleep is looked for all the same.
    fn rest_unless_fatal(&mut self, error: Error) -> Result<()> {
        if !errno(&error).is_some_and(is_shortage) {
            return Err(error);
        }
        let call = self.selector.call();
        self.shortage.rest(error, call, Shortage::OF_MEMORY);
        if is_to_end() { self.stop() } else { Ok(()) }
    }

    fn is_over(&self) -> bool {
        let late = self.stopping.is_some_and(|(_, until)| until <= Instant::now());
        let ending = self.stopping.is_some() || self.has_all();
        self.shared.messages.stdout_closed || late || ending && self.here() == 0
    }

    fn timeout(&self) -> Option<Duration> {
        let grace = self.stopping.map(|(_, until)| until);
        let next = self.paused_until.into_iter().chain(grace).min();
        next.map(|until| until.saturating_duration_since(Instant::now()))
    }

    fn read_input(&mut self, index: usize) -> Result<()> {
        let input = self.inputs.get_mut(index).and_then(Option::as_mut);
        let Some(input) = input else { return Ok(()) };
        match input.read(&mut self.buffer, &mut self.shared)? {
            InputState::Open => {}
            InputState::Reopened(fd) => {
                self.selector.unregister(input.as_fd())?;
                input.continue_with(fd)?;
                let (fd, token) = (input.as_fd(), Token::WatchedInput(index));
                let watched = self.selector.register(fd, Interest::READ, token);
                if let Err(error) = watched {
                    self.forget_input(index, Some(error));
                }
            }
            InputState::Ended(why) => {
                self.selector.unregister(input.as_fd())?;
                self.forget_input(index, why);
            }
        }
        Ok(())
    }

    fn forget_input(&mut self, index: usize, why: Option<Error>) {
        let input = self.inputs[index].take();
        if let (Some(WatchedInput { name, .. }), Some(error)) = (input, why) {
            say::complain(&error.context(format!("{name} is read no further")));
        }
    }

    /// A signal has come: no new client, and no new messages; answers may still go.
    fn stop(&mut self) -> Result<()> {
        // Earlier messages are printed before the signal is taken: print() looks for the signal.
        self.shared.messages.print()?;
        let Some(signal) = self.signals.take()? else { return Ok(()) };
        if let Some((_, until)) = &mut self.stopping {
            *until = Instant::now(); // the second signal: at once
            return Ok(());
        }
        self.stopping = Some((signal, Instant::now() + GRACE));
        self.unwatch_listeners()?;
        self.listeners.clear();
        // An input that is read no further would be ready at all times, and what came from it
        // would have to be printed, though this signal may be the way out of a standard
        // output that takes nothing.
        for input in self.inputs.drain(..).flatten() {
            self.selector.unregister(input.as_fd())?;
        }
        say!(
            "read() of the signalfd: {signal}; the listening sockets are closed, \
             answers may still be sent"
        );
        for index in 0..self.clients.len() {
            let Some(client) = &mut self.clients[index] else { continue };
            match client.has_answers() {
                true => {}
                false if client.may_be_closed() => self.close_client(index)?,
                false => self.serve_client(index)?, // drops what it has sent
            }
        }
        Ok(())
    }

    /// Closes everything, and removes the names; returns the signal that has come.
    pub(super) fn close(self) -> (EndingSignals, Option<Signal>) {
        let clients = count(self.accepted, "client");
        say!("done: {clients}; {}", messages(self.shared.messages.count));
        (self.signals, self.stopping.map(|(signal, _)| signal))
    }

    fn say_what_is(&mut self, ready: &[(Registered<Token>, Events)]) {
        let selector = &self.selector;
        self.waits.call(0, || {
            let call = selector.call();
            let number = ready.len();
            let all: Vec<String> = ready.iter().take(8).map(described).collect();
            let more = if number > all.len() { ", …" } else { "" };
            format!("{call}() = {number}: {}{more}", all.join(", "))
        });
    }
}

// ANCHOR: tick
impl MultiplexServer<'_> {
    /// read(2) of the timer: 8 bytes, the number of times that it has expired.
    fn tick(&mut self) -> Result<()> {
        let Some(ticker) = &self.ticker else { return Ok(()) };
        let mut expired = [0; 8];
        if read(ticker, &mut expired) == Ok(expired.len()) {
            let expired = u64::from_ne_bytes(expired);
            let clients = count(self.here() as u64, "client");
            let messages = messages(self.shared.messages.count);
            say!("tick: read() = {expired} expired; {clients}; {messages} so far");
        }
        Ok(())
    }
}
// ANCHOR_END: tick

/// `7 to read`
fn described((key, events): &(Registered<Token>, Events)) -> String {
    let what = match (events.read, events.write) {
        (_, false) => "to read",
        (false, true) => "to write",
        (true, true) => "to read and write",
    };
    format!("{} {what}", key.fd)
}
