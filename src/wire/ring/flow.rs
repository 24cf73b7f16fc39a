//! The two ends of a ring: what is copied, in which order, and when the other side is
//! told.
//!
//! Each end keeps its own counter and a copy of the other's, and looks at the shared one only
//! when the copy says that it must: a cache line that the other processor writes is the most
//! expensive thing to read.

use std::sync::atomic::Ordering;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;

use super::wait::{WaitPolicy, Waiting, sleeps, wake};
use super::{
    ALL_DONE, Flaw, HEAD, LENGTH, RECEIVER, RECEIVER_SLEEPS, Ring, SENDER,
    SENDER_DONE, SENDER_SLEEPS, STATE, TAIL,
};
use crate::say::{self, Commentary};

/// A dead peer wakes no sleeper.
const LOOKS: &str = "wakes every 0.1 s to see whether";

// ANCHOR: writer
/// The write end. There is one.
#[derive(Debug)]
pub struct Writer {
    ring: Ring,
    /// Where the next byte goes; the receiver learns of it by `publish`.
    head: u64,
    /// What the receiver's tail was when we last looked: it may have moved on since.
    tail: u64,
    waiting: WaitPolicy,
    copies: Commentary,
    wakes: Commentary,
}

impl Writer {
    /// Takes the write end of `ring`.
    ///
    /// # Errors
    /// Indices that cannot be; /proc not mounted.
    pub fn of(ring: Ring, waiting: Waiting) -> Result<Writer> {
        let (head, tail) = ring.indices()?;
        ring.claim(SENDER)?;
        let waiting = WaitPolicy::announced(&ring, waiting, SENDER_SLEEPS, RECEIVER);
        let wakes = Commentary::of("futex_wake");
        let copies = Commentary::steps("messages into the ring");
        Ok(Writer { ring, head, tail, waiting, copies, wakes })
    }

    /// The largest message, in bytes: it must fit with its length.
    pub fn largest(&self) -> usize {
        self.ring.capacity as usize - LENGTH
    }

    /// Sends one message; waits while there is no room for all of it.
    ///
    /// # Errors
    /// ESRCH when the ring is full and the receiver has died; a ring that is corrupt.
    #[inline]
    pub fn send(&mut self, message: &[u8]) -> Result<()> {
        let need = (LENGTH + message.len()) as u64;
        if self.room() < need {
            self.wait_for_room(need, "the ring is full")?;
        }
        let (from, to) = (self.head, self.head.wrapping_add(need));
        self.copies.call(message.len(), || {
            let shown = say::bytes(message);
            let length = message.len();
            format!("ring[{from}..{to}] = length {length}, {shown}; head = {to}")
        });
        self.ring.put(from, message);
        self.head = to;
        self.publish();
        Ok(())
    }

    /// How many bytes are free for certain.
    #[inline]
    fn room(&self) -> u64 {
        self.ring.capacity - self.head.wrapping_sub(self.tail)
    }

    /// Shows the receiver all that was put before this, and wakes it if it sleeps.
    #[inline]
    fn publish(&mut self) {
        self.ring.memory.u64(HEAD).store(self.head, Ordering::Release);
        let word = self.ring.memory.u32(RECEIVER_SLEEPS);
        if sleeps(word) {
            wake(word, &mut self.wakes);
        }
    }
    // ANCHOR_END: writer

    /// Looks at the receiver's tail, and sleeps until enough is free.
    #[cold]
    fn wait_for_room(&mut self, need: u64, why: &str) -> Result<()> {
        if need > self.ring.capacity {
            bail!("{} do not fit into the ring", say::size(need as usize - LENGTH));
        }
        let (mut awaited, mut said) = (false, false);
        loop {
            let tail = self.ring.load(TAIL);
            self.ring.between(self.head, tail)?;
            self.tail = tail;
            if self.room() >= need {
                return Ok(());
            }
            let receiver = if awaited { self.ring.receiver() } else { None };
            if let Some(life) = receiver.filter(|life| !life.lives()) {
                let pid = life.pid;
                return Err(Errno::ESRCH).with_context(|| {
                    format!("{why}, and the receiver (pid {pid}) died")
                });
            }
            let ring = &self.ring;
            let moved = || ring.load(TAIL) != tail;
            let why = || {
                format!("{why}: sleeps until tail moves; {LOOKS} the receiver lives")
            };
            let why = (!said).then_some(why);
            said = true;
            awaited = !self.waiting.wait(ring, moved, why)?;
        }
    }

    /// Says goodbye; returns how many bytes are still unread.
    ///
    /// # Errors
    /// A ring that is corrupt.
    pub fn close(&mut self) -> Result<u64> {
        self.ring.memory.u32(STATE).store(SENDER_DONE, Ordering::Release);
        let word = self.ring.memory.u32(RECEIVER_SLEEPS);
        if sleeps(word) {
            wake(word, &mut self.wakes);
        }
        Ok(self.ring.unread()?)
    }

    /// Waits until the receiver has read all.
    ///
    /// # Errors
    /// ESRCH when it dies before; a ring that is corrupt.
    pub fn drain(&mut self) -> Result<()> {
        self.wait_for_room(self.ring.capacity, "not all is read")
    }

