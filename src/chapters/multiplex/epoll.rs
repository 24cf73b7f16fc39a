//! `epoll(7)`: a set that the kernel keeps. Each change to it is a call, epoll_ctl(2), but
//! the waiting costs only what is ready, whether 10 descriptors are watched or 10,000.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::epoll::{
    self, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout,
};

use super::selector::{Events, Interest, Keys, Registered, Selector, milliseconds};
use wire::errors::Advise;
use wire::shortage::Shortage;

/// How many events one epoll_wait(2) returns at most; the others come with the next.
const AT_ONCE: usize = 1024;

// ANCHOR: epoll
/// Watches descriptors whose changes the kernel can report: not regular files.
#[derive(Debug)]
pub struct Epoll<D> {
    epoll: epoll::Epoll,
    keys: Keys<D>,
    /// Where epoll_wait(2) puts what is ready.
    events: Vec<EpollEvent>,
}

impl<D: Copy> Epoll<D> {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// EMFILE: an epoll is a descriptor, too.
    pub fn new() -> Result<Epoll<D>> {
        let epoll = epoll::Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)
            .context("epoll_create1")?;
        let events = vec![EpollEvent::empty(); AT_ONCE];
        Ok(Epoll { epoll, keys: Keys::new(), events })
    }
}

impl<D: Copy> Selector<D> for Epoll<D> {
    fn call(&self) -> &'static str {
        "epoll_wait"
    }

    fn register(
        &mut self,
        fd: BorrowedFd,
        interest: Interest,
        data: D,
    ) -> Result<()> {
        let index = self.keys.add(fd, interest, data)?;
        // The kernel keeps a number for us, and gives it back with each event.
        let event = EpollEvent::new(flags(interest), index as u64);
        self.epoll.add(fd, event).or_else(|error| {
            self.keys.remove(fd)?;
            Err(error).context(format!("epoll_ctl(EPOLL_CTL_ADD, {index})")).advise(
                |_| match error {
                    Errno::EPERM => Some(
                        "epoll cannot watch a regular file, a directory or /dev/null, \
                         which are ready at all times; --with poll or --with select can",
                    ),
                    Errno::ENOSPC => {
                        Some("/proc/sys/fs/epoll/max_user_watches is the limit")
                    }
                    _ => None,
                },
            )
        })
    }

    fn modify(&mut self, fd: BorrowedFd, interest: Interest) -> Result<()> {
        let key = self.keys.of(fd)?;
        key.interest = interest;
        let mut event = EpollEvent::new(flags(interest), key.fd as u64);
        // It also looks anew: what is ready by now is reported, edge or not, once more.
        Shortage::default()
            .retry("epoll_ctl", || self.epoll.modify(fd, &mut event))
            .context("epoll_ctl(EPOLL_CTL_MOD)")
    }

    fn unregister(&mut self, fd: BorrowedFd) -> Result<Registered<D>> {
        let key = self.keys.remove(fd)?;
        Shortage::default()
            .retry("epoll_ctl", || self.epoll.delete(fd))
            .context("epoll_ctl(EPOLL_CTL_DEL)")?;
        Ok(key)
    }

    fn select(
        &mut self,
        timeout: Option<Duration>,
        ready: &mut Vec<(Registered<D>, Events)>,
    ) -> Result<()> {
        ready.clear();
        let timeout = EpollTimeout::try_from(milliseconds(timeout));
        let timeout = timeout.unwrap_or(EpollTimeout::MAX);
        let count = match self.epoll.wait(&mut self.events, timeout) {
            Ok(count) => count,
            Err(Errno::EINTR) => return Ok(()),
            Err(error) => return Err(error).context("epoll_wait"),
        };
        for event in &self.events[..count] {
            let Some(key) = self.keys.get(event.data() as usize) else { continue };
            let flags = event.events();
            // EPOLLHUP and EPOLLERR come without being asked for.
            let any = flags.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR);
            let is = |flag, interest| {
                key.interest.has(interest) && (any || flags.contains(flag))
            };
            let events = Events {
                read: is(EpollFlags::EPOLLIN, Interest::READ),
                write: is(EpollFlags::EPOLLOUT, Interest::WRITE),
            };
            ready.push((key, events));
        }
        Ok(())
    }
}

fn flags(interest: Interest) -> EpollFlags {
    let all = [
        (Interest::READ, EpollFlags::EPOLLIN),
        (Interest::WRITE, EpollFlags::EPOLLOUT),
        (Interest::EDGE, EpollFlags::EPOLLET),
        (Interest::ONESHOT, EpollFlags::EPOLLONESHOT),
    ];
    let asked = all.into_iter().filter(|(wanted, _)| interest.has(*wanted));
    asked.map(|(_, flag)| flag).collect()
}
// ANCHOR_END: epoll
