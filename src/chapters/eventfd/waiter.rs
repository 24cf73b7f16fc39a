//! The role that makes the eventfd, and reads it.

use std::collections::HashMap;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::{Backlog, SockFlag, listen};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::{ReadWriteFlags, preadv2};

use super::{BYTE, unix_socket, value};
use crate::fdpass::descriptor::{known_peer, pass};
use os::calls::{accept4, nix_errno};
use wire::errors::Advise;
use wire::local::{self, Name};
use wire::meet::{Presence, Rendezvous, SoleRole};
use wire::payload::{Payload, Printed, Style};
use wire::say;
use wire::say::{Commentary, count, grouped};
use wire::shortage::{ErrorOf, Shortage, error_of};

/// The options of a waiter.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct WaiterOptions {
    /// Take 1 with each read, not all: EFD_SEMAPHORE
    #[arg(long)]
    semaphore: bool,

    /// Stop once N are taken, whoever leaves; without it, when the last notifier has left
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    total: Option<u64>,
}

/// What epoll(7) reports of the two that are no notifiers; a notifier has a greater number.
const COUNTER: u64 = 0;
const LISTENER: u64 = 1;

/// Plays the role.
pub(super) fn run(rendezvous: &Rendezvous, options: &WaiterOptions) -> Result<()> {
    let mut payload = Payload::new(Style::Lines)?;
    let mut waiter = Waiter::open(rendezvous, options)?;
    while let Some(number) = waiter.wait()? {
        let took = format!("took {number}");
        if payload.print(took.as_bytes())? == Printed::NoReader {
            break;
        }
    }
    let (taken, reads) = (grouped(waiter.taken), count(payload.count(), "read"));
    say!("done: took {taken} by {reads}");
    Ok(())
}

/// The eventfd, and the notifiers that have a copy of it.
#[derive(Debug)]
pub struct Waiter {
    event: EventFd,
    listener: OwnedFd,
    options: WaiterOptions,
    /// The command that starts a notifier.
    notifier: String,
    epoll: OwnedFd,
    /// The connections, by the numbers that epoll(7) reports. Their ends are the notifiers' ends.
    notifiers: HashMap<u64, (i32, OwnedFd)>,
    newest: u64,
    /// Whether the last of them has just left.
    is_last: bool,
    taken: u64,
    shortage: Shortage,
    reads: Commentary,
    _presence: Presence,
}

impl Waiter {
    /// Makes the eventfd, and the socket to which notifiers come.
    ///
    /// # Errors
    /// As eventfd(2), bind(2), epoll_create1(2); another waiter has the place.
    pub fn open(rendezvous: &Rendezvous, options: &WaiterOptions) -> Result<Waiter> {
        let name = Name::path(rendezvous)?;
        let mut presence = rendezvous.arrive(Some(SoleRole::Waiter))?;
        let (flags, shown) = match options.semaphore {
            false => (EfdFlags::EFD_CLOEXEC, ""),
            true => {
                (EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_SEMAPHORE, " | EFD_SEMAPHORE")
            }
        };
        let event = EventFd::from_flags(flags).context("eventfd")?;
        say!("eventfd(0, EFD_CLOEXEC{shown}): a counter of 0, without a name");
        let listener = unix_socket()?;
        local::bind(&listener, &name, Some(&mut presence))?;
        listen(&listener, Backlog::MAXCONN)
            .with_context(|| format!("listen {name}"))?;
        say!("socket(AF_UNIX), bind({name}), listen(): notifiers come here");
        let epoll = epoll::create(CreateFlags::CLOEXEC).context("epoll_create1")?;
        presence.admit_peers()?;
        let waiter = Waiter {
            event,
            listener,
            options: *options,
            notifier: rendezvous.peer("notifier"),
            epoll,
            notifiers: HashMap::new(),
            newest: LISTENER,
            is_last: false,
            taken: 0,
            shortage: Shortage::default(),
            reads: Commentary::of("preadv2"),
            _presence: presence,
        };
        waiter.watch(&waiter.event, COUNTER, EventFlags::IN).context("epoll_ctl")?;
        waiter
            .watch(&waiter.listener, LISTENER, EventFlags::IN)
            .context("epoll_ctl")?;
        rendezvous.ready(&name)?;
        let sleeps = "epoll_wait() sleeps until a notifier comes";
        say::waiting_at(sleeps, &[(&waiter.listener, &waiter.notifier)]);
        Ok(waiter)
    }

    fn watch(&self, fd: impl AsFd, id: u64, events: EventFlags) -> nix::Result<()> {
        epoll::add(&self.epoll, fd, EventData::new_u64(id), events)
            .map_err(nix_errno)
    }

