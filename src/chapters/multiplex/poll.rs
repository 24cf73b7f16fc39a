//! `poll(2)`: an array with an entry for each descriptor. There is no highest number, but
//! the kernel still walks the whole array in each call, and so do we after it.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;

use super::selector::{
    Events, Interest, Keys, Registered, Selector, level_only, milliseconds,
};
use os::ready::poll;

// ANCHOR: poll
/// Watches any descriptors.
#[derive(Debug)]
pub struct Poll<D> {
    /// The array for poll(2), kept from call to call.
    fds: Vec<libc::pollfd>,
    /// The key of each descriptor, with its index in the array.
    keys: Keys<(D, usize)>,
}

impl<D: Copy> Poll<D> {
    /// Watches nothing yet.
    pub(super) const fn new() -> Poll<D> {
        Poll { fds: Vec::new(), keys: Keys::new() }
    }
}

impl<D: Copy> Selector<D> for Poll<D> {
    fn call(&self) -> &'static str {
        "poll"
    }

    fn register(
        &mut self,
        fd: BorrowedFd,
        interest: Interest,
        data: D,
    ) -> Result<()> {
        level_only("poll", interest)?;
        let index = self.fds.len();
        self.keys.add(fd, interest, (data, index))?;
        self.fds.push(entry(fd, interest));
        Ok(())
    }

    fn modify(&mut self, fd: BorrowedFd, interest: Interest) -> Result<()> {
        level_only("poll", interest)?;
        let key = self.keys.of(fd)?;
        key.interest = interest;
        self.fds[key.data.1] = entry(fd, interest);
        Ok(())
    }

    fn unregister(&mut self, fd: BorrowedFd) -> Result<Registered<D>> {
        let key = self.keys.remove(fd)?;
        let (data, index) = key.data;
        self.fds.swap_remove(index);
        // The last entry has moved to the index that became free.
        if let Some(moved) = self.fds.get(index)
            && let Some(other) = self.keys.get(moved.fd as usize)
        {
            self.keys.set_data(moved.fd as usize, (other.data.0, index));
        }
        Ok(Registered { fd: key.fd, interest: key.interest, data })
    }

    fn select(
        &mut self,
        timeout: Option<Duration>,
        ready: &mut Vec<(Registered<D>, Events)>,
    ) -> Result<()> {
        ready.clear();
        let mut left = match poll(&mut self.fds, milliseconds(timeout)) {
            Ok(count) => count,
            Err(Errno::EINTR) => return Ok(()),
            Err(error) => return Err(error).context("poll"),
        };
        for entry in &self.fds {
            if left == 0 {
                break;
            }
            if entry.revents == 0 {
                continue;
            }
            left -= 1;
            let Some(key) = self.keys.get(entry.fd as usize) else { continue };
            let Registered { fd, interest, data: (data, _) } = key;
            // POLLHUP, POLLERR and POLLNVAL come without being asked for.
            let any = entry.revents & !(libc::POLLIN | libc::POLLOUT) != 0;
            let events = Events {
                read: interest.has(Interest::READ)
                    && (any || entry.revents & libc::POLLIN != 0),
                write: interest.has(Interest::WRITE)
                    && (any || entry.revents & libc::POLLOUT != 0),
            };
            ready.push((Registered { fd, interest, data }, events));
        }
        Ok(())
    }
}

/// The entry of a descriptor in the array for poll(2).
fn entry(fd: BorrowedFd, interest: Interest) -> libc::pollfd {
    let mut events = 0;
    if interest.has(Interest::READ) {
        events |= libc::POLLIN;
    }
    if interest.has(Interest::WRITE) {
        events |= libc::POLLOUT;
    }
    libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 }
}
// ANCHOR_END: poll
