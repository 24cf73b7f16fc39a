//! A condition variable: of the C library, or made by hand of a futex(2).

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;

use super::options::Kind;
use os::calls::{futex_wait, futex_wake};
use os::mutex::{Condition, Mutex};
use os::shared::Shared;

/// How long a sleep lasts at most. A process that is killed wakes nobody, so a sleeper looks
/// around now and then.
const NAP: Duration = Duration::from_millis(100);

/// What has ended a sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Woken {
    /// A signal, or nothing that can be told from one.
    BySignal,
    /// [`NAP`] has passed.
    ByTime,
}

/// A condition variable in shared memory, of either kind.
#[derive(Debug)]
pub(super) enum Waitpoint {
    Pthread(Condition),
    Futex { memory: &'static Shared, at: usize },
}

// ANCHOR: condition
impl Waitpoint {
    pub(super) fn at(memory: &'static Shared, at: usize, kind: Kind) -> Waitpoint {
        match kind {
            Kind::Pthread => Waitpoint::Pthread(Condition::at(memory, at)),
            Kind::Futex => Waitpoint::Futex { memory, at },
        }
    }

    /// Unlocks the mutex, sleeps until a signal and at most for [`NAP`], and locks it again.
    /// Whoever calls it looks again afterwards: it may return without a signal, and another
    /// process may have had the mutex in between.
    pub(super) fn wait(&self, mutex: &Mutex) -> (Woken, nix::Result<()>) {
        match *self {
            Waitpoint::Pthread(condition) => {
                match condition.timedwait(mutex, SystemTime::now() + NAP) {
                    Err(Errno::ETIMEDOUT) => (Woken::ByTime, Ok(())),
                    waited => (Woken::BySignal, waited),
                }
            }
            Waitpoint::Futex { memory, at } => {
                let (signals, sleepers) = (memory.u32(at), memory.u32(at + 4));
                let seen = signals.load(Relaxed);
                sleepers.fetch_add(1, Relaxed);
                if let Err(error) = mutex.unlock() {
                    return (Woken::BySignal, Err(error));
                }
                // Does not sleep if a signal came since the unlock: the word is another.
                let slept = futex_wait(signals, seen, Some(NAP));
                let locked = mutex.lock();
                // Killed before this line, we are counted for ever: a signal then costs a
                // call more, and that is all.
                sleepers.fetch_sub(1, Relaxed);
                match slept {
                    Err(Errno::ETIMEDOUT) => (Woken::ByTime, locked),
                    // EFAULT: the memory was cut short; the next look reports it.
                    Ok(()) | Err(Errno::EAGAIN | Errno::EINTR | Errno::EFAULT) => {
                        (Woken::BySignal, locked)
                    }
                    Err(error) => (Woken::BySignal, Err(error)),
                }
            }
        }
    }

    /// Wakes one process that waits. Called once what it waits for was changed with the mutex:
    /// whoever sleeps since before that is counted by now.
    pub(super) fn signal(&self) -> nix::Result<()> {
        self.wake(1)
    }

    /// Wakes all.
    pub(super) fn broadcast(&self) -> nix::Result<()> {
        self.wake(i32::MAX as u32)
    }

    fn wake(&self, most: u32) -> nix::Result<()> {
        match *self {
            Waitpoint::Pthread(condition) if most == 1 => condition.signal(),
            Waitpoint::Pthread(condition) => condition.broadcast(),
            Waitpoint::Futex { memory, at } => {
                if memory.u32(at + 4).load(Relaxed) > 0 {
                    memory.u32(at).fetch_add(1, Relaxed); // first the word, then the call
                    futex_wake(memory.u32(at), most)?;
                }
                Ok(())
            }
        }
    }
}
// ANCHOR_END: condition