    // ANCHOR: loop
    /// Sleeps until the counter is not 0, and takes what is in it; `None` once the total is taken, or
    /// the last notifier has left. The eventfd does not tell that: the end of its connection does.
    ///
    /// # Errors
    /// As epoll_wait(2), accept(2) and read(2).
    pub fn wait(&mut self) -> Result<Option<u64>> {
        while self.is_short() {
            // Whatever a notifier has written, it wrote before its connection ended.
            if self.is_last {
                match self.take()? {
                    0 if self.options.total.is_none() => return Ok(None),
                    0 => {
                        self.is_last = false;
                        let none = "no notifier is here any more";
                        say::waiting(none, &self.notifier);
                    }
                    number => return Ok(Some(number)),
                }
            }
            let mut room = [const { MaybeUninit::uninit() }; 16];
            let wait = epoll::wait(&self.epoll, &mut room, None);
            let events = match wait.map_err(nix_errno) {
                Ok((events, _)) => events,
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error).context("epoll_wait"),
            };
            let (mut ready, mut left) = (false, false);
            for event in events {
                match event.data.u64() {
                    COUNTER => ready = true,
                    LISTENER => left |= self.accept()?,
                    id => left |= self.has_left(id),
                }
            }
            self.is_last = left && self.notifiers.is_empty();
            // Not all, with EFD_SEMAPHORE: epoll_wait(2) reports what is left.
            if ready && let number @ 1.. = self.take()? {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    /// Whether more is to be taken, as far as the total says.
    fn is_short(&self) -> bool {
        self.options.total.is_none_or(|total| self.taken < total)
    }

    /// The connection of the notifier `id` has ended, if it is one.
    fn has_left(&mut self, id: u64) -> bool {
        let Some((pid, connection)) = self.notifiers.remove(&id) else {
            return false;
        };
        drop(connection); // close(2): epoll watches it no longer
        say!("the connection of notifier {pid} has ended: it writes no more");
        true
    }
    // ANCHOR_END: loop

    // ANCHOR: take
    /// Takes what is in the counter, or 1 of it; 0 if there is nothing.
    fn take(&mut self) -> Result<u64> {
        let mut number = [0; size_of::<u64>()];
        // Any process with a copy may have read it by now. RWF_NOWAIT is of this call alone, where
        // O_NONBLOCK is of the open file: the notifiers' writes would not sleep any more, either.
        let (flags, no_offset) = (ReadWriteFlags::NOWAIT, u64::MAX);
        let read = self.shortage.retry("preadv2", || {
            let mut room = [IoSliceMut::new(&mut number)];
            preadv2(&self.event, &mut room, no_offset, flags).map_err(nix_errno)
        });
        match read {
            Err(Errno::EAGAIN) => return Ok(0),
            read => read.context("read the eventfd")?,
        };
        let number = u64::from_ne_bytes(number);
        self.taken = self.taken.saturating_add(number);
        let left = || value(&self.event).ok().flatten().unwrap_or(0);
        self.reads.call(number.to_ne_bytes().len(), || {
            format!(
                "preadv2() = 8: it took {}, and leaves {}",
                grouped(number),
                left()
            )
        });
        Ok(number)
    }
    // ANCHOR_END: take

    // ANCHOR: pass
    /// Accepts a notifier, and passes the eventfd to it; whether it has left already.
    fn accept(&mut self) -> Result<bool> {
        let connection = match accept4(&self.listener, SockFlag::SOCK_CLOEXEC) {
            Ok(connection) => connection,
            Err(error) => return self.not_accepted(error).map(|()| false),
        };
        // With the eventfd a process of another user could take what is meant for us.
        let pid = match known_peer(&connection) {
            Ok(pid) => pid,
            Err(error) => {
                say::complain(&error.context("a notifier"));
                return Ok(false);
            }
        };
        let id = self.newest + 1;
        let passed = Shortage::default()
            .retry("sendmsg", || pass(&connection, &self.event, BYTE))
            .context("sendmsg");
        // Nothing but its end is watched: a notifier says nothing on the connection.
        let watched = passed.and_then(|()| {
            let watch = || self.watch(&connection, id, EventFlags::RDHUP);
            Shortage::default().retry("epoll_ctl", watch).context("epoll_ctl")
        });
        if let Err(error) = watched {
            say::complain(&error.context(format!("notifier {pid} is lost")));
            return Ok(true);
        }
        say!(
            "accept(), sendmsg(x, SCM_RIGHTS): notifier {pid} has a copy of the eventfd"
        );
        self.newest = id;
        self.notifiers.insert(id, (pid, connection));
        Ok(false)
    }

    /// What comes of it that accept(2) failed: with no descriptor left it is tried again, if a
    /// notifier is here that may leave one.
    fn not_accepted(&mut self, error: Errno) -> Result<()> {
        let way_out = "ulimit -n raises RLIMIT_NOFILE";
        match error_of(error) {
            ErrorOf::Client => Ok(()),
            ErrorOf::Resources
                if error != Errno::EMFILE || !self.notifiers.is_empty() =>
            {
                self.shortage.rest(error, "accept", way_out);
                Ok(())
            }
            _ => Err(error)
                .context("accept")
                .advise(|_| (error == Errno::EMFILE).then_some(way_out)),
        }
    }
    // ANCHOR_END: pass
}
