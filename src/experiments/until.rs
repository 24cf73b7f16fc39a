//! Waiting for what no event reports: a state in /proc, a number in a socket.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long [`until`] looks at most; the director's deadline is longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks, again and again, until there is something to see.
///
/// # Errors
/// The errors of looking; after 5 s `missing` names what is not there.
pub fn until<T>(
    missing: impl FnOnce() -> String,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look()? {
            return Ok(seen);
        }
        if Instant::now() > deadline {
            bail!(missing());
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}
