//! What eventfds do that people do not expect.

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::epoll::{
    Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout,
};
use nix::sys::eventfd::{EfdFlags, EventFd};
use serde::de::DeserializeOwned;
use syscalls::Sysno;

use super::child::Child;
use super::row::Experiment;

mod counting;
mod ending;
mod limits;
mod loops;
mod sharing;

/// The chapter's experiments, in the order of its page.
pub const ALL: &[Experiment] = &[
    counting::SEVERAL_WRITES,
    counting::TAKES_ONE,
    ending::LAST_WRITER,
    sharing::ONE_COUNTER,
    counting::SEVEN_BYTES,
    counting::HUNDRED_BYTES,
    counting::TEXT_IS_NO_NUMBER,
    counting::LOOK,
    ending::READER_GONE,
    ending::NUMBER_STAYS,
    sharing::NO_NAME,
    sharing::TWO_READERS,
    sharing::TWO_READERS_OF_A_SEMAPHORE,
    sharing::TWO_READY_ONE_TAKES,
    sharing::NONBLOCK_IS_SHARED,
    loops::LEVEL_IS_TOLD_AGAIN,
    loops::EDGE_NEVER_READ,
    loops::EDGE_MERGES,
    loops::READY_AT_ADD,
    limits::NEVER_FULL,
    limits::DOES_NOT_FIT,
    limits::ONE_TOO_MANY,
    limits::ROOM_FOR_ONE,
    limits::ADDS_ZERO,
    limits::NOWAIT,
];

// ANCHOR: shared
/// eventfd(0, EFD_CLOEXEC | flags)
fn counter(flags: EfdFlags) -> Result<EventFd> {
    EventFd::from_flags(EfdFlags::EFD_CLOEXEC | flags).context("eventfd")
}

/// What is left in an eventfd with EFD_NONBLOCK: 0, if a read would sleep.
fn left(event: &EventFd) -> Result<u64> {
    match event.read() {
        Err(Errno::EAGAIN) => Ok(0),
        read => read.context("read an eventfd"),
    }
}

/// An epoll that watches the eventfd.
fn watching(event: &EventFd, flags: EpollFlags) -> Result<Epoll> {
    let epoll =
        Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("epoll_create1")?;
    epoll.add(event, EpollEvent::new(flags, 0)).context("epoll_ctl")?;
    Ok(epoll)
}

/// epoll_wait(epoll, events, 8, 0): how many are ready now.
fn ready(epoll: &Epoll) -> Result<usize> {
    let mut events = [EpollEvent::empty(); 8];
    epoll.wait(&mut events, EpollTimeout::ZERO).context("epoll_wait")
}

/// Whether a child sleeps in read(2), or has come through to its next gate.
///
/// write(2) has woken all sleepers when it returns. So a child that is seen asleep in read
/// after that has looked at the counter again, and found 0.
fn sleeps<T: DeserializeOwned>(child: &Child<T>) -> Result<bool> {
    let asleep = child.until_asleep_in(&[Sysno::read, Sysno::readv])?;
    Ok(asleep == Sysno::read)
}
// ANCHOR_END: shared
