//! What a file that two processes share does that people do not expect.

use super::row::Experiment;

mod contents;
mod locks;
mod ranges;
mod watching;

/// The chapter's experiments, in the order of its page.
pub const ALL: &[Experiment] = &[
    contents::HALF_WRITTEN,
    contents::LOST_APPEND,
    contents::CREATED_TWICE,
    contents::OWN_WORDS,
    locks::CLOSE_DROPS_LOCK,
    locks::LOCK_AND_FORK,
    locks::DEADLOCK,
    ranges::UNLOCKED_MIDDLE,
    ranges::OWN_SECOND_LOCK,
    ranges::WHO_HAS_IT,
    watching::WATCHED_FILE,
    watching::COUNTED_EVENTS,
];
