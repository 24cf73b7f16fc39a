//! accept(2): of clients, and of workers.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use rustix::event::epoll::{self, EventData, EventFlags};

use super::super::descriptor::known_peer;
use super::super::options::Protocol;
use super::FdpassServer;
use os::calls::nix_errno;
use wire::errors::Advise;
use wire::say;
use wire::shortage::{ErrorOf, Shortage, error_of};

/// How long accept(2) is not called again after a resource error.
const PAUSE: Duration = Duration::from_millis(100);

/// How many clients are accepted in one go, before another socket has its turn.
const AT_ONCE: usize = 64;

// ANCHOR: accept
impl FdpassServer<'_> {
    /// Accepts one worker.
    pub(super) fn accept_worker(&mut self) -> Result<()> {
        let Some(workers) = &self.workers else { return Ok(()) };
        let accepted = workers.socket.accept();
        let Some((socket, _)) = self.accepted_or_pause(accepted)? else {
            return Ok(());
        };
        let pid = match known_peer(&socket) {
            Ok(pid) => pid,
            Err(error) => {
                say::complain(&error.context("a worker"));
                return Ok(());
            }
        };
        let fd = socket.as_raw_fd();
        let added = match self.protocol {
            Protocol::Plain => {
                say!("accept() = {fd}: worker {pid} has come");
                self.add_worker(pid, socket)
            }
            Protocol::Multiprocessing => {
                say!("accept() = {fd}: process {pid} has come");
                self.begin_handshake(pid, socket)
            }
        };
        // With no memory to watch it (epoll_ctl(2)), the worker sees the end of its stream.
        if let Err(error) = added {
            say::complain(&error.context(format!("worker {pid} is refused")));
        }
        Ok(())
    }

    /// Accepts the clients in the backlog, until `--count` is reached or enough are held.
    pub(super) fn accept_clients(&mut self) -> Result<()> {
        let most = self.most_held();
        for _ in 0..AT_ONCE {
            let Some(clients) = &self.clients else { return Ok(()) };
            if self.pool.held() >= most {
                return Ok(());
            }
            let accepted = clients.socket.accept();
            let Some((socket, from)) = self.accepted_or_pause(accepted)? else {
                return Ok(());
            };
            let fd = socket.as_raw_fd();
            let number = self.pool.hold(socket);
            if self.options.count.is_some_and(|count| self.pool.accepted >= count) {
                self.clients = None; // a later client is refused, and need not wait
            }
            self.accepts.call(0, || {
                format!("accept() = {fd}: connection {number}, from {from}")
            });
            if self.pool.workers.is_empty() && self.pool.held() == 1 {
                say!("connection {number} is held until a worker comes");
            }
        }
        Ok(())
    }

    /// What accept(2) returned; `None` when the backlog was empty after all, or after a
    /// resource error: the connection stays in the backlog, and epoll(7), level-triggered,
    /// would report it again at once, for ever. So there is a pause.
    fn accepted_or_pause<T>(
        &mut self,
        accepted: std::io::Result<T>,
    ) -> Result<Option<T>> {
        let error = match accepted {
            Ok(accepted) => return Ok(Some(accepted)),
            Err(error) => error,
        };
        match error_of(Errno::from_raw(error.raw_os_error().unwrap_or_default())) {
            ErrorOf::Resources => {
                if self.accept_paused_until.is_none() {
                    let tried =
                        "tried again every 0.1 s; ulimit -n raises RLIMIT_NOFILE";
                    let error = anyhow::Error::new(error).context("accept");
                    say::complain(
                        &Err::<(), _>(error).advise(|_| Some(tried)).unwrap_err(),
                    );
                }
                self.accept_paused_until = Some(Instant::now() + PAUSE);
                Ok(None)
            }
            ErrorOf::Listener => Err(error).context("accept"),
            ErrorOf::Client => Ok(None),
        }
    }
}

/// A listening socket, and whether epoll(7) reports connections in its backlog.
#[derive(Debug)]
pub(super) struct WatchedListener<S> {
    socket: S,
    watched: bool,
}

impl<S: AsFd> WatchedListener<S> {
    /// A listening socket that epoll(7) watches already.
    pub(super) fn new(socket: S) -> WatchedListener<S> {
        WatchedListener { socket, watched: true }
    }

    /// From now on epoll(7) reports connections in the backlog, or does not.
    pub(super) fn watch(
        &mut self,
        epoll: &OwnedFd,
        id: u64,
        watched: bool,
    ) -> Result<()> {
        if self.watched != watched {
            let events = if watched { EventFlags::IN } else { EventFlags::empty() };
            let id = EventData::new_u64(id);
            Shortage::default()
                .retry("epoll_ctl", || {
                    epoll::modify(epoll, &self.socket, id, events).map_err(nix_errno)
                })
                .context("epoll_ctl")?;
            self.watched = watched;
        }
        Ok(())
    }
}
// ANCHOR_END: accept
