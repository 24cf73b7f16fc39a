//! The two floors that are pairs of processes: what any wake-up costs, and what any line
//! of memory costs that two CPUs pass to each other.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use rustix::thread::futex::{self, Flags};

use crate::ends::exchange::Exchange;
use crate::job::{Job, Side};
use os::shared::{Shared, mmap};

/// Where each direction has its word: a line of its own, and no neighbour.
const THERE: usize = 0;
const BACK: usize = 256;
/// How large the file is that both map.
pub const LENGTH: usize = 4096;

/// The words of both directions, and what was last seen in ours.
#[derive(Debug)]
struct Words {
    memory: Shared,
    out: usize,
    into: usize,
    sent: u32,
    seen: u32,
}

impl Words {
    fn open(job: &Job) -> Result<Words> {
        let path = &job.base;
        let file = std::fs::File::options().read(true).write(true).open(path);
        let file = file.with_context(|| format!("open {path}"))?;
        let memory = mmap(&file, LENGTH).with_context(|| format!("mmap {path}"))?;
        let (out, into) = match job.side {
            Side::A => (THERE, BACK),
            Side::B => (BACK, THERE),
        };
        Ok(Words { memory, out, into, sent: 0, seen: 0 })
    }

    fn outward(&self) -> &AtomicU32 {
        self.memory.u32(self.out)
    }

    fn inward(&self) -> &AtomicU32 {
        self.memory.u32(self.into)
    }
}

// ANCHOR: floors
/// A word that changes, and a futex(2) to sleep on it: a round trip is two context
/// switches, and the two calls a side that ask for them.
#[derive(Debug)]
pub struct Futex(Words);

impl Futex {
    /// Maps the words.
    ///
    /// # Errors
    /// As open(2) and mmap(2).
    pub fn open(job: &Job) -> Result<Futex> {
        Words::open(job).map(Futex)
    }
}

impl Exchange for Futex {
    fn send(&mut self, _: &[u8]) -> Result<()> {
        self.0.sent = self.0.sent.wrapping_add(1);
        self.0.outward().store(self.0.sent, Ordering::SeqCst);
        futex::wake(self.0.outward(), Flags::empty(), 1).context("futex_wake")?;
        Ok(())
    }

    fn recv(&mut self, bytes: &mut Vec<u8>) -> Result<bool> {
        bytes.clear();
        while self.0.inward().load(Ordering::SeqCst) == self.0.seen {
            let slept =
                futex::wait(self.0.inward(), Flags::empty(), self.0.seen, None);
            match slept {
                Ok(()) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {
                }
                Err(error) => return Err(error).context("futex_wait"),
            }
        }
        self.0.seen = self.0.seen.wrapping_add(1);
        Ok(true)
    }

    fn finish(self) -> Result<()> {
        Ok(())
    }
}

/// A word that changes, and a look at it again and again: a round trip is two lines of
/// memory that go from one CPU's cache to the other's.
#[derive(Debug)]
pub struct Bounced(Words);

impl Bounced {
    /// Maps the words.
    ///
    /// # Errors
    /// As open(2) and mmap(2).
    pub fn open(job: &Job) -> Result<Bounced> {
        Words::open(job).map(Bounced)
    }
}

impl Exchange for Bounced {
    fn send(&mut self, _: &[u8]) -> Result<()> {
        self.0.sent = self.0.sent.wrapping_add(1);
        self.0.outward().store(self.0.sent, Ordering::Release);
        Ok(())
    }

    fn recv(&mut self, bytes: &mut Vec<u8>) -> Result<bool> {
        bytes.clear();
        while self.0.inward().load(Ordering::Acquire) == self.0.seen {
            std::hint::spin_loop();
        }
        self.0.seen = self.0.seen.wrapping_add(1);
        Ok(true)
    }

    fn finish(self) -> Result<()> {
        Ok(())
    }
}
// ANCHOR_END: floors
