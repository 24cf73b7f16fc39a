//! The exercises of the chapter unix.

use super::row::Exercise;

mod both_full;
mod cut;
mod private;
mod stale;
mod who;

/// The exercises.
pub(super) const ALL: &[Exercise] = &[
    who::ROW,
    stale::ROW,
    private::ROW,
    cut::ROW,
    both_full::ROW,
    super::design::locks::ROW,
];
