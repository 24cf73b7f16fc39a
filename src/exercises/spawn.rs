//! The exercises of the chapter spawn.

use super::row::Exercise;

mod detach;
mod ended;
mod filter;
mod lifeline;

/// The exercises.
pub(super) const ALL: &[Exercise] =
    &[ended::ENDED, detach::DETACH, filter::FILTER, lifeline::LIFELINE];
