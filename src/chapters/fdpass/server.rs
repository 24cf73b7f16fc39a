//! The server: accepts clients, and passes each connection to one of its workers.
//!
//! One thread and one epoll(7): for new clients, for new workers, for the workers'
//! acknowledgements, and for the deadlines of late workers.

use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use self::accept::WatchedListener;
use super::more::multiprocessing::{
    Handshakes, MOST_HANDSHAKES, UnreadMessages, charge_of_one_message,
};
use super::options::{PassingOptions, Protocol, ServerOptions};
use super::plain::AcknowledgementReader;
use super::pool::{Acknowledgement, WorkerPool};
use super::rendezvous::{listen_for_clients, listen_for_workers};
use os::calls::nix_errno;
use wire::address::resolve;
use wire::errors::usage;
use wire::local::Name;
use wire::meet::{Rendezvous, SoleRole};
use wire::say;
use wire::say::Commentary;
use wire::say::count;
use wire::shortage::Shortage;

mod accept;

/// Descriptors that no connection may take: our own few, and room for workers to come.
/// Without it, connections that wait for a worker could keep every worker out.
const SPARE: usize = 24;

/// The numbers that epoll(7) reports for the listening sockets, of clients and of workers. Each
/// worker has a number of its own after these.
const CLIENTS: u64 = 0;
const WORKERS: u64 = 1;

/// Everything that epoll(7) watches.
pub(super) struct FdpassServer<'a> {
    options: &'a PassingOptions,
    epoll: OwnedFd,
    events: Vec<Event>,
    /// The listening socket for clients, until `--count` of them have come.
    clients: Option<WatchedListener<TcpListener>>,
    /// The listening socket for workers; `fork` has none.
    workers: Option<WatchedListener<UnixListener>>,
    pool: WorkerPool,
    protocol: Protocol,
    /// The processes that want to be workers (multiprocessing).
    handshakes: Handshakes,
    /// What the kernel charges for a message of multiprocessing that lies unread.
    charge_of_one: usize,
    /// The number that epoll(7) reports for the newest worker.
    newest_id: u64,
    /// How many descriptors this process may have open.
    most_open: usize,
    /// When accept(2) is called again, after a resource error.
    accept_paused_until: Option<Instant>,
    /// Whether it has been said that accept(2) pauses.
    said_full: bool,
    accepts: Commentary,
}

/// Plays the role.
pub(super) fn run(rendezvous: &Rendezvous, options: &ServerOptions) -> Result<()> {
    let ServerOptions { passing, wire } = options;
    let addresses = resolve(&passing.listen)?;
    if wire.protocol == Protocol::Multiprocessing && passing.ack_timeout.is_some() {
        return Err(usage(
            "--ack-timeout is for --protocol plain: the workers of multiprocessing do \
             not acknowledge",
        ));
    }
    let handshakes = Handshakes::new(wire.rules()?, wire.handshake_timeout);
    let name = Name::path(rendezvous)?;
    // Without the server no worker finds the names: they go when it leaves.
    let mut presence = rendezvous.arrive(Some(SoleRole::Server))?.removing_at_exit();
    let workers = listen_for_workers(&name, &mut presence)?;
    let clients = listen_for_clients(rendezvous, &addresses, &mut presence)?;
    let (worker, client) = (rendezvous.peer("worker"), rendezvous.peer("client"));
    let sleeps = "epoll_wait() sleeps until a worker or a client comes";
    say::waiting_at(sleeps, &[(&workers, &worker), (&clients, &client)]);
    let mut server = FdpassServer::new(passing, clients)?;
    server.accept_workers_from(workers, wire.protocol, handshakes)?;
    server.run()
}

// ANCHOR: loop
impl FdpassServer<'_> {
    /// Passes on each connection, until workers hold `--count` of them.
    pub(super) fn run(mut self) -> Result<()> {
        while self.options.count.is_none_or(|count| self.pool.acknowledged < count) {
            self.pool.hand_out();
            if self.workers.is_none() && self.pool.workers.is_empty() {
                bail!("the only worker is gone");
            }
            self.wait()?;
            for index in 0..self.events.len() {
                match self.events[index].data.u64() {
                    CLIENTS => self.accept_clients()?,
                    WORKERS => self.accept_worker()?,
                    id => self.on_worker_readable(id)?,
                }
            }
            let now = Instant::now();
            self.pool.evict_late_workers(now);
            while let Some(late) = self.handshakes.next_late(now) {
                say::complain(&late);
            }
        }
        let all = count(self.pool.acknowledged, "connection");
        match self.protocol {
            Protocol::Plain => say!("done: {all} passed on and acknowledged"),
            Protocol::Multiprocessing => say!("done: {all} passed on and read"),
        }
        Ok(())
    }

    /// The worker `id` has sent acknowledgements, or has closed its end. (With
    /// multiprocessing it may also be a process that is still in the handshake.)
    fn on_worker_readable(&mut self, id: u64) -> Result<()> {
        if self.pool.read_acknowledgements_of(id) {
            return Ok(());
        }
        self.continue_handshake(id)
    }

    /// Sleeps until a socket is ready, or a deadline passes.
    fn wait(&mut self) -> Result<()> {
        let now = Instant::now();
        let paused = self.accept_paused_until.filter(|until| *until > now);
        let accepting = paused.is_none();
        // Enough connections wait for a worker: the rest waits in the backlog.
        let (held, most) = (self.pool.held(), self.most_held());
        if held >= most && !self.said_full {
            self.said_full = true;
            let held = count(held as u64, "connection");
            say!("{held} held: accept() pauses until a worker has room");
        }
        if let Some(clients) = &mut self.clients {
            clients.watch(&self.epoll, CLIENTS, accepting && held < most)?;
        }
        if let Some(workers) = &mut self.workers {
            let room = self.handshakes.number() < MOST_HANDSHAKES;
            workers.watch(&self.epoll, WORKERS, accepting && room)?;
        }
        let deadlines =
            [paused, self.pool.next_deadline(), self.handshakes.next_deadline()];
        let deadline = deadlines.into_iter().flatten().min();
        let left = deadline.map(|d| d.saturating_duration_since(now));
        let timeout =
            left.map(Timespec::try_from).transpose().context("epoll_wait")?;
        self.events.clear();
        let events = spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, events, timeout.as_ref()).map_err(nix_errno) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error).context("epoll_wait"),
        }
    }

    /// How many connections may be held: `--hold`, or as many as we may have open.
    fn most_held(&self) -> usize {
        let others = self.pool.descriptors() - self.pool.held()
            + self.handshakes.number()
            + SPARE;
        let room = self.most_open.saturating_sub(others).max(1);
        room.min(self.options.hold as usize)
    }
}
// ANCHOR_END: loop

