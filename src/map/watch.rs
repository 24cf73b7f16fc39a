//! One look after another: what came and what went.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use colored::Colorize;
use rustix::event::{PollFd, PollFlags};

use lab::interrupts::Interrupts;
use lab::prose;
use os::calls::poll_until;

use super::json;
use super::label::short;
use super::look::look;
use super::model::{Kind, Map};
use super::select::Selection;
use super::text::{cycle_text, descriptor};

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
    let mut before = facts(first);
    loop {
        let mut fds = [PollFd::new(&stop.signals, PollFlags::IN)];
        poll_until(&mut fds, Some(EVERY)).context("poll")?;
        if stop.pending()?
            && let Some(signal) = stop.caught
        {
            return stop.end_by(signal);
        }
        let map = look(selection, kinds)?;
        if as_json {
            prose::print(&json::line(&map))?;
            continue;
        }
        let now = facts(&map);
        let gone = before.difference(&now).map(|fact| format!("- {fact}\n").red());
        let new = now.difference(&before).map(|fact| format!("+ {fact}\n").green());
        let changes: String = gone.chain(new).map(|line| line.to_string()).collect();
        if !changes.is_empty() {
            prose::print(&changes)?;
        }
        before = now;
    }
}

/// What is true now, a sentence each.
fn facts(map: &Map) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (at, process) in map.processes.iter().enumerate().filter(|(_, it)| it.shown)
    {
        all.insert(map.who(at));
        for sleep in &process.sleeps {
            for wait in &sleep.waits {
                if let Some(on) = super::label::waited_on(map, wait.on) {
                    all.insert(format!(
                        "{} sleeps in {} on {on}",
                        map.who(at),
                        sleep.call
                    ));
                }
            }
        }
    }
    for object in map.objects.iter().filter(|object| object.shown) {
        for holder in &object.holders {
            all.insert(format!(
                "{} holds {}: {}",
                map.who(holder.process),
                short(object),
                descriptor(holder)
            ));
        }
    }
    all.extend(map.remarks.iter().map(|remark| remark.text.clone()));
    all.extend(
        map.cycles.iter().map(|cycle| format!("cycle: {}", cycle_text(map, cycle))),
    );
    all
}
