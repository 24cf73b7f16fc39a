//! The exercises of the chapter signal.

use super::row::Exercise;

mod children;
mod counter;
mod ready;

/// The exercises.
pub(super) const ALL: &[Exercise] =
    &[counter::COUNTER, ready::READY, children::CHILDREN, super::design::jobs::ROW];
