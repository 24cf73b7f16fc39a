//! The server: accepts clients, and passes each connection to one of its workers.
//!
//! One thread and one poll(2): for clients, for workers that come, for what the workers
//! answer, and for the deadline of those that do not.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::plain::known_peer;
use super::pool::Pool;
use super::{connections, door};
use crate::errors::{Advise, line};
use crate::os::cleanup::Object;
use crate::say;
use crate::wire::address::{self, note_of, resolve};
use crate::wire::meet::{At, Only, Place};
use crate::wire::roles::seconds;
use crate::wire::say::{self, Tally};

/// The options of a server.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Where clients connect by TCP; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", default_value = super::ADDRESS)]
    pub(super) listen: String,

    /// Stop after N connections, once workers have acknowledged them all
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,

    /// Hold at most N connections for which no worker has room, then accept no more
    #[arg(long, value_name = "N", default_value_t = 64)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) hold: u32,

    /// Cut off a worker that leaves a connection SECONDS without an OK
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(super) ack_timeout: Duration,
}

/// Descriptors that no connection may take: our own few, and room for workers to come.
/// Without it, connections that wait for a worker could keep every worker out.
const SPARE: usize = 24;

/// How long accept(2) is left alone after it failed for want of something.
const REST: Duration = Duration::from_millis(100);

/// Everything that poll(2) watches.
#[derive(Debug)]
pub(super) struct Server<'a> {
    options: &'a Options,
    /// Where clients come, until `--count` of them have.
    clients: Option<TcpListener>,
    /// Where workers come; `fork` has none.
    door: Option<UnixListener>,
    pool: Pool,
    /// How many descriptors this process may have open.
    most_open: usize,
    rests_until: Option<Instant>,
    /// Whether it has been said that accept(2) pauses.
    paused: bool,
    accepts: Tally,
}

/// Plays the role.
pub(super) fn run(at: &At, options: &Options) -> Result<()> {
    let address = resolve(&options.listen)?;
    door::check(&at.path())?;
    let mut place = at.arrive(Some(Only::Server))?;
    let door = door::open(at, &mut place)?;
    let clients = listen(at, address, &mut place)?;
    say::waiting(
        "poll() sleeps until a worker or a client comes",
        &at.peer("worker"),
    );
    say::start_the_other(&at.peer("client"));
    let pool = Pool::new(options.ack_timeout);
    Server::new(options, clients, Some(door), pool)?.run()
}

/// Listens for clients, and publishes where.
pub(super) fn listen(
    at: &At,
    address: SocketAddr,
    place: &mut Place,
) -> Result<TcpListener> {
    let (socket, address) = address::listen(address)?;
    address::publish(at, place, address)?;
    place.owns_alone(&Object::Path(note_of(at)))?;
    place.open_to_all()?;
    at.ready(address)?;
    Ok(TcpListener::from(socket))
}