impl<'a> FdpassServer<'a> {
    /// A server that accepts clients from `clients`.
    pub(super) fn new(
        options: &'a PassingOptions,
        clients: TcpListener,
    ) -> Result<FdpassServer<'a>> {
        // A client may be gone between epoll_wait(2) and accept(2), which must not sleep.
        clients.set_nonblocking(true).context("fcntl(O_NONBLOCK)")?;
        let (most_open, _) =
            getrlimit(Resource::RLIMIT_NOFILE).context("getrlimit")?;
        let epoll = epoll::create(CreateFlags::CLOEXEC).context("epoll_create1")?;
        let ack_timeout = options.ack_timeout.unwrap_or(Duration::from_secs(5));
        let server = FdpassServer {
            options,
            epoll,
            events: Vec::with_capacity(64),
            clients: None,
            workers: None,
            pool: WorkerPool::new(options.in_flight.into(), ack_timeout),
            protocol: Protocol::Plain,
            handshakes: Handshakes::new(None, Duration::ZERO),
            charge_of_one: 1,
            newest_id: WORKERS + 1,
            most_open: most_open.try_into().unwrap_or(usize::MAX),
            accept_paused_until: None,
            said_full: false,
            accepts: Commentary::of("accept"),
        };
        server.watch(&clients, CLIENTS, EventFlags::IN)?;
        let clients = Some(WatchedListener::new(clients));
        Ok(FdpassServer { clients, ..server })
    }

    /// From now on workers are accepted from `workers`, and speak `protocol`.
    fn accept_workers_from(
        &mut self,
        workers: UnixListener,
        protocol: Protocol,
        handshakes: Handshakes,
    ) -> Result<()> {
        workers.set_nonblocking(true).context("fcntl(O_NONBLOCK)")?;
        self.watch(&workers, WORKERS, EventFlags::IN)?;
        self.workers = Some(WatchedListener::new(workers));
        (self.protocol, self.handshakes) = (protocol, handshakes);
        if protocol == Protocol::Multiprocessing {
            self.charge_of_one = charge_of_one_message()?;
        }
        Ok(())
    }

    fn watch(&self, socket: impl AsFd, id: u64, events: EventFlags) -> Result<()> {
        let id = EventData::new_u64(id);
        epoll::add(&self.epoll, socket, id, events).context("epoll_ctl")
    }

    fn new_id(&mut self) -> u64 {
        self.newest_id += 1;
        self.newest_id
    }

    /// The process `pid` is a worker of the plain protocol from now on.
    pub(super) fn add_worker(&mut self, pid: i32, socket: UnixStream) -> Result<()> {
        let id = self.new_id();
        self.watch(&socket, id, EventFlags::IN)?;
        let reader = AcknowledgementReader::default();
        self.pool.add(id, pid, socket, Acknowledgement::Explicit(reader));
        Ok(())
    }

    // ANCHOR: handshake
    /// Multiprocessing: begins the handshake with the process `pid`.
    fn begin_handshake(&mut self, pid: i32, socket: UnixStream) -> Result<()> {
        let id = self.new_id();
        self.watch(&socket, id, EventFlags::IN)?;
        self.handshakes.begin(id, pid, socket)
    }

    /// Multiprocessing: continues the handshake with the peer `id`, which has sent something.
    /// At its end the peer is a worker.
    fn continue_handshake(&mut self, id: u64) -> Result<()> {
        let peer = match self.handshakes.advance(id) {
            None => return Ok(()),
            Some(Err(error)) => {
                say::complain(&error);
                return Ok(());
            }
            Some(Ok(peer)) => peer,
        };
        // Edge-triggered: OUT comes once each time that the worker has read something,
        // not for as long as there is room, which would be always.
        let events = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
        let data = EventData::new_u64(id);
        let modify = || {
            epoll::modify(&self.epoll, &peer.socket, data, events).map_err(nix_errno)
        };
        Shortage::default().retry("epoll_ctl", modify).context("epoll_ctl")?;
        say!("worker {} has sent its pid, and is one of us", peer.pid);
        let unread = UnreadMessages::new(self.charge_of_one);
        let implicit = Acknowledgement::Implicit(unread);
        self.pool.add(id, peer.pid, peer.socket, implicit);
        Ok(())
    }
    // ANCHOR_END: handshake
}
