//! The exercises of the chapter multiplex.

use super::row::Exercise;

/// The exercises.
pub(super) const ALL: &[Exercise] = &[];
