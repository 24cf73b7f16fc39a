//! A ring of bytes in memory that two processes share: one writes it, one reads it.
//!
//! The memory begins with a header of [`DATA`] bytes, then come `capacity` bytes of data.
//! All numbers are little-endian.
//!
//! | offset | bytes | what | who writes it |
//! |---|---|---|---|
//! | 0 | 8 | magic: `ipc-ring` | the role that makes the ring, last of all |
//! | 8 | 4 | version: 1 | the maker |
//! | 12 | 4 | where the data begins: 384 | the maker |
//! | 16 | 8 | capacity in bytes, a power of two | the maker |
//! | 32 | 4 | the sender's process id, 0 before there is one | the sender, after 40 |
//! | 40 | 8 | its start time: field 22 of `/proc/PID/stat` | the sender |
//! | 48 | 4 | the receiver's process id, 0 before there is one | the receiver, after 56 |
//! | 56 | 8 | its start time | the receiver |
//! | 64 | 4 | state: 0 open, 1 the sender is done, 2 the receiver knows | both |
//! | 128 | 8 | head: how many bytes were ever written | the sender |
//! | 136 | 4 | 1 while the receiver sleeps on this word (futex), 2 if it never sleeps | both |
//! | 256 | 8 | tail: how many bytes were ever read | the receiver |
//! | 264 | 4 | 1 while the sender sleeps on this word (futex), 2 if it never sleeps | both |
//! | 384 | capacity | the data; byte `n` of the stream is at `384 + n % capacity` | the sender |
//!
//! A message is its length in 4 bytes, then its bytes; both may go round the end. The ring is
//! empty when `head == tail`, and full when `head - tail == capacity`. The sender writes the
//! message first and `head` after it (release), so a receiver that sees the new `head` (acquire)
//! sees the message. Neither side calls the kernel while both are busy: a side that finds
//! nothing to do sets its word to 1, looks once more, and sleeps on the word; the other side
//! looks at the word after each step, and wakes the sleeper only then.
//!
//! `head` and `tail` each have a cache line of their own, and no neighbour, since processors
//! fetch lines in pairs. A word to sleep on lies beside the number that its sleeper waits for,
//! where the side that looks at it has just written.

use std::sync::atomic::Ordering;

use anyhow::{Context, Result};

use os::process_identity::ProcessIdentity;
use os::shared::Shared;

pub mod ends;
pub mod flow;
pub mod join;
#[cfg(test)]
mod tests;
pub mod wait;

// ANCHOR: layout
const MAGIC: u64 = u64::from_le_bytes(*b"ipc-ring");
const VERSION: u32 = 1;

const AT_MAGIC: usize = 0;
const AT_VERSION: usize = 8;
const AT_START: usize = 12;
const AT_CAPACITY: usize = 16;
const SENDER: usize = 32;
const RECEIVER: usize = 48;
const STATE: usize = 64;
const HEAD: usize = 128;
const RECEIVER_SLEEPS: usize = 136;
const TAIL: usize = 256;
const SENDER_SLEEPS: usize = 264;

/// Where the data begins, in bytes.
pub const DATA: usize = 384;

/// The least and the largest capacity, in bytes. A length has four bytes.
pub const CAPACITIES: std::ops::RangeInclusive<u64> = 64..=1 << 31;

const LENGTH: usize = 4;

/// What a word to sleep on says. Whatever else a peer may write there means awake.
const AWAKE: u32 = 0;
const ASLEEP: u32 = 1;
const NEVER_SLEEPS: u32 = 2;

/// What the word at offset 64 says.
const OPEN: u32 = 0;
const SENDER_DONE: u32 = 1;
const ALL_DONE: u32 = 2;
// ANCHOR_END: layout

// The numbers are read and written as this machine has them.
const _: () = assert!(cfg!(target_endian = "little"), "the ring is little-endian");

