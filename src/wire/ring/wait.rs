//! Waiting for the other side: a short look, then a futex(2).
//!
//! A futex is a word that both share and a queue of sleepers in the kernel. The kernel is
//! asked only to sleep and to wake a sleeper, so a side that never waits never calls it.

use std::sync::atomic::{AtomicU32, Ordering, compiler_fence, fence};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use rustix::thread::{MembarrierCommand, Pid, membarrier, sched_getaffinity};

use super::{ASLEEP, AWAKE, NEVER_SLEEPS, Ring};
use crate::errors::usage;
use crate::say::Commentary;
use os::calls::{futex_wait, futex_wake};
use os::cleanup::{Ticks, ticks};
use os::process_identity::ProcessIdentity;

/// How a side waits for the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Looks a short while, then sleeps in the kernel.
    Sleeping,
    /// Looks again and again, and never sleeps. Takes a processor for itself.
    Spinning,
}

/// How one side waits, and what it has learnt from waiting.
#[derive(Debug)]
pub(super) struct WaitPolicy {
    waiting: Waiting,
    /// Where the word is that we sleep on.
    word: usize,
    /// Where the ring has the process id of the other side.
    peer: usize,
    /// Whether the other side can run while we look, as far as we know.
    apart: bool,
    /// So many waits go to sleep at once.
    rest: u32,
    /// So many will, when the next look is in vain.
    next_rest: u32,
    /// How often it has slept with a timeout.
    slept: u32,
    /// What wakes it every [`NAP`], once it has slept often.
    ticks: Option<Ticks>,
    naps: Commentary,
}

/// How long to look again and again before a sleep: about as long as it takes to wake a side
/// that sleeps on another CPU. A side that looks no longer than that can lose no more than the
/// sleep would have cost.
const LOOK: Duration = Duration::from_micros(100);

/// A look that was in vain is not repeated for 1 wait, the next for 2, 4, up to so many.
const LONGEST_REST: u32 = 1024;

/// How long a side sleeps before it looks whether its peer still lives: a process that was
/// killed wakes no sleeper, and Python's standard library has no futex.
const NAP: Duration = Duration::from_millis(100);

/// So many sleeps have a timeout of their own: for a few, a timer would cost more.
const TIMED_NAPS: u32 = 16;

// ANCHOR: wait
impl WaitPolicy {
    /// Waits until `ready`, at most [`NAP`]; whether it is. `why` is said, unless this goes on
    /// with a wait that was in vain.
    pub(super) fn wait(
        &mut self,
        ring: &Ring,
        ready: impl Fn() -> bool,
        why: Option<impl FnOnce() -> String>,
    ) -> Result<bool> {
        if self.waiting == Waiting::Spinning {
            return self.spin(ring, ready);
        }
        if self.worth_a_look(ring) {
            if look(LOOK, &ready) {
                self.next_rest = 1;
                return Ok(true);
            }
            self.apart = false;
            self.rest = self.next_rest;
            self.next_rest = (self.next_rest * 2).min(LONGEST_REST);
        }
        let word = ring.memory.u32(self.word);
        word.store(ASLEEP, Ordering::Relaxed);
        // The word is set before we look once more; see `sleeps`.
        fence(Ordering::SeqCst);
        if !ready() {
            match why {
                Some(why) => {
                    self.naps.call(0, || format!("futex(FUTEX_WAIT): {}", why()));
                }
                None => self.naps.again(0),
            }
            let nap = self.nap();
            // The kernel sleeps only if the word is still 1, or the wake-up came too early.
            // EFAULT: the memory was cut short; our next step there reports it (os/sigbus.rs).
            match futex_wait(word, ASLEEP, nap) {
                Ok(())
                | Err(
                    Errno::EAGAIN | Errno::EINTR | Errno::EFAULT | Errno::ETIMEDOUT,
                ) => {}
                Err(error) => return Err(error).context("futex(FUTEX_WAIT)"),
            }
        }
        word.store(AWAKE, Ordering::Relaxed);
        Ok(ready())
    }
}

/// Whether the side that sleeps on `word` may be asleep; asked after the number is
/// stored that it waits for.
#[inline]
pub(super) fn sleeps(word: &AtomicU32) -> bool {
    compiler_fence(Ordering::SeqCst);
    if word.load(Ordering::Relaxed) == NEVER_SLEEPS {
        return false;
    }
    // The sleeper stores its word, then loads our number; we store our number, then load
    // its word. With this fence on both sides at least one of us sees the other.
    fence(Ordering::SeqCst);
    word.load(Ordering::Relaxed) == ASLEEP
}

