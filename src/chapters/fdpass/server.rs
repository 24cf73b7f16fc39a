//! The server: accepts clients, and passes each connection to one of its workers.
//!
//! One thread and one epoll(7): for clients, for workers that come, for what the workers
//! answer, and for the deadline of those that do not.

use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::resource::{Resource, getrlimit};
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use wire::say;

pub(super) use self::passing::Passing;
use super::guests::{self, Guests};
use super::multiprocessing::charge_of_one;
use super::pool::Pool;
use super::wire::{Protocol, Wire};
use super::{connections, door, named};
use wire::address::{self as tcp, Addresses, resolve};
use wire::errors::usage;
use wire::local::Name;
use wire::meet::{Presence, Rendezvous, SoleRole};
use wire::say::Commentary;
use wire::shortage::Shortage;

mod accept;
mod passing;

/// The options of a server.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    #[command(flatten)]
    passing: Passing,

    #[command(flatten)]
    wire: Wire,
}

/// Descriptors that no connection may take: our own few, and room for workers to come.
/// Without it, connections that wait for a worker could keep every worker out.
const SPARE: usize = 24;

/// What epoll(7) calls the socket where clients come, and that where workers come. Each
/// worker has a number of its own after these.
const CLIENTS: u64 = 0;
const DOOR: u64 = 1;

/// Everything that epoll(7) watches.
pub(super) struct Server<'a> {
    options: &'a Passing,
    epoll: OwnedFd,
    events: Vec<Event>,
    /// Where clients come, until `--count` of them have.
    clients: Option<Watched<TcpListener>>,
    /// Where workers come; `fork` has none.
    door: Option<Watched<UnixListener>>,
    protocol: Protocol,
    guests: Guests,
    /// What the kernel charges for a message of multiprocessing that lies unread.
    of_one: usize,
    pool: Pool,
    /// What epoll(7) will call the next one who comes.
    next_id: u64,
    /// How many descriptors this process may have open.
    most_open: usize,
    rests_until: Option<Instant>,
    /// Whether it has been said that accept(2) pauses.
    paused: bool,
    accepts: Commentary,
}

/// A socket, and whether epoll(7) tells when somebody comes to it.
#[derive(Debug)]
struct Watched<S> {
    socket: S,
    watched: bool,
}

/// Plays the role.
pub(super) fn run(rendezvous: &Rendezvous, options: &Options) -> Result<()> {
    let Options { passing, wire } = options;
    let addresses = resolve(&passing.listen)?;
    if wire.protocol == Protocol::Multiprocessing && passing.ack_timeout.is_some() {
        return Err(usage(
            "--ack-timeout is for --protocol plain: the workers of multiprocessing do \
             not acknowledge",
        ));
    }
    let guests = Guests::new(wire.rules()?, wire.handshake_timeout);
    let name = Name::path(rendezvous)?;
    // No worker finds us there without us: the names go when we do.
    let mut presence = rendezvous.arrive(Some(SoleRole::Server))?.removing_at_exit();
    let door = door::open(&name, &mut presence)?;
    let clients = listen(rendezvous, &addresses, &mut presence)?;
    let (worker, client) = (rendezvous.peer("worker"), rendezvous.peer("client"));
    let sleeps = "epoll_wait() sleeps until a worker or a client comes";
    say::waiting_at(sleeps, &[(&door, &worker), (&clients, &client)]);
    let mut server = Server::new(passing, clients)?;
    server.opens(door, wire.protocol, guests)?;
    server.run()
}

/// Listens for clients, and publishes where.
pub(super) fn listen(
    rendezvous: &Rendezvous,
    addresses: &Addresses,
    presence: &mut Presence,
) -> Result<TcpListener> {
    let (socket, address) = tcp::listen(addresses)?;
    tcp::publish(rendezvous, presence, address)?;
    presence.admit_peers()?;
    rendezvous.ready(address)?;
    Ok(TcpListener::from(socket))
}

