//! The clock of the load, and how it waits for answers.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, Event};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// How long one answer may take, in nanoseconds.
pub(super) const PATIENCE: u64 = 5_000_000_000;

/// Nanoseconds since the boot: CLOCK_MONOTONIC.
pub(super) fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Waits for something to read, for so many nanoseconds at most. A signal looks as if
/// nothing came.
pub(super) fn look(
    epoll: &OwnedFd,
    events: &mut Vec<Event>,
    most: u64,
) -> Result<()> {
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
