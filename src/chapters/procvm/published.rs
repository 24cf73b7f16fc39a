//! How a reader learns where the memory is: from a file that the target publishes.

use std::fmt::{self, Display, Formatter};
use std::path::Path;

use anyhow::{Context, Result};

use crate::signal::published::{living, until_published};
use crate::signal::target::Target as Process;
use os::cleanup::Object;
use wire::meet::{self, Presence, Rendezvous};
use wire::say;

#[cfg(any(test, fuzzing))]
#[path = "../../../tests/fuzz/targets/memory.rs"]
pub(crate) mod fuzz;

// ANCHOR: published
/// What a target publishes, as one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Published {
    /// Its pid.
    pub(super) pid: i32,
    /// When it began, in clock ticks since boot; 0 if it does not say.
    pub(super) start: u64,
    /// The address of the table, in the target; hexadecimal in the line, as in /proc/PID/maps.
    pub(super) table: u64,
    /// The number of the eventfd that wakes the reader, in the target.
    pub(super) offered: i32,
    /// The number of the eventfd that wakes the target.
    pub(super) taken: i32,
}

impl Display for Published {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Published { pid, start, table, offered, taken } = self;
        write!(f, "{pid} {start} {table:x} {offered} {taken}")
    }
}

impl Published {
    /// Five numbers and a newline; a file cut short is none.
    fn parse(text: &str) -> Option<Published> {
        let words: Vec<_> = text.strip_suffix('\n')?.split(' ').collect();
        let [pid, start, table, offered, taken] = words[..] else { return None };
        let published = Published {
            pid: pid.parse().ok()?,
            start: start.parse().ok()?,
            table: u64::from_str_radix(table, 16).ok()?,
            offered: offered.parse().ok()?,
            taken: taken.parse().ok()?,
        };
        (published.pid > 0 && published.offered >= 0 && published.taken >= 0)
            .then_some(published)
    }
}
// ANCHOR_END: published

/// The target that has published itself at `rendezvous`; waits until there is one.
pub(super) fn find(
    rendezvous: &Rendezvous,
    presence: &mut Presence,
) -> Result<(Published, Process)> {
    let path = rendezvous.path();
    let name = path.display();
    let waits = || {
        say::waiting(
            format_args!("no target has published its memory at {name} yet"),
            &rendezvous.peer("target"),
        );
    };
    until_published(&path, waits, || {
        let Some(published) = read(&path)? else { return Ok(None) };
        let target = living(published.pid, published.start)?;
        if target.is_none() {
            // A target removes its file; this one was killed.
            presence.adopt(&Object::Path(path.clone()))?;
        }
        Ok(target.map(|target| (published, target)))
    })
}

/// What lies at `path`, if anything does.
pub(super) fn read(path: &Path) -> Result<Option<Published>> {
    let Some(text) = meet::published(path)? else { return Ok(None) };
    let published = Published::parse(&String::from_utf8_lossy(&text));
    let name = path.display();
    let what = "is not what a target publishes; use --at NAME for another place";
    published.with_context(|| format!("{name} {what}")).map(Some)
}
