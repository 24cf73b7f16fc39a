//! `select(2)`: two sets of bits, one for reading and one for writing. The kernel looks at
//! every bit below the highest descriptor in each call, and overwrites the sets.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;

use super::selector::{Events, Interest, Keys, Registered, Selector, level_only};
use os::ready::{FD_SETSIZE, FdSet, select};

// ANCHOR: select
/// Watches descriptors below 1,024.
#[derive(Debug)]
pub struct Select<D> {
    keys: Keys<D>,
    reading: FdSet,
    writing: FdSet,
    /// One more than the highest descriptor that is watched.
    end: usize,
}

impl<D: Copy> Select<D> {
    /// Watches nothing yet.
    pub(super) const fn new() -> Select<D> {
        let none: FdSet = [0; _];
        Select { keys: Keys::new(), reading: none, writing: none, end: 0 }
    }

    fn set(&mut self, fd: usize, read: bool, write: bool) {
        set_bit(&mut self.reading, fd, read);
        set_bit(&mut self.writing, fd, write);
    }
}

impl<D: Copy> Selector<D> for Select<D> {
    fn call(&self) -> &'static str {
        "select"
    }

    fn register(
        &mut self,
        fd: BorrowedFd,
        interest: Interest,
        data: D,
    ) -> Result<()> {
        level_only("select", interest)?;
        let number = fd.as_raw_fd();
        if number as usize >= FD_SETSIZE {
            // In C, FD_SET would write beyond the end of the set.
            bail!(
                "select cannot watch descriptor {number}: an fd_set has bits for \
                 0 to 1,023 (FD_SETSIZE, select(2)); --with poll or --with epoll can"
            );
        }
        let fd = self.keys.add(fd, interest, data)?;
        self.set(fd, interest.has(Interest::READ), interest.has(Interest::WRITE));
        self.end = self.end.max(fd + 1);
        Ok(())
    }

    fn modify(&mut self, fd: BorrowedFd, interest: Interest) -> Result<()> {
        level_only("select", interest)?;
        self.keys.of(fd)?.interest = interest;
        let fd = fd.as_raw_fd() as usize;
        self.set(fd, interest.has(Interest::READ), interest.has(Interest::WRITE));
        Ok(())
    }

    fn unregister(&mut self, fd: BorrowedFd) -> Result<Registered<D>> {
        let key = self.keys.remove(fd)?;
        self.set(key.fd as usize, false, false);
        while self.end > 0 && self.keys.get(self.end - 1).is_none() {
            self.end -= 1;
        }
        Ok(key)
    }

    fn select(
        &mut self,
        timeout: Option<Duration>,
        ready: &mut Vec<(Registered<D>, Events)>,
    ) -> Result<()> {
        ready.clear();
        // select(2) leaves only the bits of what is ready, so it gets copies.
        let (mut reading, mut writing) = (self.reading, self.writing);
        match select(self.end as i32, &mut reading, &mut writing, timeout) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(()),
            Err(error) => return Err(error).context("select"),
        }
        for word in 0..reading.len() {
            let mut left = reading[word] | writing[word];
            while left != 0 {
                let bit = left.trailing_zeros() as usize;
                left &= left - 1; // all but the lowest
                let mask = 1 << bit;
                let events = Events {
                    read: reading[word] & mask != 0,
                    write: writing[word] & mask != 0,
                };
                let key = self.keys.get(word * WORD + bit);
                ready.extend(key.map(|key| (key, events)));
            }
        }
        Ok(())
    }
}

const WORD: usize = libc::c_ulong::BITS as usize;

/// FD_SET(3) and FD_CLR(3).
fn set_bit(set: &mut FdSet, fd: usize, on: bool) {
    let mask = 1 << (fd % WORD);
    if on { set[fd / WORD] |= mask } else { set[fd / WORD] &= !mask }
}
// ANCHOR_END: select
