//! The load: a process of its own, with a fixed number of threads, which asks a server and
//! checks every answer. Orders come line by line on standard input, and each is answered
//! by one line of JSON on standard output.

use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use nix::sys::prctl::set_timerslack;
use nix::time::{ClockId, clock_gettime};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, Event};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with,
    sockopt,
};
use serde::{Deserialize, Serialize};

pub(super) mod client;
mod connections;
mod echo;
pub mod schedule;

use connections::Visitors;
use echo::Crowd;

/// How long one answer may take, in nanoseconds.
const PATIENCE: u64 = 5_000_000_000;
/// At most so many requests in one window of one thread.
const MOST: u64 = 2_000_000;
/// The longest window, in milliseconds.
const LONGEST: u64 = 10_000;

/// What the load does. Not for people: the bench starts it.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Where the server is: a path, or HOST:PORT
    #[arg(long)]
    to: Door,

    /// What its clients do
    #[arg(long, value_enum)]
    clients: Clients,

    /// So many of them at once
    #[arg(long)]
    busy: usize,

    /// So many more that say nothing
    #[arg(long, default_value_t = 0)]
    idle: usize,

    /// So many threads share the clients
    #[arg(long, default_value_t = 1)]
    threads: usize,

    /// Never sleep while requests are to come due: the load has its CPU for itself
    #[arg(long)]
    spins: bool,
}

/// What clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Clients {
    /// Stay, and send message after message
    Stay,
    /// Come, send one line, and leave
    Visit,
}

/// What one window has shown.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Seen {
    /// How many requests were answered, each as it should be.
    pub requests: u64,
    /// From before the first to after the last.
    pub nanoseconds: u64,
    /// How long each took; in an open loop from when it was due. Values, and how often.
    pub honest: Vec<(u64, u64)>,
    /// In an open loop, how long each took from when it was sent.
    pub naive: Vec<(u64, u64)>,
}

/// [`Seen`], and what it has cost the load.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Window {
    /// By all threads together.
    #[serde(flatten)]
    pub seen: Seen,
    /// The CPU time of the load's process in this window, in nanoseconds.
    pub cpu: u64,
}

/// One order, as a line of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// `closed NANOSECONDS`
    Closed {
        /// How long.
        window: u64,
    },
    /// `open NANOSECONDS RATE`
    Open {
        /// How long requests come due.
        window: u64,
        /// How many of them a second.
        rate: u64,
    },
}

impl std::fmt::Display for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Order::Closed { window } => write!(f, "closed {window}"),
            Order::Open { window, rate } => write!(f, "open {window} {rate}"),
        }
    }
}

impl FromStr for Order {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> Result<Order> {
        let mut words = line.split(' ');
        let name = words.next();
        let numbers: Vec<u64> = words.map(str::parse).collect::<Result<_, _>>()?;
        match (name, numbers.as_slice()) {
            (Some("closed"), [window]) => Ok(Order::Closed { window: *window }),
            (Some("open"), [window, rate]) if *rate > 0 => {
                Ok(Order::Open { window: *window, rate: *rate })
            }
            _ => bail!("no such order: {line:?}"),
        }
    }
}

/// The load's process: connects, says `ready`, and does what it is told until standard
/// input ends.
///
/// # Errors
/// The first wrong answer, or whatever else keeps the server from answering.
pub fn load(options: &Options) -> Result<()> {
    let Options { to, clients, busy, idle, threads, spins } = options;
    ensure!((1..=*busy).contains(threads), "--threads: more than clients, or none");
    // A sleep until a request is due should end then, not 50 µs later (prctl(2)).
    set_timerslack(1).context("prctl(PR_SET_TIMERSLACK)")?;
    let mut shares = Vec::new();
    let mut first = 0;
    for thread in 0..*threads {
        let part = |all: usize| all / threads + usize::from(thread < all % threads);
        let (busy, idle) = (part(*busy), part(*idle));
        shares.push(match clients {
            Clients::Stay => {
                Share::Stay(Crowd::connect(to, busy, idle, first, *spins)?)
            }
            Clients::Visit => Share::Visit(Visitors::new(to, busy, first)?),
        });
        first += busy + idle;
    }
    let mut out = wire::standard::Output;
    writeln!(out, "ready").context("write standard output")?;
    for line in wire::standard::Input::buffered()?.lines() {
        let order = line.context("read standard input")?.parse()?;
        let answer = serde_json::to_string(&window(&mut shares, order)?)?;
        writeln!(out, "{answer}").context("write standard output")?;
    }
    Ok(())
}

/// One thread's clients.
enum Share {
    Stay(Crowd),
    Visit(Visitors),
}

impl Share {
    fn follow(&mut self, order: Order, threads: u64) -> Result<Seen> {
        match (self, order) {
            (Share::Stay(crowd), Order::Closed { window }) => crowd.closed(window),
            (Share::Stay(crowd), Order::Open { window, rate }) => {
                crowd.open((rate / threads).max(1), window)
            }
            (Share::Visit(visitors), Order::Closed { window }) => {
                visitors.closed(window)
            }
            (Share::Visit(_), Order::Open { .. }) => {
                bail!("those who come and go have no open loop")
            }
        }
    }
}

