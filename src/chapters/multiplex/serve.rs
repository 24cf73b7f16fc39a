//! The server's loop: one call that sleeps, and a turn for whatever is ready.

use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::read;

use super::connection::{Connection, Step};
use super::doors::Came;
use super::selector::{Events, Interest, Key};
use super::server::{Server, Token};
use super::sources::Read;
use super::stop::Signals;
use crate::errors::{Advise, line};
use crate::say;
use crate::wire::roles::messages;
use crate::wire::say::grouped;

/// So many clients are accepted at a time, and one is read so many times: then it is the
/// others' turn.
const TURNS: usize = 64;
/// How long accept(2) is left alone at most, when there was no descriptor for a client.
const REST: Duration = Duration::from_secs(1);
/// How long answers may take to go once a signal has come.
const GRACE: Duration = Duration::from_secs(1);

// ANCHOR: loop
impl Server<'_> {
    /// Serves until a signal has come, or the last of `--count` clients has left.
    pub(super) fn serve(&mut self) -> Result<()> {
        let mut ready = Vec::new();
        while !self.is_over() {
            let timeout = self.timeout();
            self.selector.select(timeout, &mut ready)?;
            self.say_what_is(&ready);
            for (key, _) in &ready {
                match key.data {
                    Token::Client(place) => self.serve_client(place)?,
                    Token::Door(index) => self.let_in(index)?,
                    Token::Source(index) => self.read_source(index)?,
                    Token::Signals => self.stop()?,
                    Token::Tick => self.tick()?,
                }
            }
            if self.rests_until.is_some_and(|until| until <= Instant::now()) {
                self.open_doors()?;
            }
        }
        Ok(())
    }

    /// Gives a client its turn. What it is ready for is a hint; what read(2) and write(2)
    /// return is the truth.
    fn serve_client(&mut self, place: usize) -> Result<()> {
        let Some(client) = &mut self.clients[place] else { return Ok(()) };
        let drains = self.options.edge;
        let mut drained = false;
        for _ in 0..if drains { TURNS } else { 1 } {
            drained = client.step(&mut self.desk)? == Step::Again;
            if client.is_over() || self.stopping.is_some() && !client.has_answers() {
                return self.let_go(place);
            }
            if drained {
                break;
            }
        }
        let wanted = client.wants() | self.trigger;
        // A change of interest; a one-shot that is spent; an edge whose data is not all
        // taken, which would never be told again. Nothing of this is needed for a client
        // that takes its answers, so its messages cost no call but read and write.
        if wanted != client.interest || self.options.oneshot || drains && !drained {
            client.interest = wanted;
            self.selector.modify(client.as_fd(), wanted)?;
        }
        Ok(())
    }
}
// ANCHOR_END: loop

// ANCHOR: let_in
impl Server<'_> {
    /// Accepts whoever waits at a door.
    fn let_in(&mut self, index: usize) -> Result<()> {
        for _ in 0..TURNS {
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
        let place = self.free.pop().unwrap_or(self.clients.len());
        let watched =
            self.selector.register(socket.as_fd(), interest, Token::Client(place));
        if let Err(error) = watched {
            // select(2) from 1,024 on: the client is told by the end of its stream.
            if place < self.clients.len() {
                self.free.push(place);
            }
            self.complain(error.context("a client was turned away"));
            return Ok(());
        }
        self.accepted += 1;
        let (number, fd) = (self.accepted, socket.as_raw_fd());
        let name = &self.doors[door].name;
        self.accepts.call(0, || format!("accept4({name}) = {fd}: client {number}"));
        if place == self.clients.len() {
            self.clients.push(None);
        }
        self.clients[place] = Some(Connection::new(socket, number, interest));
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
        self.complain(error.unwrap_err());
        self.close_doors()?;
        self.rests_until = Some(Instant::now() + REST);
        Ok(())
    }

    /// Forgets a client, and lets in another one if one waits.
    fn let_go(&mut self, place: usize) -> Result<()> {
        let Some(client) = self.clients[place].take() else { return Ok(()) };
        self.free.push(place);
        // Before it is closed: epoll would remember one that was duplicated.
        self.selector.unregister(client.as_fd())?;
        let number = client.number;
        if let Some(failure) = client.into_failure() {
            let lost = || format!("client {number} is lost: {}", line(&failure));
            self.losses.call(0, lost);
        }
        if self.rests_until.is_some() { self.open_doors() } else { Ok(()) }
    }
}
// ANCHOR_END: let_in

