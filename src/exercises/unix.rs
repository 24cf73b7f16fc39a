//! The exercises of the chapter unix.

use super::row::Exercise;

/// The exercises.
pub(super) const ALL: &[Exercise] = &[super::design::locks::ROW];