/// One window by all threads at once.
fn window(shares: &mut [Share], order: Order) -> Result<Window> {
    let (Order::Closed { window } | Order::Open { window, .. }) = order;
    ensure!(window <= LONGEST * 1_000_000, "a window takes {LONGEST} ms at most");
    let threads = shares.len() as u64;
    let began = cpu_time()?;
    let all: Vec<Result<Seen>> = match shares {
        [only] => vec![only.follow(order, 1)],
        several => std::thread::scope(|scope| {
            let follow =
                |share| scope.spawn(move || Share::follow(share, order, threads));
            let running: Vec<_> = several.iter_mut().map(follow).collect();
            running
                .into_iter()
                .map(|thread| thread.join().expect("no panic"))
                .collect()
        }),
    };
    let cpu = cpu_time()?.saturating_sub(began);
    let mut seen =
        Seen { requests: 0, nanoseconds: 0, honest: vec![], naive: vec![] };
    for part in all {
        let part = part?;
        seen.requests += part.requests;
        seen.nanoseconds = seen.nanoseconds.max(part.nanoseconds);
        seen.honest.extend(part.honest);
        seen.naive.extend(part.naive);
    }
    Ok(Window { seen, cpu })
}

/// The CPU time of this process, in nanoseconds.
fn cpu_time() -> Result<u64> {
    let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID);
    Ok(Duration::from(time.context("clock_gettime")?).as_nanos() as u64)
}

/// Nanoseconds since the boot: CLOCK_MONOTONIC.
fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Waits for something to read, for so many nanoseconds at most. A signal looks as if
/// nothing came.
fn look(epoll: &OwnedFd, events: &mut Vec<Event>, most: u64) -> Result<()> {
    let timeout = Timespec {
        tv_sec: (most / 1_000_000_000) as i64,
        tv_nsec: (most % 1_000_000_000) as i64,
    };
    events.clear();
    // epoll_wait(2) counts in milliseconds, ppoll(2) in nanoseconds.
    let finer = !most.is_multiple_of(1_000_000);
    if finer {
        match poll(&mut [PollFd::new(epoll, PollFlags::IN)], Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) => return Ok(()),
            result => result.context("poll")?,
        };
    }
    match epoll::wait(epoll, spare_capacity(events), Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error).context("epoll_wait"),
    }
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Door {
    /// A Unix socket.
    Unix(PathBuf),
    /// A TCP port.
    Tcp(SocketAddr),
}

impl FromStr for Door {
    type Err = String;

    fn from_str(text: &str) -> Result<Door, String> {
        if text.starts_with('/') {
            return Ok(Door::Unix(text.into()));
        }
        let address =
            text.parse().map_err(|_| format!("{text:?}: no path, no HOST:PORT"));
        address.map(Door::Tcp)
    }
}

impl std::fmt::Display for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Door::Unix(path) => write!(f, "{}", path.display()),
            Door::Tcp(address) => write!(f, "{address}"),
        }
    }
}

impl Door {
    /// A connected socket that does not block.
    fn connect(&self) -> Result<OwnedFd> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let family = match self {
            Door::Unix(_) => AddressFamily::UNIX,
            Door::Tcp(SocketAddr::V4(_)) => AddressFamily::INET,
            Door::Tcp(SocketAddr::V6(_)) => AddressFamily::INET6,
        };
        let socket = socket_with(family, SocketType::STREAM, flags, None);
        let socket = socket.context("socket")?;
        match self {
            Door::Unix(path) => {
                let name = SocketAddrUnix::new(path).context("a path too long")?;
                let began = now();
                // EAGAIN: its queue is full (unix(7)). Nothing tells when it is not.
                while let Err(error) = connect(&socket, &name) {
                    let late = now() - began > PATIENCE;
                    if error != Errno::AGAIN || late {
                        return Err(error)
                            .with_context(|| format!("connect {self}"));
                    }
                    std::thread::sleep(Duration::from_micros(100));
                }
            }
            Door::Tcp(address) => {
                sockopt::set_tcp_nodelay(&socket, true).context("TCP_NODELAY")?;
                // A reset at the end: no port stays in TIME_WAIT, where they run out.
                sockopt::set_socket_linger(&socket, Some(Duration::ZERO))
                    .context("SO_LINGER")?;
                match connect(&socket, address) {
                    Ok(()) => {}
                    Err(Errno::INPROGRESS) => self.finish(&socket)?,
                    error => error.with_context(|| format!("connect {self}"))?,
                }
            }
        }
        Ok(socket)
    }

    /// Waits until a TCP connection is made.
    fn finish(&self, socket: &OwnedFd) -> Result<()> {
        let mut fds = [PollFd::new(socket, PollFlags::OUT)];
        let most =
            Timespec { tv_sec: (PATIENCE / 1_000_000_000) as i64, tv_nsec: 0 };
        let made = poll(&mut fds, Some(&most)).context("poll")?;
        ensure!(made == 1, "connect {self}: not made within 5 s");
        let error = sockopt::socket_error(socket).context("SO_ERROR")?;
        error.with_context(|| format!("connect {self}"))
    }
}
