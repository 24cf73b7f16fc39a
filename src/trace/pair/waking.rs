//! Which call woke one that slept.

use std::collections::{BTreeMap, HashSet};

use super::super::event::Event;
use super::found::{Found, MANY};

/// What happened to one object on which calls sleep.
#[derive(Debug, Default)]
pub(super) struct Waking {
    /// The calls that woke others; how many, if the kernel returned that.
    pub(super) wakes: Vec<(usize, Option<u64>)>,
    /// The calls that may have woken others.
    pub(super) stirs: Vec<usize>,
    /// The calls that were woken.
    pub(super) woken: Vec<usize>,
}

/// A call that slept is joined with the one that woke it, if only one can have. One call may have
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
        // It cannot have woken more than the kernel returned.
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
