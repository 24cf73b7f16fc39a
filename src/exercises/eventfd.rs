//! The exercises of the chapter eventfd.

use super::row::Exercise;

/// The exercises.
pub(super) const ALL: &[Exercise] = &[];
