//! The exercises of the chapter eventfd.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::Signal;
use nix::unistd::write;

use super::fdpass;
use super::partner::Partner;
use super::row::Exercise;

mod end;
mod reader;
mod stranger;

/// The exercises.
pub(super) const ALL: &[Exercise] = &[reader::ROW, end::ROW, stranger::ROW];

/// An eventfd of the partner's.
fn made(partner: &Partner, flags: EfdFlags) -> Result<EventFd> {
    let made = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | flags);
    let semaphore = flags.contains(EfdFlags::EFD_SEMAPHORE);
    let shown = if semaphore { "EFD_SEMAPHORE" } else { "0" };
    partner.call(&format!("eventfd(0, {shown})"), made)
}

/// Adds a number.
fn add(partner: &Partner, event: impl AsFd, number: u64) -> Result<()> {
    let added = write(event, &number.to_ne_bytes());
    partner.call(&format!("write({number}) to the eventfd"), added).map(drop)
}

/// Waits until the learner's program has taken all that is in the eventfd.
fn until_taken(partner: &Partner, event: impl AsFd) -> Result<()> {
    partner.until("a read of the eventfd", || {
        let mut fds = [PollFd::new(event.as_fd(), PollFlags::POLLIN)];
        (poll(&mut fds, PollTimeout::ZERO) == Ok(0)).then_some(())
    })
}

/// Has the learner's process that plays `role` find the last number and the end of the connection
/// at the same time.
fn end_at_once(
    partner: &Partner,
    role: &str,
    event: impl AsFd,
    number: u64,
    connection: impl Into<OwnedFd>,
) -> Result<()> {
    let learner = partner.learner(role)?;
    partner.until_asleep(learner)?;
    partner.stop(learner, "it sees what follows all at once")?;
    add(partner, &event, number)?;
    drop(connection.into());
    partner.log("closes the connection");
    partner.signal(learner, Signal::SIGCONT, "it goes on")
}

/// Passes a descriptor to the learner's program, which connects.
fn give(partner: &Partner, descriptor: impl AsFd) -> Result<OwnedFd> {
    let connection = fdpass::connected(partner)?;
    fdpass::pass(partner, &connection, b'x', &[descriptor.as_fd()])?;
    Ok(connection)
}

/// Connects to the learner's waiter, and is passed its eventfd.
fn be_passed(partner: &Partner) -> Result<(OwnedFd, OwnedFd)> {
    let connection = partner.connect()?;
    let (_, descriptors) = fdpass::receive(partner, &connection)?;
    let event = descriptors.into_iter().next();
    let event = event.context("your program has passed no descriptor")?;
    Ok((event, connection))
}