/// Why memory is not, or no longer, a ring.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Flaw {
    /// All zero where the magic should be: the ring was not finished.
    #[error("a ring was begun here and not finished")]
    Uninitialized,
    /// Something else.
    #[error("this is no ring of ipclab's: it does not begin with `ipc-ring`")]
    NoRing,
    /// A later program's, or garbage.
    #[error("the ring has version {0}; this program knows version {VERSION}")]
    Version(u32),
    /// A header that cannot be.
    #[error("the ring's header is corrupt: {0}")]
    Header(String),
    /// Cut short after it was made.
    #[error("the ring should have {should} bytes and has {has}: it was cut short")]
    Short {
        /// What the header says, in bytes.
        should: u64,
        /// What is there, in bytes.
        has: u64,
    },
    /// The peer wrote a head or a tail that cannot be.
    #[error(
        "the ring is corrupt: head is {head} and tail is {tail}, but it holds {capacity} bytes"
    )]
    Indices {
        /// As it was read.
        head: u64,
        /// As it was read.
        tail: u64,
        /// The ring's.
        capacity: u64,
    },
    /// The peer wrote a length that cannot be.
    #[error(
        "the ring is corrupt: a message of {length} bytes where {here} bytes wait"
    )]
    Length {
        /// As it was read.
        length: u64,
        /// How many bytes wait, the length's own four included.
        here: u64,
    },
}

/// How many bytes a ring of this capacity takes, header and data.
pub fn length_of(capacity: u64) -> usize {
    DATA + capacity as usize
}

/// The capacity that a header of [`DATA`] bytes tells, in memory of `length` bytes.
///
/// # Errors
/// What is wrong with it.
pub fn check(header: &[u8; DATA], length: u64) -> Result<u64, Flaw> {
    let u32_at =
        |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| header[at + i]));
    let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
    let (magic, version) = (u64_at(AT_MAGIC), u32_at(AT_VERSION));
    let (start, capacity) = (u32_at(AT_START), u64_at(AT_CAPACITY));
    // While a ring is made, its capacity may be there before its magic, nothing else.
    let begun = header[SENDER..].iter().all(|byte| *byte == 0);
    if magic == 0 && begun && version <= VERSION {
        return Err(Flaw::Uninitialized);
    }
    if magic != MAGIC {
        return Err(Flaw::NoRing);
    }
    if version != VERSION {
        return Err(Flaw::Version(version));
    }
    if start as usize != DATA {
        return Err(Flaw::Header(format!(
            "its data begins at {start}, not at {DATA}"
        )));
    }
    if !capacity.is_power_of_two() || !CAPACITIES.contains(&capacity) {
        return Err(Flaw::Header(format!("its capacity is {capacity}")));
    }
    let should = DATA as u64 + capacity;
    if length < should {
        return Err(Flaw::Short { should, has: length });
    }
    Ok(capacity)
}

/// A ring, before this process has taken one of its ends.
#[derive(Debug)]
pub struct Ring {
    memory: Shared,
    capacity: u64,
}

impl Ring {
    /// Makes `memory`, which is at least [`length_of`] `capacity` bytes, an empty ring.
    /// No other process may use it meanwhile.
    ///
    /// # Panics
    /// When the memory is too small for it.
    pub fn make(memory: Shared, capacity: u64) -> Ring {
        assert!(memory.length() >= length_of(capacity), "too small for {capacity}");
        // A process that maps it now finds no magic, and so no ring.
        memory.u64(AT_MAGIC).store(0, Ordering::SeqCst);
        memory.write(AT_VERSION, &[0; DATA - AT_VERSION]);
        memory.u32(AT_VERSION).store(VERSION, Ordering::Relaxed);
        memory.u32(AT_START).store(DATA as u32, Ordering::Relaxed);
        memory.u64(AT_CAPACITY).store(capacity, Ordering::Relaxed);
        memory.u64(AT_MAGIC).store(MAGIC, Ordering::Release);
        Ring { memory, capacity }
    }

    /// The ring that `memory` holds.
    ///
    /// # Errors
    /// What is wrong with it; nothing is changed.
    pub fn over(memory: Shared) -> Result<Ring, Flaw> {
        let mut header = [0; DATA];
        if memory.length() < DATA {
            return Err(Flaw::NoRing);
        }
        memory.u64(AT_MAGIC).load(Ordering::Acquire);
        memory.read(0, &mut header);
        let capacity = check(&header, memory.length() as u64)?;
        Ok(Ring { memory, capacity })
    }

    /// How many bytes it holds.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// The memory, for another use.
    pub fn into_memory(self) -> Shared {
        self.memory
    }

    /// How many bytes in it are unread.
    ///
    /// # Errors
    /// Indices that cannot be.
    pub fn unread(&self) -> Result<u64, Flaw> {
        let (head, tail) = self.indices()?;
        Ok(head.wrapping_sub(tail))
    }

