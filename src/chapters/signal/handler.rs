//! Taking signals in a handler, which the kernel calls in the middle of what runs.
//!
//! Ours is called in the middle of sigsuspend(2) and nowhere else: the signals are
//! blocked at all other times. So it can interrupt no call and meet no held lock, and it
//! does nothing but store numbers in atomics (signal-safety(7)).

use anyhow::{Context, Result};

use os::signal::{Info, Set, catch, sigsuspend};

// ANCHOR: handler
/// Signals that are blocked, but for the time that sigsuspend(2) sleeps.
#[derive(Debug)]
pub struct Handler(Set);

impl Handler {
    /// Makes ready to take `signals`, which are blocked.
    pub fn of(signals: &[i32]) -> Result<Handler> {
        catch(signals).context("sigaction")?;
        Ok(Handler(Set::of(signals)))
    }

    /// The next signal; `None` when the handler of another signal interrupted the sleep.
    ///
    /// Unblocking with sigprocmask(2) and sleeping with pause(2) would leave a gap
    /// between the two: a signal that came in it would not wake us. sigsuspend(2) does
    /// both at once. It lets one handler run, and blocks the signals again.
    pub fn take(&mut self) -> Result<Option<Info>> {
        Ok(sigsuspend(&self.0))
    }
}
// ANCHOR_END: handler
