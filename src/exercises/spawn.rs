//! The exercises of the chapter spawn.

use super::row::Exercise;

mod detach;
mod ended;
mod filter;
mod lifeline;
mod terminal;
mod threads;

/// The exercises.
pub(super) const ALL: &[Exercise] = &[
    ended::ENDED,
    detach::DETACH,
    threads::THREADS,
    filter::FILTER,
    terminal::TERMINAL,
    lifeline::LIFELINE,
];
