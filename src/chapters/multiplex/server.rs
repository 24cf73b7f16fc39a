//! The server: what it was asked for, and everything that it watches from the start.

use std::collections::HashSet;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::time::TimeSpec;
use nix::sys::timer::{Expiration, TimerSetTimeFlags};
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};

use super::coming::Complaint;
use super::connection::Connection;
use super::doors::{self, Door};
use super::inputs::{self, WatchedInput};
use super::messages::{Messages, Shared};
use super::selector::{Interest, Selector, With};
use super::signals::Signals;
use wire::address::resolve;
use wire::dialogue;
use wire::errors::usage;
use wire::frame::CHUNK;
use wire::meet::{Meets, Rendezvous};
use wire::roles::seconds;
use wire::say;
use wire::say::{Commentary, grouped};
use wire::shortage::Shortage;
use wire::standard;

/// The options of a server.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The system call that waits for all descriptors
    #[arg(long, value_enum, value_name = "CALL", default_value = "default")]
    with: With,

    /// Be told when a client becomes ready, not for as long as it is (EPOLLET)
    #[arg(long)]
    pub(super) edge: bool,

    /// Be told once of a client that is ready, until asked for again (EPOLLONESHOT)
    #[arg(long)]
    pub(super) oneshot: bool,

    /// Listen at this TCP address, too; port 0 is any free one; repeatable
    #[arg(long, value_name = "HOST:PORT")]
    tcp: Vec<String>,

    /// Listen at this Unix socket, too; repeatable
    #[arg(long, value_name = "PATH")]
    unix: Vec<String>,

    /// Print the messages that come through this FIFO, too; repeatable
    #[arg(long, value_name = "PATH")]
    fifo: Vec<String>,

    /// Print the messages of this POSIX queue, too; repeatable
    #[arg(long, value_name = "NAME")]
    queue: Vec<String>,

    /// Print the messages of standard input, too
    #[arg(long)]
    stdin: bool,

    /// Say every SECONDS how many clients there are
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    tick: Option<Duration>,

    /// Answer, but print nothing on standard output
    #[arg(long)]
    no_print: bool,

    #[command(flatten)]
    pub(super) server: dialogue::Server,
}

/// At most so many names of `--unix`, `--fifo` and `--queue`: each is a meeting place.
const NAMES: usize = 12;

/// What a descriptor is, to the server.
#[derive(Debug, Clone, Copy)]
pub(super) enum Token {
    Door(usize),
    WatchedInput(usize),
    Client(usize),
    Signals,
    Tick,
}

/// All that it watches, and what it is watched by.
pub(super) struct Server<'a> {
    pub(super) options: &'a Options,
    pub(super) selector: Box<dyn Selector<Token>>,
    pub(super) doors: Vec<Door>,
    pub(super) inputs: Vec<Option<WatchedInput>>,
    pub(super) clients: Vec<Option<Connection>>,
    /// The places in `clients` that are free.
    pub(super) free: Vec<usize>,
    pub(super) signals: Signals,
    pub(super) ticker: Option<TimerFd>,
    /// What is received lies here until it is answered: one buffer for all clients.
    pub(super) buffer: Vec<u8>,
    pub(super) shared: Shared,
    /// How clients are watched: level, edge, one-shot.
    pub(super) trigger: Interest,
    pub(super) accepted: u64,
    /// No room for a client: the doors are not watched before this.
    pub(super) rests_until: Option<Instant>,
    pub(super) no_room: Complaint,
    pub(super) turned_away: Complaint,
    pub(super) stopping: Option<(Signal, Instant)>,
    pub(super) accepts: Commentary,
    pub(super) waits: Commentary,
    pub(super) shortage: Shortage,
}

/// Plays the role.
pub(super) fn run(rendezvous: &Rendezvous, options: &Options) -> Result<()> {
    options.check()?;
    if !options.no_print {
        standard::output()?;
    }
    let unix = places("unix", Meets::Path, &options.unix)?;
    let fifos = places("fifo", Meets::Path, &options.fifo)?;
    let queues = places("posixmq", Meets::Kernel, &options.queue)?;
    each_once([rendezvous].into_iter().chain(&unix).chain(&fifos).chain(&queues))?;
    raise_limit()?;
    let mut doors = vec![doors::unix(rendezvous)?];
    for rendezvous in &unix {
        doors.push(doors::unix(rendezvous)?);
    }
    for address in &options.tcp {
        doors.push(doors::tcp(&resolve(address)?)?);
    }
    let mut inputs = Vec::new();
    for rendezvous in &fifos {
        inputs.push(inputs::fifo(rendezvous)?);
    }
    for rendezvous in &queues {
        inputs.push(inputs::queue(rendezvous)?);
    }
    if options.stdin {
        inputs.push(inputs::stdin()?);
    }
    let signals = Signals::watch()?;
    let mut server = Server::new(options, doors, inputs, signals)?;
    server.watch_all()?;
    server.announce(rendezvous)?;
    server.serve()?;
    let (signals, stopped_by) = server.close();
    stopped_by.map_or(Ok(()), |signal| signals.end_by(signal))
}