impl Server<'_> {
    fn is_over(&self) -> bool {
        let late = self.stopping.is_some_and(|(_, until)| until <= Instant::now());
        let ending = self.stopping.is_some() || self.has_all();
        self.desk.nobody_reads || late || ending && self.here() == 0
    }

    /// Whether all of `--count` have come.
    fn has_all(&self) -> bool {
        self.options.server.count.is_some_and(|count| self.accepted >= count)
    }

    /// How many clients there are.
    fn here(&self) -> usize {
        self.clients.len() - self.free.len()
    }

    fn timeout(&self) -> Option<Duration> {
        let grace = self.stopping.map(|(_, until)| until);
        let next = self.rests_until.into_iter().chain(grace).min();
        next.map(|until| until.saturating_duration_since(Instant::now()))
    }

    /// Watches the doors.
    pub(super) fn open_doors(&mut self) -> Result<()> {
        self.rests_until = None;
        for (index, door) in self.doors.iter().enumerate() {
            self.selector.register(
                door.as_fd(),
                Interest::READ,
                Token::Door(index),
            )?;
        }
        Ok(())
    }

    /// Watches them no longer.
    fn close_doors(&mut self) -> Result<()> {
        if self.rests_until.take().is_none() {
            for door in &self.doors {
                self.selector.unregister(door.as_fd())?;
            }
        }
        Ok(())
    }

    fn read_source(&mut self, index: usize) -> Result<()> {
        let source = self.sources.get_mut(index).and_then(Option::as_mut);
        let Some(source) = source else { return Ok(()) };
        match source.read(&mut self.desk)? {
            Read::More => Ok(()),
            Read::Anew(fd) => {
                self.selector.unregister(source.as_fd())?;
                source.continue_with(fd);
                let token = Token::Source(index);
                self.selector.register(source.as_fd(), Interest::READ, token)
            }
            Read::End(why) => {
                self.selector.unregister(source.as_fd())?;
                let name = source.name.clone();
                self.sources[index] = None;
                if let Some(error) = why {
                    self.complain(
                        error.context(format!("{name} is read no further")),
                    );
                }
                Ok(())
            }
        }
    }

    /// A signal has come: nobody new, and no new messages; answers may still go.
    fn stop(&mut self) -> Result<()> {
        let Some(signal) = self.signals.take()? else { return Ok(()) };
        if let Some((_, until)) = &mut self.stopping {
            *until = Instant::now(); // the second signal: at once
            return Ok(());
        }
        self.stopping = Some((signal, Instant::now() + GRACE));
        self.close_doors()?;
        self.doors.clear();
        say!(
            "read() of the signalfd: {signal}; doors are closed, answers may still go"
        );
        for place in 0..self.clients.len() {
            if self.clients[place]
                .as_ref()
                .is_some_and(|client| !client.has_answers())
            {
                self.let_go(place)?;
            }
        }
        Ok(())
    }

    /// Closes everything, and removes the names. What has come, as a signal, is returned.
    pub(super) fn close(self) -> (Signals, Option<Signal>) {
        let clients = self.accepted;
        say!(
            "done: clients: {}; {}",
            grouped(clients),
            messages(self.desk.messages)
        );
        (self.signals, self.stopping.map(|(signal, _)| signal))
    }

    fn say_what_is(&mut self, ready: &[(Key<Token>, Events)]) {
        let call = self.selector.call();
        self.waits.call(0, || {
            let count = ready.len();
            let all: Vec<String> = ready.iter().take(8).map(told).collect();
            let more = if count > all.len() { ", …" } else { "" };
            format!("{call}() = {count}: {}{more}", all.join(", "))
        });
    }

    /// One line of what goes wrong with clients, the first time; the rest is commentary.
    fn complain(&mut self, error: Error) {
        let text = line(&error);
        if self.complained {
            self.refusals.call(0, || text);
        } else {
            warn(&text);
        }
        self.complained = true;
    }
}

// ANCHOR: tick
impl Server<'_> {
    /// read(2) of the timer: 8 bytes, the number of times that it has expired.
    fn tick(&mut self) -> Result<()> {
        let Some(ticker) = &self.ticker else { return Ok(()) };
        let mut count = [0; 8];
        if read(ticker, &mut count) == Ok(count.len()) {
            let (count, clients) = (u64::from_ne_bytes(count), self.here());
            let messages = messages(self.desk.messages);
            say!(
                "tick: read() = {count} expired; clients: {clients}; {messages} so far"
            );
        }
        Ok(())
    }
}
// ANCHOR_END: tick

/// Says what went wrong, and goes on.
fn warn(text: &str) {
    let _ = writeln!(std::io::stderr(), "ipclab: {text}");
}

/// `7 to read`
fn told((key, events): &(Key<Token>, Events)) -> String {
    let what = match (events.read, events.write) {
        (_, false) => "to read",
        (false, true) => "to write",
        (true, true) => "to read and write",
    };
    format!("{} {what}", key.fd)
}