// ANCHOR: loop
impl<'a> Server<'a> {
    /// A server of those who come to `clients`.
    pub(super) fn new(
        options: &'a Passing,
        clients: TcpListener,
    ) -> Result<Server<'a>> {
        // One that epoll(7) saw may be gone before accept(2), which then must not sleep.
        clients.set_nonblocking(true).context("fcntl(O_NONBLOCK)")?;
        let (most_open, _) =
            getrlimit(Resource::RLIMIT_NOFILE).context("getrlimit")?;
        let epoll = epoll::create(CreateFlags::CLOEXEC).context("epoll_create1")?;
        let server = Server {
            options,
            epoll,
            events: Vec::with_capacity(64),
            clients: None,
            door: None,
            protocol: Protocol::Plain,
            guests: Guests::new(None, Duration::ZERO),
            of_one: 1,
            pool: options.pool(),
            next_id: DOOR + 1,
            most_open: most_open.try_into().unwrap_or(usize::MAX),
            rests_until: None,
            paused: false,
            accepts: Commentary::of("accept"),
        };
        server.watch(&clients, CLIENTS, EventFlags::IN)?;
        let clients = Some(Watched { socket: clients, watched: true });
        Ok(Server { clients, ..server })
    }

    /// From now on workers come to `door`, and speak `protocol`.
    fn opens(
        &mut self,
        door: UnixListener,
        protocol: Protocol,
        guests: Guests,
    ) -> Result<()> {
        door.set_nonblocking(true).context("fcntl(O_NONBLOCK)")?;
        self.watch(&door, DOOR, EventFlags::IN)?;
        self.door = Some(Watched { socket: door, watched: true });
        (self.protocol, self.guests) = (protocol, guests);
        if protocol == Protocol::Multiprocessing {
            self.of_one = charge_of_one()?;
        }
        Ok(())
    }

    fn watch(&self, socket: impl AsFd, id: u64, events: EventFlags) -> Result<()> {
        let id = EventData::new_u64(id);
        epoll::add(&self.epoll, socket, id, events).context("epoll_ctl")
    }

    /// Passes on each connection, until workers hold `--count` of them.
    pub(super) fn run(mut self) -> Result<()> {
        while self.options.count.is_none_or(|count| self.pool.acknowledged < count) {
            self.pool.hand_out();
            if self.door.is_none() && self.pool.workers.is_empty() {
                bail!("the only worker is gone");
            }
            self.wait()?;
            for index in 0..self.events.len() {
                match self.events[index].data.u64() {
                    CLIENTS => self.let_in_clients()?,
                    DOOR => self.let_in_a_worker()?,
                    id => self.hear(id)?,
                }
            }
            let now = Instant::now();
            self.pool.cut_off_the_late(now);
            while let Some(late) = self.guests.next_late(now) {
                say::complain(&late);
            }
        }
        let all = connections(self.pool.acknowledged);
        match self.protocol {
            Protocol::Plain => say!("done: {all} passed on and acknowledged"),
            Protocol::Multiprocessing => say!("done: {all} passed on and read"),
        }
        Ok(())
    }

    /// How many connections may be held: `--hold`, or as many as we may have open.
    fn most_held(&self) -> usize {
        let others = self.pool.descriptors() - self.pool.held()
            + self.guests.number()
            + SPARE;
        let room = self.most_open.saturating_sub(others).max(1);
        room.min(self.options.hold as usize)
    }

    /// Sleeps until something comes, or a deadline passes.
    fn wait(&mut self) -> Result<()> {
        let now = Instant::now();
        let resting = self.rests_until.filter(|until| *until > now);
        let accepting = resting.is_none();
        // Enough are held that no worker has room for: the rest waits in the kernel.
        let (held, most) = (self.pool.held(), self.most_held());
        if held >= most && !self.paused {
            self.paused = true;
            let held = connections(held as u64);
            say!("{held} held: accept() pauses until a worker has room");
        }
        if let Some(clients) = &mut self.clients {
            clients.watch(&self.epoll, CLIENTS, accepting && held < most)?;
        }
        if let Some(door) = &mut self.door {
            let room = self.guests.number() < guests::MOST;
            door.watch(&self.epoll, DOOR, accepting && room)?;
        }
        let deadlines =
            [resting, self.pool.next_deadline(), self.guests.next_deadline()];
        let deadline = deadlines.into_iter().flatten().min();
        let left = deadline.map(|d| d.saturating_duration_since(now));
        let timeout =
            left.map(Timespec::try_from).transpose().context("epoll_wait")?;
        self.events.clear();
        let events = spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, events, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("epoll_wait"),
        }
    }
}

impl<S: AsFd> Watched<S> {
    /// From now on epoll(7) tells whether somebody comes, or does not.
    fn watch(&mut self, epoll: &OwnedFd, id: u64, watched: bool) -> Result<()> {
        if self.watched != watched {
            let events = if watched { EventFlags::IN } else { EventFlags::empty() };
            let id = EventData::new_u64(id);
            Shortage::default()
                .insist("epoll_ctl", || {
                    epoll::modify(epoll, &self.socket, id, events).map_err(named)
                })
                .context("epoll_ctl")?;
            self.watched = watched;
        }
        Ok(())
    }
}
// ANCHOR_END: loop
