//! What is measured together, and for how long.

use super::kind::ServerKind;
use crate::model::Placement;

/// Servers that are measured in turns, under the same load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// The servers.
    pub kinds: &'static [ServerKind],
    /// So many clients ask.
    pub busy: usize,
    /// So many are connected and silent.
    pub idle: usize,
    /// Whether a short run has it, too.
    quick: bool,
}

impl Group {
    const fn of(kinds: &'static [ServerKind], busy: usize, idle: usize) -> Group {
        Group { kinds, busy, idle, quick: false }
    }

    const fn quick(self) -> Group {
        Group { quick: true, ..self }
    }

    /// Whether requests at a fixed rate are measured, too.
    pub fn has_open_loop(&self) -> bool {
        self.idle == 0 && !self.kinds.contains(&ServerKind::Fdpass)
    }
}

const MULTIPLEXERS: &[ServerKind] =
    &[ServerKind::Select, ServerKind::Poll, ServerKind::Epoll];
/// Those that have room for more clients than FD_SETSIZE.
const ROOMY: &[ServerKind] = &[ServerKind::Poll, ServerKind::Epoll];
/// As many clients as select(2) can watch, in a round number: FD_SETSIZE is 1,024.
const OF_SELECT: usize = 900;

/// All that there is to measure.
const GROUPS: &[Group] = &[
    Group::of(&[ServerKind::Iterative, ServerKind::Fork, ServerKind::Threads], 1, 0)
        .quick(),
    Group::of(&[ServerKind::Fork, ServerKind::Threads], 64, 0).quick(),
    Group::of(&[ServerKind::Fork, ServerKind::Threads], 1000, 0),
    Group::of(MULTIPLEXERS, 1, 0).quick(),
    Group::of(MULTIPLEXERS, 64, 0).quick(),
    Group::of(&[ServerKind::Select], OF_SELECT, 0),
    Group::of(ROOMY, 1000, 0),
    Group::of(MULTIPLEXERS, 1, 10),
    Group::of(MULTIPLEXERS, 1, 100),
    Group::of(MULTIPLEXERS, 1, OF_SELECT).quick(),
    Group::of(ROOMY, 1, 1000),
    Group::of(ROOMY, 1, 10_000),
    Group::of(&[ServerKind::Fdpass], 1, 0).quick(),
    Group::of(&[ServerKind::Fdpass], 8, 0),
];

/// The groups of a run, each in each placement. A short one has the cross placement for
/// one group a chapter at most.
pub fn groups(quick: bool, chapters: &[String]) -> Vec<(Group, Placement)> {
    let wanted = |group: &&Group| {
        let chapter = group.kinds[0].chapter();
        let named =
            chapters.is_empty() || chapters.iter().any(|name| name == chapter);
        named && (group.quick || !quick)
    };
    let mut all = Vec::new();
    for group in GROUPS.iter().filter(wanted) {
        all.push((*group, Placement::Same));
        if !quick || group.busy == 64 {
            all.push((*group, Placement::CrossBlocking));
        }
    }
    all
}

/// How long things take, in nanoseconds, and how often they are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// A window that does not count.
    pub warm_up: u64,
    /// A window of the closed loop.
    pub window: u64,
    /// How many of them; every other round goes backwards.
    pub rounds: usize,
    /// A window of the open loop.
    pub open: u64,
    /// How many of them at each rate.
    pub opens: usize,
    /// At which shares of the closed loop's rate requests come due, in percent.
    pub rates: &'static [u32],
}

const MS: u64 = 1_000_000;

impl Effort {
    /// A short run's, or a full one's.
    pub fn of(quick: bool) -> Effort {
        match quick {
            true => Effort {
                warm_up: 5 * MS,
                window: 20 * MS,
                rounds: 3,
                open: 20 * MS,
                opens: 3,
                rates: &[80],
            },
            false => Effort {
                warm_up: 20 * MS,
                window: 100 * MS,
                rounds: 6,
                open: 60 * MS,
                opens: 3,
                rates: &[50, 80],
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use os::ready::FD_SETSIZE;

    #[test]
    fn select_is_never_asked_for_more_than_it_can_watch() {
        for group in
            GROUPS.iter().filter(|group| group.kinds.contains(&ServerKind::Select))
        {
            assert!(group.busy + group.idle + 64 < FD_SETSIZE, "{group:?}");
        }
    }

    #[test]
    fn each_kind_is_in_a_run_and_in_a_short_one_and_chapters_choose() {
        for quick in [false, true] {
            let all = groups(quick, &[]);
            for kind in ServerKind::ALL {
                let has = |(group, _): &(Group, _)| group.kinds.contains(&kind);
                assert!(all.iter().any(has), "{kind:?}, quick: {quick}");
            }
        }
        let some = groups(false, &["fdpass".to_owned()]);
        assert!(some.iter().all(|(group, _)| group.kinds == [ServerKind::Fdpass]));
        assert_eq!(some.len(), 4);
        assert!(groups(false, &["pipe".to_owned()]).is_empty());
    }
}