/// Wakes the side that sleeps on `word`.
#[cold]
pub(super) fn wake(word: &AtomicU32, wakes: &mut Commentary) {
    // So that it is woken once, not for each message until it runs.
    let awake = (Ordering::Relaxed, Ordering::Relaxed);
    if word.compare_exchange(ASLEEP, AWAKE, awake.0, awake.1).is_ok() {
        // It cannot fail on memory that is mapped; and a sleeper looks again by itself.
        let woken = futex_wake(word, 1).unwrap_or(0);
        wakes.call(0, || match woken {
            0 => "futex(FUTEX_WAKE) = 0: nobody sleeps there now",
            _ => "futex(FUTEX_WAKE) = 1: the other side was asleep",
        });
    }
}
// ANCHOR_END: wait

impl WaitPolicy {
    /// How the side waits that sleeps on `word`, and whose peer is `peer`: says in the
    /// ring whether it will ever sleep.
    ///
    /// The fence in [`sleeps`] is the most expensive step of a message, and needless beside a
    /// side that spins: so the word of that side says that it never sleeps. When a side that
    /// sleeps takes its place, the other side may have read the old word, and its new number may
    /// not be seen yet, so both could miss each other. membarrier(2) makes every thread on the
    /// machine pass a fence: what the other side stored before that, we see; and after it, the
    /// other side sees our word, and uses the fence from then on. Where the kernel has no such
    /// call, the price is one [`NAP`].
    pub(super) fn announced(
        ring: &Ring,
        waiting: Waiting,
        word: usize,
        peer: usize,
    ) -> WaitPolicy {
        let says = match waiting {
            Waiting::Sleeping => AWAKE,
            Waiting::Spinning => NEVER_SLEEPS,
        };
        let said = ring.memory.u32(word).swap(says, Ordering::SeqCst);
        if said == NEVER_SLEEPS && says != NEVER_SLEEPS {
            let _ = membarrier(MembarrierCommand::Global);
        }
        WaitPolicy {
            waiting,
            word,
            peer,
            apart: false,
            rest: 0,
            next_rest: 1,
            slept: 0,
            ticks: None,
            naps: Commentary::of("futex_wait"),
        }
    }

    /// The timeout of a futex(2). There is none once a timer of ours ticks: a timeout that
    /// the kernel must set and clear for every nap makes it a tenth slower, or more.
    fn nap(&mut self) -> Option<Duration> {
        if self.slept < TIMED_NAPS {
            self.slept += 1;
        } else if self.ticks.is_none() {
            self.ticks = ticks(NAP).ok();
        }
        self.ticks.is_none().then_some(NAP)
    }

    /// Whether the other side may do something while we look: not if there is none, not
    /// if it must wait for our CPU, and hardly if the last look was in vain.
    fn worth_a_look(&mut self, ring: &Ring) -> bool {
        if self.rest > 0 {
            self.rest -= 1;
            return false;
        }
        if !self.apart {
            let Some(peer) = ring.side(self.peer) else { return false };
            self.apart = may_run_beside(peer);
            self.rest = if self.apart { 0 } else { LONGEST_REST };
        }
        self.apart
    }

    /// Looks again and again until `ready`, or for [`NAP`].
    fn spin(&mut self, ring: &Ring, ready: impl Fn() -> bool) -> Result<bool> {
        if look(LOOK, &ready) {
            return Ok(true);
        }
        if let Some(peer) = ring.side(self.peer).filter(|_| !self.apart) {
            may_spin_beside(peer)?;
            self.apart = true;
        }
        // After a whole nap in vain it is time to ask again.
        let ready = look(NAP, ready);
        self.apart &= ready;
        Ok(ready)
    }
}

/// Looks again and again, for so long; whether it was `ready`.
fn look(time: Duration, ready: impl Fn() -> bool) -> bool {
    let mut until = None;
    loop {
        for _ in 0..100 {
            if ready() {
                return true;
            }
            std::hint::spin_loop();
        }
        // Not before the first look: the clock takes as long as a message.
        let now = Instant::now();
        if *until.get_or_insert(now + time) <= now {
            return false;
        }
    }
}

/// Whether this process and its peer can run at the same moment: not if both are bound
/// to one and the same CPU.
fn may_run_beside(peer: ProcessIdentity) -> bool {
    let Ok(ours) = sched_getaffinity(None) else { return true };
    let peer = i32::try_from(peer.pid).ok().and_then(Pid::from_raw);
    // Of a peer that has gone, or is in another name space, nothing is known.
    let theirs = peer.and_then(|peer| sched_getaffinity(Some(peer)).ok());
    ours.count() > 1 || theirs.is_some_and(|theirs| theirs != ours)
}

/// Refuses to spin where the peer waits for our very CPU.
pub(super) fn may_spin_beside(peer: ProcessIdentity) -> Result<()> {
    if may_run_beside(peer) {
        return Ok(());
    }
    Err(usage(format!(
        "--spin needs two processors, and the other side (pid {}) and we may only use \
         the same one: it cannot run while we look; leave --spin out",
        peer.pid
    )))
}
