//! The two roles around a ring: from the meeting to the goodbye.
//!
//! A sender does not wait for its receiver: what is unread stays, and a receiver that comes
//! later takes it. The receiver that takes the goodbye removes the ring.

use std::marker::PhantomData;

use anyhow::Result;
use nix::unistd::{SysconfVar, sysconf};

use super::CAPACITIES;
use super::flow::{Reader, Writer};
use super::join::{Backing, Joined, join};
use super::wait::{Waiting, may_spin_beside};
use crate::errors::usage;
use crate::meet::{Rendezvous, SoleRole};
use crate::say;
use crate::transport::{Receiver, Sender};
use os::process_identity::ProcessIdentity;

/// How many bytes a ring holds unless it is told otherwise: more than a processor's own
/// cache, so that its lines need not be taken back from the other's.
pub const CAPACITY: u64 = 4 << 20;

/// The options of both ends of a ring.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct RingOptions {
    /// How many bytes the ring holds, if we are first and make it: a power of two. The
    /// largest message is 4 bytes less
    #[arg(long, value_name = "BYTES", default_value_t = CAPACITY)]
    #[arg(value_parser = capacity)]
    pub capacity: u64,

    /// Never sleep while waiting: look again and again, on a processor of its own
    #[arg(long)]
    pub spin: bool,
}

/// The options of a chapter whose messages go through a ring: where its memory comes from.
pub trait BackingOptions: clap::Args {
    /// Where the memory comes from, for roles that meet at `rendezvous`.
    fn backing(&self, rendezvous: &Rendezvous) -> Box<dyn Backing>;

    /// The options of the ring itself.
    fn ring(&self) -> RingOptions;
}

impl RingOptions {
    /// How to wait; `--spin` only where the machine has a processor for each side.
    fn waiting(self) -> Result<Waiting> {
        if !self.spin {
            return Ok(Waiting::Sleeping);
        }
        let processors = sysconf(SysconfVar::_NPROCESSORS_ONLN)?.unwrap_or(1);
        if processors < 2 {
            return Err(usage(
                "--spin needs two processors, and this machine has one: the other side \
                 could not run; leave --spin out",
            ));
        }
        Ok(Waiting::Spinning)
    }

    /// Refuses `--spin` where the `peer` that is there may only use our processor.
    fn check(self, peer: Option<ProcessIdentity>) -> Result<()> {
        match peer.filter(|life| self.spin && life.lives()) {
            Some(life) => may_spin_beside(life),
            None => Ok(()),
        }
    }
}

fn capacity(text: &str) -> Result<u64, String> {
    let (least, most) = (CAPACITIES.start(), CAPACITIES.end());
    match text.parse::<u64>() {
        Ok(bytes) if bytes.is_power_of_two() && CAPACITIES.contains(&bytes) => {
            Ok(bytes)
        }
        _ => Err(format!("not a power of two from {least} to {most}")),
    }
}

// ANCHOR: roles
/// The sending end of a ring, whose memory `O` describes.
#[derive(Debug)]
pub struct RingSender<O> {
    // The ring is let go before the presence, which may remove it.
    writer: Writer,
    joined: Joined,
    options: PhantomData<O>,
}

impl<O: BackingOptions> Sender for RingSender<O> {
    type Options = O;

    /// Joins the ring at `rendezvous` as its sender, or makes it.
    ///
    /// # Errors
    /// When another sender is there; when messages of an earlier one wait there still; when what
    /// is there is no ring; as the system calls.
    fn open(rendezvous: &Rendezvous, options: &O) -> Result<RingSender<O>> {
        let (backing, options) = (options.backing(rendezvous), options.ring());
        let waiting = options.waiting()?;
        let (ring, joined) =
            join(rendezvous, &*backing, SoleRole::Sender, options.capacity)?;
        options.check(ring.receiver())?;
        match ring.receiver().filter(|life| life.lives()) {
            Some(life) => say!("the receiver is there: pid {}", life.pid),
            None => say::waiting(
                "nobody reads yet: what we send waits in the ring",
                &rendezvous.peer("receiver"),
            ),
        }
        let writer = Writer::of(ring, waiting)?;
        let joined = joined.welcome(rendezvous, &*backing)?;
        Ok(RingSender { writer, joined, options: PhantomData })
    }

