//! The role whose memory is read.

use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use rustix::event::{PollFd, PollFlags};
use rustix::process::{PTracer, set_ptracer};

use super::published::{Published, read};
use super::{
    ADDRESS, LENGTH, NUMBER, ProcvmOptions, READER, START, TAKEN, WORDS, drain,
};
use crate::signal::published::living;
use crate::signal::target::{Target as Process, is_gone};
use os::calls::poll_until;
use os::process_identity::ProcessIdentity;
use wire::errors::{Advise, PeerGone};
use wire::meet::{Presence, Rendezvous, SoleRole};
use wire::roles::within;
use wire::say;
use wire::say::Commentary;
use wire::transport::Sender;

/// The reader's end is no error of any call of ours.
const HAS_ENDED: PeerGone = PeerGone {
    what: "poll() = POLLIN of the reader's pidfd: it has ended",
    errno: Errno::ESRCH,
};

// ANCHOR: target
/// A process that lets another one read its memory.
#[derive(Debug)]
pub(super) struct Target {
    /// At an address that does not change, and never freed: a reader may look until we have ended.
    /// Another process writes to it as well: so the words are atomic.
    table: &'static [AtomicU64; WORDS],
    offered: EventFd,
    taken: EventFd,
    number: u64,
    largest: usize,
    reader: Option<Process>,
    has_failed: bool,
    offers: Commentary,
    _presence: Presence,
}

impl Sender for Target {
    type Options = ProcvmOptions;

    fn check(options: &ProcvmOptions, message: &[u8]) -> Result<()> {
        within(options.max_message as usize, message.len())
            .advise(|_| Some("raise --max-message for both roles"))
    }

    fn open(rendezvous: &Rendezvous, options: &ProcvmOptions) -> Result<Target> {
        let mut presence =
            rendezvous.arrive(Some(SoleRole::Target))?.removing_at_exit();
        let path = rendezvous.path();
        // A live target of ours would have kept us out: what the file says is stale.
        read(&path)?;
        let flags = EfdFlags::EFD_CLOEXEC;
        let event = || EventFd::from_flags(flags).context("eventfd");
        let (offered, taken) = (event()?, event()?);
        let table = Box::leak(Box::new([const { AtomicU64::new(0) }; WORDS]));
        if set_ptracer(PTracer::Any).is_ok() {
            say!(
                "prctl(PR_SET_PTRACER, ANY): Yama lets each process of ours read us"
            );
        }
        let own = ProcessIdentity::own().context("readlink /proc/self")?;
        let published = Published {
            pid: own.pid.cast_signed(),
            start: own.start,
            table: table.as_ptr().expose_provenance() as u64,
            offered: offered.as_raw_fd(),
            taken: taken.as_raw_fd(),
        };
        presence.publish(&path, &format!("{published}\n"))?;
        let name = path.display();
        say!("published \"{published}\" at {name}: pid, start, table, two eventfds");
        presence.admit_peers()?;
        rendezvous.ready(name)?;
        match presence.has_peers() {
            true => say!("a reader is there, and finds us by what we published"),
            false => say::start_the_other(&rendezvous.peer("reader")),
        }
        Ok(Target {
            table,
            offered,
            taken,
            number: 0,
            largest: options.max_message as usize,
            reader: None,
            has_failed: false,
            offers: Commentary::of("offer"),
            _presence: presence,
        })
    }

    fn largest(&self) -> usize {
        self.largest
    }

    fn limit(&self) -> Option<String> {
        Some("raise --max-message for both roles".into())
    }

    fn send(&mut self, message: &[u8]) -> Result<()> {
        let address = message.as_ptr().expose_provenance() as u64;
        let number = self.number + 1;
        self.offers.call(message.len(), || {
            format!("offer {number}: {} at {address:x}", say::data(message))
        });
        self.offer(address, message.len() as u64)
    }

    /// Our memory goes with us: so we wait until the reader has seen the end.
    fn finish(mut self) -> Result<()> {
        if self.has_failed {
            return Ok(());
        }
        say!("offer {}: the end, which has no address", self.number + 1);
        if self.offer(0, 0).is_err() {
            say!("the reader has ended before the end; it has taken all");
        }
        Ok(())
    }

    fn abandon(self) -> Result<()> {
        Ok(())
    }
}
// ANCHOR_END: target

// ANCHOR: offer
impl Target {
    /// Offers what is at `address`, and sleeps until the reader has taken it. Until then it must
    /// not change: no kernel has a copy.
    fn offer(&mut self, address: u64, length: u64) -> Result<()> {
        self.store(address, length);
        let taken = self.until_taken();
        if taken.is_err() {
            // The caller may free the memory now. A reader that copies it sees another number, and
            // then an address where nothing is: EFAULT.
            self.store(u64::MAX, 1);
        }
        taken
    }

    /// Fills in the table, for the next number.
    fn store(&mut self, address: u64, length: u64) {
        self.number += 1;
        self.table[ADDRESS].store(address, Ordering::Relaxed);
        self.table[LENGTH].store(length, Ordering::Relaxed);
        self.table[NUMBER].store(self.number, Ordering::Release); // the others come first
    }

    fn until_taken(&mut self) -> Result<()> {
        self.offered.write(1).context("write the eventfd")?;
        loop {
            // In this order: whatever a reader has written, it wrote before its end.
            let has_left = self.reader_has_left()?;
            if self.table[TAKEN].load(Ordering::Acquire) == self.number {
                return Ok(());
            }
            if has_left {
                self.has_failed = true;
                return Err(HAS_ENDED.into());
            }
            let reader = self.reader.as_ref().map(|reader| &reader.pidfd);
            let mut fds = vec![PollFd::new(&self.taken, PollFlags::IN)];
            fds.extend(reader.map(|pidfd| PollFd::new(pidfd, PollFlags::IN)));
            poll_until(&mut fds, None).context("poll")?;
            drain(&self.taken)?;
        }
    }

    /// Whether the process that the table names as the reader has ended.
    fn reader_has_left(&mut self) -> Result<bool> {
        let pid = self.table[READER].load(Ordering::Acquire);
        let start = self.table[START].load(Ordering::Acquire);
        let Ok(pid @ 1..) = i32::try_from(pid) else { return Ok(false) };
        if self.reader.as_ref().is_none_or(|reader| reader.pid != pid) {
            self.reader = living(pid, start)?;
            if self.reader.is_some() {
                say!(
                    "pidfd_open({pid}): the reader, by what it wrote into our table"
                );
            }
        }
        Ok(self.reader.as_ref().is_none_or(|reader| is_gone(&reader.pidfd)))
    }
}
// ANCHOR_END: offer