// ANCHOR: loop
impl<'a> Server<'a> {
    /// A server of those who come to `clients`; `door` is where workers come.
    pub(super) fn new(
        options: &'a Options,
        clients: TcpListener,
        door: Option<UnixListener>,
        pool: Pool,
    ) -> Result<Server<'a>> {
        // One that poll(2) saw may be gone before accept(2), which then must not sleep.
        clients.set_nonblocking(true).context("fcntl(O_NONBLOCK)")?;
        if let Some(door) = &door {
            door.set_nonblocking(true).context("fcntl(O_NONBLOCK)")?;
        }
        let (most_open, _) =
            getrlimit(Resource::RLIMIT_NOFILE).context("getrlimit")?;
        Ok(Server {
            options,
            clients: Some(clients),
            door,
            pool,
            most_open: most_open.try_into().unwrap_or(usize::MAX),
            rests_until: None,
            paused: false,
            accepts: Tally::of("accept"),
        })
    }

    /// Passes on each connection, until `--count` of them are acknowledged.
    pub(super) fn run(mut self) -> Result<()> {
        while self.options.count.is_none_or(|count| self.pool.acknowledged < count) {
            self.pool.hand_out();
            if self.door.is_none() && self.pool.workers.is_empty() {
                bail!("the only worker is gone");
            }
            let ready = self.wait()?;
            // From the last, since one that is cut off leaves the list.
            for place in (0..self.pool.workers.len()).rev() {
                if !self.pool.cut_off_if_late(place) && ready.workers[place] {
                    self.pool.hear(place);
                }
            }
            if ready.door {
                self.let_in_a_worker()?;
            }
            if ready.clients {
                self.let_in_a_client()?;
            }
        }
        let all = connections(self.pool.acknowledged);
        say!("done: {all} passed on and acknowledged");
        Ok(())
    }

    /// How many connections may be held: `--hold`, or as many as we may have open.
    fn most_held(&self) -> usize {
        let others = self.pool.descriptors() - self.pool.held() + SPARE;
        let room = self.most_open.saturating_sub(others).max(1);
        room.min(self.options.hold as usize)
    }

    /// Sleeps until something comes, or a deadline passes.
    fn wait(&mut self) -> Result<Ready> {
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
        let clients = self.clients.as_ref().filter(|_| accepting && held < most);
        let door = self.door.as_ref().filter(|_| accepting);

        let workers = self.pool.workers.len();
        let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(workers + 2);
        fds.extend(
            self.pool.workers.iter().map(|w| PollFd::new(&w.socket, PollFlags::IN)),
        );
        fds.extend(door.map(|door| PollFd::new(door, PollFlags::IN)));
        fds.extend(clients.map(|clients| PollFd::new(clients, PollFlags::IN)));

        let deadline = resting.into_iter().chain(self.pool.next_deadline()).min();
        let left = deadline.map(|d| d.saturating_duration_since(now));
        let timeout = left.map(Timespec::try_from).transpose().context("poll")?;
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("poll"),
        }
        let mut came = fds.iter().map(|fd| !fd.revents().is_empty());
        Ok(Ready {
            workers: came.by_ref().take(workers).collect(),
            door: door.is_some() && came.next() == Some(true),
            clients: clients.is_some() && came.next() == Some(true),
        })
    }
}

/// What has something for us.
struct Ready {
    workers: Vec<bool>,
    door: bool,
    clients: bool,
}
// ANCHOR_END: loop

// ANCHOR: accept
impl Server<'_> {
    fn let_in_a_worker(&mut self) -> Result<()> {
        let Some(door) = &self.door else { return Ok(()) };
        let Some((socket, _)) = self.rests_unless(door.accept())? else {
            return Ok(());
        };
        match known_peer(&socket) {
            Ok(pid) => {
                say!("accept() = {}: worker {pid} has come", socket.as_raw_fd());
                self.pool.join(pid, socket);
            }
            Err(error) => complain(&error.context("a worker")),
        }
        Ok(())
    }

    fn let_in_a_client(&mut self) -> Result<()> {
        let Some(clients) = &self.clients else { return Ok(()) };
        let Some((socket, from)) = self.rests_unless(clients.accept())? else {
            return Ok(());
        };
        let fd = socket.as_raw_fd();
        let number = self.pool.hold(socket);
        if self.options.count.is_some_and(|count| self.pool.accepted >= count) {
            self.clients = None; // whoever comes now is refused, and need not wait
        }
        self.accepts.call(0, || {
            format!("accept() = {fd}: connection {number}, from {from}")
        });
        if self.pool.workers.is_empty() && self.pool.held() == 1 {
            say!("connection {number} is held until a worker comes");
        }
        Ok(())
    }

    /// What accept(2) returned; `None` when there was nobody after all, or no room for
    /// anybody. Then poll(2) would call again at once and for ever, so we rest.
    fn rests_unless<T>(
        &mut self,
        accepted: std::io::Result<T>,
    ) -> Result<Option<T>> {
        let error = match accepted {
            Ok(accepted) => return Ok(Some(accepted)),
            Err(error) => error,
        };
        match Errno::from_raw(error.raw_os_error().unwrap_or_default()) {
            Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM => {
                if self.rests_until.is_none() {
                    let tried =
                        "tried again every 0.1 s; ulimit -n raises RLIMIT_NOFILE";
                    let error = anyhow::Error::new(error).context("accept");
                    complain(
                        &Err::<(), _>(error).advise(|_| Some(tried)).unwrap_err(),
                    );
                }
                self.rests_until = Some(Instant::now() + REST);
                Ok(None)
            }
            // Errors of the one that came, or of its network (accept(2)).
            Errno::EBADF | Errno::EINVAL | Errno::EFAULT | Errno::ENOTSOCK => {
                Err(error).context("accept")
            }
            _ => Ok(None),
        }
    }
}
// ANCHOR_END: accept

/// Says what went wrong with someone else, and goes on.
fn complain(error: &anyhow::Error) {
    let _ = writeln!(std::io::stderr(), "ipclab: {}", line(error));
}
