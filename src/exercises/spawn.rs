//! The exercises of the chapter spawn.

use super::row::Exercise;

mod detach;
mod filter;
mod lifeline;

/// The exercises.
pub(super) const ALL: &[Exercise] =
    &[detach::DETACH, filter::FILTER, lifeline::LIFELINE];
