//! Who woke a call that slept, and whose close ended a stream.

use std::collections::{BTreeMap, HashSet};

use super::super::event::Event;
use super::{CLOSED, Found, MANY, Traffic};

/// What happened at one place where calls sleep.
#[derive(Debug, Default)]
pub(super) struct Waking {
    /// Who woke somebody there; how many, if the kernel told.
    pub(super) wakes: Vec<(usize, Option<u64>)>,
    /// Who may have woken somebody.
    pub(super) stirs: Vec<usize>,
    /// Who was woken.
    pub(super) woken: Vec<usize>,
}

/// Who slept is joined with who woke it, if only one can have done it. One call may have
/// slept for several reasons.
pub(super) fn woken<'a>(
    all: &[Event],
    wakings: impl Iterator<Item = &'a Waking>,
    found: &mut Found,
) {
    let mut wakers: BTreeMap<usize, HashSet<usize>> = BTreeMap::new();
    let mut counts: BTreeMap<usize, Option<u64>> = BTreeMap::new();
    let mut stirs: HashSet<usize> = HashSet::new();
    for waking in wakings {
        counts.extend(waking.wakes.iter().copied());
        stirs.extend(&waking.stirs);
        for &to in waking.woken.iter().filter(|event| all[**event].slept) {
            let meanwhile = |from: &usize| {
                let (wake, sleep) = (&all[*from], &all[to]);
                *from != to
                    && wake.begin < sleep.end.unwrap_or(u64::MAX)
                    && wake.end.is_some_and(|end| end > sleep.begin)
            };
            let wakes = waking.wakes.iter().map(|(from, _)| *from);
            let stirs = waking.stirs.iter().copied();
            let own = wakers.entry(to).or_default();
            own.extend(wakes.chain(stirs).filter(meanwhile));
        }
    }
    let mut woken: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (to, wakers) in wakers {
        match wakers.into_iter().collect::<Vec<_>>().as_slice() {
            [] => {}
            [from] if !stirs.contains(from) => {
                woken.entry(*from).or_default().push(to)
            }
            _ => found.doubt([to], MANY),
        }
    }
    for (from, sleepers) in woken {
        // It cannot have woken more than the kernel says.
        let most = counts.get(&from).copied().flatten().unwrap_or(u64::MAX);
        if sleepers.len() as u64 > most {
            found.doubt(sleepers, MANY);
            continue;
        }
        for to in sleepers {
            found.arrow(from, to);
        }
    }
}

/// The close that ended a stream: after it nobody could write any more. Whoever finds the
/// end is joined with it once.
pub(super) fn ended(all: &[Event], traffic: &Traffic<'_>, found: &mut Found) {
    let end = |event: usize| all[event].end.unwrap_or(u64::MAX);
    // It may have been an empty message.
    if traffic.queue.puts.iter().any(|put| put.load.units == 0) {
        return;
    }
    let mut ends = traffic.ends.clone();
    ends.sort_by_key(|event| end(*event));
    let mut joined = HashSet::new();
    for to in ends {
        let reopened =
            traffic.reopens.iter().filter(|event| end(**event) <= all[to].begin);
        let since = reopened.map(|event| all[*event].begin).max().unwrap_or(0);
        let closes = traffic.closes.iter().filter(|(event, left)| {
            *left != Some(true) && all[*event].begin < end(to) && end(*event) > since
        });
        let mut closes: Vec<_> = closes.copied().collect();
        closes.sort_by_key(|(event, _)| all[*event].begin);
        // The first that left none; else, where nobody could be asked, the last of all.
        let last = closes.iter().position(|(_, left)| *left == Some(false));
        let Some(index) = last.or(closes.len().checked_sub(1)) else {
            if !traffic.closes.is_empty() {
                found.doubt([to], CLOSED);
            }
            continue;
        };
        let from = closes[index].0;
        let at_once = |(other, _): &(usize, Option<bool>)| {
            *other != from
                && all[*other].begin < end(from)
                && end(*other) > all[from].begin
        };
        if closes.iter().any(at_once) {
            found.doubt([to], CLOSED);
        } else if joined.insert((from, all[to].process)) {
            found.arrow(from, to);
        }
    }
}
