//! Those who come to the server: clients, workers, and who wants to be one.

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use rustix::event::epoll::{self, EventData, EventFlags};

use super::super::descriptor::known_peer;
use super::super::multiprocessing::Unread;
use super::super::named;
use super::super::plain::Answers;
use super::super::pool::Receipts;
use super::super::wire::Protocol;
use super::Server;
use wire::errors::Advise;
use wire::say;
use wire::shortage::{Blame, Shortage, blame};

/// How long accept(2) is left alone after it failed for want of something.
const REST: Duration = Duration::from_millis(100);

/// How many clients are accepted in one go, before anybody else has a turn.
const AT_ONCE: usize = 64;

// ANCHOR: accept
impl Server<'_> {
    /// Lets in one who has come to the door.
    pub(super) fn let_in_a_worker(&mut self) -> Result<()> {
        let Some(door) = &self.door else { return Ok(()) };
        let Some((socket, _)) = self.rests_unless(door.socket.accept())? else {
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
        let joined = match self.protocol {
            Protocol::Plain => {
                say!("accept() = {fd}: worker {pid} has come");
                self.joins(pid, socket)
            }
            Protocol::Multiprocessing => {
                say!("accept() = {fd}: process {pid} has come");
                let id = self.new_id();
                self.watch(&socket, id, EventFlags::IN)
                    .and_then(|()| self.guests.greet(id, pid, socket))
            }
        };
        // With no memory to watch it (epoll_ctl(2)), it is told by the end of its stream.
        if let Err(error) = joined {
            say::complain(&error.context(format!("worker {pid} is refused")));
        }
        Ok(())
    }

    /// The process `pid` is a worker from now on.
    pub(in super::super) fn joins(
        &mut self,
        pid: i32,
        socket: UnixStream,
    ) -> Result<()> {
        let id = self.new_id();
        self.watch(&socket, id, EventFlags::IN)?;
        self.pool.join(id, pid, socket, Receipts::Answers(Answers::default()));
        Ok(())
    }

    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Hears a worker, or one who wants to be one.
    pub(super) fn hear(&mut self, id: u64) -> Result<()> {
        let guest = match self.guests.go_on(id) {
            None => {
                self.pool.hear(id);
                return Ok(());
            }
            Some(Err(error)) => {
                say::complain(&error);
                return Ok(());
            }
            Some(Ok(guest)) => guest,
        };
        // Edge-triggered: OUT comes once each time that the worker has read something,
        // not for as long as there is room, which would be always.
        let events = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
        let data = EventData::new_u64(id);
        let modify = || {
            epoll::modify(&self.epoll, &guest.socket, data, events).map_err(named)
        };
        Shortage::default().insist("epoll_ctl", modify).context("epoll_ctl")?;
        say!("worker {} has sent its pid, and is one of us", guest.pid);
        let unread = Receipts::Unread(Unread::new(self.of_one));
        self.pool.join(id, guest.pid, guest.socket, unread);
        Ok(())
    }

    /// Accepts those who have come, until `--count` is reached or enough are held.
    pub(super) fn let_in_clients(&mut self) -> Result<()> {
        let most = self.most_held();
        for _ in 0..AT_ONCE {
            let Some(clients) = &self.clients else { return Ok(()) };
            if self.pool.held() >= most {
                return Ok(());
            }
            let accepted = clients.socket.accept();
            let Some((socket, from)) = self.rests_unless(accepted)? else {
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
        match blame(Errno::from_raw(error.raw_os_error().unwrap_or_default())) {
            Blame::Shortage => {
                if self.rests_until.is_none() {
                    let tried =
                        "tried again every 0.1 s; ulimit -n raises RLIMIT_NOFILE";
                    let error = anyhow::Error::new(error).context("accept");
                    say::complain(
                        &Err::<(), _>(error).advise(|_| Some(tried)).unwrap_err(),
                    );
                }
                self.rests_until = Some(Instant::now() + REST);
                Ok(None)
            }
            Blame::Server => Err(error).context("accept"),
            Blame::Client => Ok(None),
        }
    }
}
// ANCHOR_END: accept
