//! Files: which write put the bytes there that a read found.

use std::collections::HashMap;

use super::super::event::{Effect, Event, Load, Trace};
use super::flow::{Same, compared};
use super::found::{Found, ORDER, OTHERS, UNKEPT};

/// What happened to a file.
#[derive(Debug, Clone, Copy)]
pub(super) enum FileStep<'a> {
    /// Bytes were written, from there on.
    Write(u64, &'a Load),
    /// Bytes were read, from there on.
    Read(u64, &'a Load),
    /// What was beyond is gone.
    Size(u64),
    /// What is in it is not known.
    Lost,
}

/// A part of a file: from, to.
type Part = (u64, u64);

/// From when on a file was mapped as well: a process that maps it writes to its pages unseen.
pub(super) fn mapped(trace: &Trace) -> HashMap<String, u64> {
    let mut since = HashMap::new();
    for event in &trace.events {
        for effect in &event.effects {
            let Effect::Share(_, id) = effect else { continue };
            let key = trace.objects.get(*id).key.clone();
            since.entry(key).or_insert(event.begin);
        }
    }
    since
}

/// Joins reads with the writes of their bytes, `mapped` being when the file became memory
/// too.
pub(super) fn paired(
    all: &[Event],
    steps: &[(usize, FileStep<'_>)],
    mapped: u64,
    found: &mut Found,
) {
    let end = |event: usize| all[event].end.unwrap_or(u64::MAX);
    let mut changes: Vec<(usize, FileStep<'_>)> = steps.to_vec();
    changes.retain(|(_, step)| !matches!(step, FileStep::Read(..)));
    changes.sort_by_key(|(event, _)| end(*event));
    if !changes.iter().any(|(_, step)| matches!(step, FileStep::Write(..))) {
        return;
    }
    for (to, step) in steps {
        let FileStep::Read(at, got) = step else { continue };
        if all[*to].begin >= mapped || got.units == 0 {
            continue;
        }
        let mut open: Vec<Part> = vec![(*at, at + got.units)];
        let begun =
            |(event, _): &&(usize, FileStep<'_>)| all[*event].begin < end(*to);
        for (index, (from, change)) in changes.iter().enumerate().rev() {
            if !begun(&&changes[index]) {
                continue;
            }
            if open.is_empty() {
                break;
            }
            let part = reach(change);
            let own = common(&open, part);
            if own.is_empty() {
                continue;
            }
            open = without(&open, part);
            let FileStep::Write(start, put) = change else { continue };
            // Of two at the same time it is not known which was the later.
            let at_once = |other: usize| {
                end(*from) > all[other].begin && end(other) > all[*from].begin
            };
            let rivals = changes.iter().filter(|(other, step)| {
                other != from
                    && at_once(*other)
                    && !common(&own, reach(step)).is_empty()
            });
            if at_once(*to) || rivals.count() > 0 {
                found.doubt([*to], ORDER);
                continue;
            }
            let same: Vec<Same> = own
                .iter()
                .map(|part| compared((*start, put), (*at, got), *part))
                .collect();
            if same.contains(&Same::No) {
                found.doubt([*to], OTHERS);
            } else if same.contains(&Same::Yes) {
                found.arrow(*from, *to);
            } else {
                found.doubt([*to], UNKEPT);
            }
        }
    }
}

/// Which bytes a change concerns.
fn reach(step: &FileStep<'_>) -> Part {
    match step {
        FileStep::Write(from, load) => (*from, from + load.units),
        FileStep::Size(size) => (*size, u64::MAX),
        FileStep::Read(..) => (0, 0),
        FileStep::Lost => (0, u64::MAX),
    }
}

/// What of `parts` lies in `other`.
fn common(parts: &[Part], other: Part) -> Vec<Part> {
    let both = parts.iter().map(|part| (part.0.max(other.0), part.1.min(other.1)));
    both.filter(|(from, to)| from < to).collect()
}

/// What of `parts` does not.
fn without(parts: &[Part], other: Part) -> Vec<Part> {
    let sides = parts.iter().flat_map(|part| {
        [(part.0, part.1.min(other.0)), (part.0.max(other.1), part.1)]
    });
    sides.filter(|(from, to)| from < to).collect()
}