    fn largest(&self) -> usize {
        self.writer.largest()
    }

    /// Copies one message into the ring; waits while it is full.
    ///
    /// # Errors
    /// ESRCH when the receiver died; a ring that is corrupt.
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.writer.send(message)
    }

    /// Says goodbye. Does not wait for the receiver, unless the ring would die with us.
    ///
    /// # Errors
    /// A ring that is corrupt.
    fn finish(mut self) -> Result<()> {
        say!("state = 1: the goodbye");
        let unread = self.writer.close()?;
        if unread == 0 {
            return Ok(());
        }
        if self.joined.lasts {
            let unread = say::size(unread as usize);
            say!("{unread} not read yet: we do not wait, the ring stays");
            return self.joined.presence.keep_pending();
        }
        say!("this memory has no name that keeps it: we stay until all is read");
        self.writer.drain()
    }
}

/// The receiving end of a ring, whose memory `O` describes.
#[derive(Debug)]
pub struct RingReceiver<O> {
    reader: Reader,
    joined: Joined,
    options: PhantomData<O>,
}

impl<O: BackingOptions> Receiver for RingReceiver<O> {
    type Options = O;

    /// Joins the ring at `rendezvous` as its receiver, or makes it.
    ///
    /// # Errors
    /// When another receiver is there; when what is there is no ring; as the system calls.
    fn open(rendezvous: &Rendezvous, options: &O) -> Result<RingReceiver<O>> {
        let (backing, options) = (options.backing(rendezvous), options.ring());
        let waiting = options.waiting()?;
        let (ring, mut joined) =
            join(rendezvous, &*backing, SoleRole::Receiver, options.capacity)?;
        let unread = ring.unread()?;
        let sender = ring.sender();
        options.check(sender)?;
        if let Some(life) = sender.filter(|life| life.lives()) {
            say!("the sender is there: pid {}", life.pid);
        } else if ring.is_closed() || unread > 0 {
            say!("a sender was here before: {} wait", say::size(unread as usize));
            if joined.lasts && unread > 0 {
                // If we are stopped now, the messages wait for the next receiver.
                joined.presence.keep_pending()?;
            }
        } else {
            say::waiting(
                "nothing is sent yet: the ring is empty",
                &rendezvous.peer("sender"),
            );
        }
        let reader = Reader::of(ring, waiting)?;
        let joined = joined.welcome(rendezvous, &*backing)?;
        Ok(RingReceiver { reader, joined, options: PhantomData })
    }

    /// Replaces `message` by the next one; `false` at the goodbye, when the ring is
    /// removed.
    ///
    /// # Errors
    /// A sender that died without a goodbye; a ring that is corrupt.
    #[inline]
    fn recv(&mut self, message: &mut Vec<u8>) -> Result<bool> {
        let more = self.reader.recv(message)?;
        if !more {
            self.take_goodbye();
        }
        Ok(more)
    }
}
// ANCHOR_END: roles

impl<O> RingReceiver<O> {
    #[cold]
    fn take_goodbye(&mut self) {
        say!("state is 1 and tail = head: the sender is done, and all is read");
        self.reader.done();
        self.joined.remove();
    }
}

impl<O> Drop for RingReceiver<O> {
    /// After `--count`, or when a reader of ours has gone: what is unread stays for the
    /// next receiver, and a ring that is read to its end goes.
    fn drop(&mut self) {
        let ring = self.reader.ring();
        if ring.is_done() {
            return;
        }
        match ring.unread() {
            Ok(0) if ring.is_closed() => {
                self.reader.done();
                self.joined.remove();
            }
            Ok(0) if ring.sender().is_some_and(|life| !life.lives()) => {
                self.joined.remove();
            }
            Ok(unread) if unread > 0 && self.joined.lasts => {
                let unread = say::size(unread as usize);
                say!("{unread} unread: the ring stays for the next receiver");
                let _ = self.joined.presence.keep_pending();
            }
            _ => {}
        }
    }
}
