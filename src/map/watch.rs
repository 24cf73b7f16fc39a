//! One look after another.

use std::time::Duration;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags};

use lab::interrupts::Interrupts;
use lab::prose;
use os::calls::poll_until;

use super::look::look;
use super::model::{Kind, Map};
use super::select::Selection;
use super::{facts, json};

const EVERY: Duration = Duration::from_secs(1);

/// Looks every second until a signal ends it, and prints what is new (+) and gone (-); with
/// `json` each look, an object a line.
///
/// # Errors
/// As [`look`]: a process that was named has ended.
pub(super) fn watch(
    selection: &Selection,
    kinds: &[Kind],
    first: &Map,
    as_json: bool,
) -> Result<()> {
    let mut stop = Interrupts::watch()?;
    let mut before = facts::of(&json::line(first))?;
    loop {
        let mut fds = [PollFd::new(&stop.signals, PollFlags::IN)];
        poll_until(&mut fds, Some(EVERY)).context("poll")?;
        if stop.pending()?
            && let Some(signal) = stop.caught
        {
            return stop.end_by(signal);
        }
        let map = look(selection, kinds)?;
        let line = json::line(&map);
        if as_json {
            prose::print(&line)?;
            continue;
        }
        let now = facts::of(&line)?;
        let changes = facts::changes(&before, &now);
        if !changes.is_empty() {
            prose::print(&changes)?;
        }
        before = now;
    }
}
