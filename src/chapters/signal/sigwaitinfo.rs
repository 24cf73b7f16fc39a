//! Taking signals one by one, in the order of the program: no handler ever runs.

use anyhow::{Context, Result};

use os::signal::{Info, Set, catch, sigwaitinfo};

// ANCHOR: sigwaitinfo
/// Signals that are blocked, and taken by sigwaitinfo(2).
#[derive(Debug)]
pub struct Sigwaitinfo(Set);

impl Sigwaitinfo {
    /// Makes ready to take `signals`, which are blocked.
    pub fn of(signals: &[i32]) -> Result<Sigwaitinfo> {
        // A handler that never runs. While sigwaitinfo sleeps, /proc/PID/status does not
        // show its signals as blocked; it does show that they are caught. So a sender
        // that looks there first sees that they will not kill us.
        catch(signals).context("sigaction")?;
        Ok(Sigwaitinfo(Set::of(signals)))
    }

    /// The next signal; `None` when the handler of another interrupted the sleep.
    pub fn take(&mut self) -> Result<Option<Info>> {
        match sigwaitinfo(&self.0) {
            Ok(info) => Ok(Some(info)),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {
                Ok(None)
            }
            Err(error) => Err(error).context("sigwaitinfo"),
        }
    }
}
// ANCHOR_END: sigwaitinfo
