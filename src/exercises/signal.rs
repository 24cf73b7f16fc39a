//! The exercises of the chapter signal.

use super::row::Exercise;

/// The exercises.
pub(super) const ALL: &[Exercise] = &[super::design::jobs::ROW];
