//! A second thread that looks on while the first one sleeps. Whoever forks may do so as if it
//! were not there: it holds no lock then, not even the allocator's, since it sleeps.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, sleep};
use std::time::Duration;

use crate::cleanup::without_signals;
use crate::memory;

/// Whether there is one. It is held locked while the thread does anything but sleep.
static THERE: Mutex<bool> = Mutex::new(false);
static BEGUN: Condvar = Condvar::new();

/// Locked, the thread sleeps.
pub(crate) fn held_off() -> MutexGuard<'static, bool> {
    THERE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has `look` called again and again in a thread, with `pause` before each call, until it
/// returns false. No signal is delivered to that thread. Where there is no room for a thread,
/// and where there is one already, nothing is done.
pub fn start(pause: Duration, mut look: impl FnMut() -> bool + Send + 'static) {
    /// It reads small files, and writes a line.
    const STACK: usize = 256 << 10;
    let mut there = held_off();
    if *there || !memory::is_there(STACK) {
        return;
    }
    let looks = move || {
        *held_off() = true;
        BEGUN.notify_one();
        loop {
            sleep(pause);
            let there = held_off();
            if !look() {
                // It stays, asleep: a thread that ends frees memory at a time of its own.
                drop(there);
                loop {
                    sleep(Duration::MAX);
                }
            }
        }
    };
    // It inherits the mask.
    let thread = Builder::new().name("onlooker".into()).stack_size(STACK);
    let made = without_signals(|| thread.spawn(looks));
    while made.is_ok() && !*there {
        there = BEGUN.wait(there).unwrap_or_else(PoisonError::into_inner);
    }
}