    fn indices(&self) -> Result<(u64, u64), Flaw> {
        // The tail first: it can only come nearer to the head.
        let tail = self.load(TAIL);
        let head = self.load(HEAD);
        self.between(head, tail)?;
        Ok((head, tail))
    }

    /// Whether the sender has said goodbye.
    pub fn is_closed(&self) -> bool {
        self.state() != OPEN
    }

    /// Whether the receiver has taken the goodbye too.
    pub fn is_done(&self) -> bool {
        !matches!(self.state(), OPEN | SENDER_DONE)
    }

    /// The sender, if there ever was one.
    pub fn sender(&self) -> Option<ProcessIdentity> {
        self.side(SENDER)
    }

    /// The receiver, if there ever was one.
    pub fn receiver(&self) -> Option<ProcessIdentity> {
        self.side(RECEIVER)
    }

    fn state(&self) -> u32 {
        self.memory.u32(STATE).load(Ordering::Acquire)
    }

    fn load(&self, at: usize) -> u64 {
        self.memory.u64(at).load(Ordering::Acquire)
    }

    fn side(&self, at: usize) -> Option<ProcessIdentity> {
        let pid = self.memory.u32(at).load(Ordering::Acquire);
        let start = self.memory.u64(at + 8).load(Ordering::Acquire);
        (pid != 0).then_some(ProcessIdentity { pid, start })
    }

    fn claim(&self, at: usize) -> Result<()> {
        let own = ProcessIdentity::own().context("readlink /proc/self")?;
        self.memory.u32(at).store(0, Ordering::Relaxed);
        self.memory.u64(at + 8).store(own.start, Ordering::Release);
        self.memory.u32(at).store(own.pid, Ordering::Release);
        Ok(())
    }

    /// How far `head` is before `tail`, which another process may have spoilt.
    #[inline]
    fn between(&self, head: u64, tail: u64) -> Result<u64, Flaw> {
        let used = head.wrapping_sub(tail);
        if used > self.capacity {
            return Err(Flaw::Indices { head, tail, capacity: self.capacity });
        }
        Ok(used)
    }

    /// Where byte `index` of the stream is, and how many bytes follow up to the end.
    #[inline]
    fn offset_of(&self, index: u64) -> (usize, usize) {
        let at = (index & (self.capacity - 1)) as usize;
        (DATA + at, self.capacity as usize - at)
    }

    /// Copies `message`, behind its length, into the ring as byte `index` and following.
    #[inline]
    fn put(&self, index: u64, message: &[u8]) {
        let length = (message.len() as u32).to_le_bytes();
        let (at, straight) = self.offset_of(index);
        if LENGTH + message.len() <= straight {
            self.memory.write(at, &length);
            self.memory.write(at + LENGTH, message);
        } else {
            self.put_round(index, &length);
            self.put_round(index.wrapping_add(LENGTH as u64), message);
        }
    }

    /// The length that byte `index` and the three after it tell.
    #[inline]
    fn length_at(&self, index: u64) -> u64 {
        let mut length = [0; LENGTH];
        let (at, straight) = self.offset_of(index);
        if straight >= LENGTH {
            self.memory.read(at, &mut length);
        } else {
            self.get_round(index, &mut length);
        }
        u64::from(u32::from_le_bytes(length))
    }

    /// Replaces `message` by the `length` bytes from byte `index` on.
    #[inline]
    fn get(&self, index: u64, length: usize, message: &mut Vec<u8>) {
        message.clear();
        let (at, straight) = self.offset_of(index);
        if length <= straight {
            self.memory.append(at, length, message);
        } else {
            self.append_round(index, length, message);
        }
    }

    // Round the end: once in a lap, so out of the way of all other messages.

    #[cold]
    fn put_round(&self, index: u64, bytes: &[u8]) {
        let (at, straight) = self.offset_of(index);
        let (first, rest) = bytes.split_at(bytes.len().min(straight));
        self.memory.write(at, first);
        self.memory.write(DATA, rest);
    }

    #[cold]
    fn get_round(&self, index: u64, bytes: &mut [u8]) {
        let (at, straight) = self.offset_of(index);
        let (first, rest) = bytes.split_at_mut(bytes.len().min(straight));
        self.memory.read(at, first);
        self.memory.read(DATA, rest);
    }

    #[cold]
    fn append_round(&self, index: u64, length: usize, message: &mut Vec<u8>) {
        let (at, straight) = self.offset_of(index);
        self.memory.append(at, straight, message);
        self.memory.append(DATA, length - straight, message);
    }
}
