//! The exercises of the chapter pipe.

use super::row::Exercise;

/// The exercises.
pub(super) const ALL: &[Exercise] = &[super::design::pipeline::ROW];
