//! Waiting for the other side: a short look, then a futex(2).
//!
//! A futex is a word that both share and a queue of sleepers in the kernel. The kernel is
//! asked only to sleep and to wake a sleeper, so a side that never waits never calls it.

use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::thread::futex;

use crate::wire::say::Tally;

/// How one waits for the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Looks a short while, then sleeps in the kernel.
    Sleeping,
    /// Looks again and again, and never sleeps. Takes a processor for itself.
    Spinning,
}

/// How long to look again and again before a sleep: short, and shorter still when it was
/// in vain. Zero where the other side cannot run meanwhile.
#[derive(Debug)]
pub(super) struct Patience {
    waiting: Waiting,
    looks: u32,
    most: u32,
    naps: Tally,
}

const MOST_LOOKS: u32 = 1000;

/// How long one sleeps before it looks whether its peer still lives: a process that was
/// killed wakes nobody, and Python's standard library has no futex.
const NAP: Duration = Duration::from_millis(100);

// ANCHOR: wait
impl Patience {
    pub(super) fn new(waiting: Waiting) -> Patience {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let most = if processors > 1 { MOST_LOOKS } else { 0 };
        Patience { waiting, looks: most, most, naps: Tally::of("futex_wait") }
    }

    /// Waits until `ready`, at most [`NAP`]; whether it is.
    pub(super) fn wait(
        &mut self,
        word: &AtomicU32,
        ready: impl Fn() -> bool,
        why: impl FnOnce() -> String,
    ) -> Result<bool> {
        if self.waiting == Waiting::Spinning {
            return Ok(spin(ready));
        }
        for _ in 0..self.looks {
            if ready() {
                self.looks = (self.looks * 2).min(self.most);
                return Ok(true);
            }
            std::hint::spin_loop();
        }
        self.looks = (self.looks / 2).max(self.most.min(8));
        word.store(1, Ordering::Relaxed);
        // The word is set before we look once more; see `Writer::publish`.
        fence(Ordering::SeqCst);
        if !ready() {
            self.naps.call(0, || format!("futex(FUTEX_WAIT): {}", why()));
            let nap = futex::Timespec { tv_sec: 0, tv_nsec: NAP.as_nanos() as i64 };
            // Not FUTEX_PRIVATE_FLAG: the two sides have no address in common. The kernel
            // sleeps only if the word is still 1, or whoever wakes us came too early.
            match futex::wait(word, futex::Flags::empty(), 1, Some(&nap)) {
                Ok(())
                | Err(
                    rustix::io::Errno::AGAIN
                    | rustix::io::Errno::INTR
                    | rustix::io::Errno::TIMEDOUT,
                ) => {}
                Err(error) => return Err(error).context("futex(FUTEX_WAIT)"),
            }
        }
        word.store(0, Ordering::Relaxed);
        Ok(ready())
    }
}

/// Wakes the other side if it sleeps on `word`.
#[inline]
pub(super) fn wake(word: &AtomicU32, wakes: &mut Tally) {
    if word.load(Ordering::Relaxed) != 0 {
        wake_sleeper(word, wakes);
    }
}

#[cold]
fn wake_sleeper(word: &AtomicU32, wakes: &mut Tally) {
    // So that it is woken once, not for each message until it runs.
    word.store(0, Ordering::Relaxed);
    wakes.call(0, || "futex(FUTEX_WAKE): the other side sleeps".to_owned());
    // It cannot fail on memory that is mapped; and a sleeper looks again by itself.
    let _ = futex::wake(word, futex::Flags::empty(), 1);
}
// ANCHOR_END: wait

/// Looks again and again until `ready`, or for [`NAP`].
fn spin(ready: impl Fn() -> bool) -> bool {
    let began = Instant::now();
    while began.elapsed() < NAP {
        for _ in 0..1000 {
            if ready() {
                return true;
            }
            std::hint::spin_loop();
        }
    }
    ready()
}