impl Options {
    /// Refuses what cannot be, before anything is opened.
    fn check(&self) -> Result<()> {
        if (self.edge || self.oneshot)
            && matches!(self.with, With::Select | With::Poll)
        {
            let with = self.with;
            return Err(usage(format!(
                "{with} tells a descriptor's level alone: --edge and --oneshot take \
                 --with epoll"
            )));
        }
        Ok(())
    }

    fn trigger(&self) -> Interest {
        let edge = if self.edge { Interest::EDGE } else { Interest::LEVEL };
        let oneshot = if self.oneshot { Interest::ONESHOT } else { Interest::LEVEL };
        edge | oneshot
    }
}

/// The meeting places of these names.
fn places(
    chapter: &'static str,
    meets: Meets,
    names: &[String],
) -> Result<Vec<Rendezvous>> {
    names
        .iter()
        .map(|name| Rendezvous::new(chapter, meets, Some(name.clone())))
        .collect()
}

/// Refuses a place that is named twice: who enters it again and then leaves gives up the
/// locks of the first time, too, and its name would stay behind (fcntl_locking(2)).
fn each_once<'a>(all: impl Iterator<Item = &'a Rendezvous>) -> Result<()> {
    let mut seen = HashSet::new();
    for rendezvous in all {
        let lock = rendezvous.lock_path();
        let dir = lock.parent().map(|dir| dir.canonicalize().unwrap_or(dir.into()));
        let file = lock.file_name().map(ToOwned::to_owned);
        if !seen.insert((dir, file)) {
            let name = rendezvous.given().unwrap_or("multiplex");
            return Err(usage(format!("{name} is named twice")));
        }
    }
    if seen.len() > 1 + NAMES {
        return Err(usage(format!("at most {NAMES} of --unix, --fifo and --queue")));
    }
    Ok(())
}

/// A descriptor a client: the soft limit of descriptors becomes the hard one.
fn raise_limit() -> Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("getrlimit")?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("setrlimit")?;
        let (soft, hard) = (grouped(soft), grouped(hard));
        say!("setrlimit(RLIMIT_NOFILE): {hard} descriptors instead of {soft}");
    }
    Ok(())
}

impl<'a> Server<'a> {
    /// Nothing is watched yet.
    pub(super) fn new(
        options: &'a Options,
        doors: Vec<Door>,
        inputs: Vec<WatchedInput>,
        signals: Signals,
    ) -> Result<Server<'a>> {
        let selector = options.with.open()?;
        let waits = Commentary::of(selector.call()).naming(8);
        let prints = !options.no_print;
        let messages = Messages::new(&options.server, prints, signals.duplicate()?)?;
        Ok(Server {
            options,
            selector,
            doors,
            inputs: inputs.into_iter().map(Some).collect(),
            clients: Vec::new(),
            free: Vec::new(),
            signals,
            ticker: options.tick.map(ticker).transpose()?,
            buffer: vec![0; CHUNK],
            shared: Shared::new(messages),
            trigger: options.trigger(),
            accepted: 0,
            rests_until: None,
            no_room: Complaint::of("times without room"),
            turned_away: Complaint::of("clients turned away"),
            stopping: None,
            accepts: Commentary::of("accept4"),
            waits,
            shortage: Shortage::default(),
        })
    }

    /// Registers everything that is there before the first client.
    fn watch_all(&mut self) -> Result<()> {
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
        self.open_doors()
    }

    /// Says where peers may come.
    fn announce(&self, rendezvous: &Rendezvous) -> Result<()> {
        let names: Vec<&str> = self.doors.iter().map(|door| &*door.name).collect();
        rendezvous.ready(names.join(" "))?;
        let call = self.selector.call();
        let what =
            format!("{call}() sleeps until something is ready: a client, say");
        let client = rendezvous.peer("client");
        let doors = self.doors.iter().map(|door| (door as &dyn AsFd, &*client));
        say::waiting_at(what, &doors.collect::<Vec<_>>());
        for Door { name, option, .. } in self.doors.iter().skip(1) {
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