    /// The ring, to look at.
    pub fn ring(&self) -> &Ring {
        &self.ring
    }
}

// ANCHOR: reader
/// The read end. There is one.
#[derive(Debug)]
pub struct Reader {
    ring: Ring,
    /// What the sender's head was when we last looked: it may have moved on since.
    head: u64,
    /// Where the next message begins.
    tail: u64,
    /// Where it began when we last looked whether the sender sleeps.
    looked: u64,
    waiting: WaitPolicy,
    copies: Commentary,
    wakes: Commentary,
}

impl Reader {
    /// Takes the read end of `ring`.
    ///
    /// # Errors
    /// Indices that cannot be; /proc not mounted.
    pub fn of(ring: Ring, waiting: Waiting) -> Result<Reader> {
        let (_, tail) = ring.indices()?;
        ring.claim(RECEIVER)?;
        let waiting = WaitPolicy::announced(&ring, waiting, RECEIVER_SLEEPS, SENDER);
        let wakes = Commentary::of("futex_wake");
        let copies = Commentary::steps("messages out of the ring");
        Ok(Reader { ring, head: tail, tail, looked: tail, waiting, copies, wakes })
    }

    /// Replaces `message` by the next one; `false` once the sender has said goodbye and
    /// all is read. Waits while the ring is empty.
    ///
    /// # Errors
    /// A sender that died without a goodbye; a ring that is corrupt.
    #[inline]
    pub fn recv(&mut self, message: &mut Vec<u8>) -> Result<bool> {
        if self.head == self.tail && !self.wait_for_more()? {
            return Ok(false);
        }
        let length = self.next_length()?;
        let (from, at) = (self.tail, self.tail.wrapping_add(LENGTH as u64));
        self.ring.get(at, length, message);
        self.tail = at.wrapping_add(length as u64);
        self.release();
        self.copies.call(length, || {
            let (to, shown) = (self.tail, say::bytes(message));
            format!("ring[{from}..{to}] is length {length}, {shown}; tail = {to}")
        });
        Ok(true)
    }

    /// The length of the next message: another process wrote it, so it is read once, and
    /// believed only as far as bytes are here.
    #[inline]
    fn next_length(&self) -> Result<usize, Flaw> {
        let here = self.head.wrapping_sub(self.tail);
        if here < LENGTH as u64 {
            return Err(Flaw::Length { length: 0, here });
        }
        let length = self.ring.length_at(self.tail);
        if length > here - LENGTH as u64 {
            return Err(Flaw::Length { length, here });
        }
        Ok(length as usize)
    }

    /// Gives back to the sender all that was read before this. Whether it sleeps is only
    /// looked at when we have caught up, or an eighth of the ring later.
    #[inline]
    fn release(&mut self) {
        self.ring.memory.u64(TAIL).store(self.tail, Ordering::Release);
        let since = self.tail.wrapping_sub(self.looked);
        if self.tail == self.head || since > self.ring.capacity / 8 {
            self.looked = self.tail;
            if sleeps(self.ring.memory.u32(SENDER_SLEEPS)) {
                self.wake_for_room();
            }
        }
    }
    // ANCHOR_END: reader

    /// A sender that sleeps needs room: it is woken for much of it, not for each message.
    #[cold]
    fn wake_for_room(&mut self) {
        let left = self.ring.load(HEAD).wrapping_sub(self.tail);
        if left <= self.ring.capacity / 2 {
            wake(self.ring.memory.u32(SENDER_SLEEPS), &mut self.wakes);
        }
    }

    /// Looks at the sender's head, and sleeps until it moves; `false` at the goodbye.
    #[cold]
    fn wait_for_more(&mut self) -> Result<bool> {
        let (mut awaited, mut said) = (false, false);
        loop {
            // First a death, then the goodbye, then the head: what came before is seen.
            let died = if awaited { self.ring.sender() } else { None };
            let died = died.filter(|life| !life.lives());
            let closed = self.ring.is_closed();
            let head = self.ring.load(HEAD);
            if self.ring.between(head, self.tail)? > 0 {
                self.head = head;
                return Ok(true);
            }
            if closed {
                return Ok(false);
            }
            if let Some(life) = died {
                bail!("the sender (pid {}) died before its goodbye", life.pid);
            }
            let ring = &self.ring;
            let (next, _) = ring.offset_of(self.tail);
            let moved = || {
                // The cache lines of the message shall come together with that of head,
                // not after it.
                ring.memory.prefetch(next);
                ring.memory.prefetch(next + 64);
                ring.load(HEAD) != head || ring.is_closed()
            };
            let why = || {
                format!(
                    "the ring is empty: sleeps until head moves; {LOOKS} the sender lives"
                )
            };
            let why = (!said).then_some(why);
            said = true;
            awaited = !self.waiting.wait(ring, moved, why)?;
        }
    }

    /// Notes in the ring that the goodbye was taken: no process will use it again.
    pub fn done(&mut self) {
        self.ring.memory.u32(STATE).store(ALL_DONE, Ordering::Release);
    }

    /// The ring, to look at.
    pub fn ring(&self) -> &Ring {
        &self.ring
    }
}
