//! The exercises of the chapter mmap.

use super::row::Exercise;

/// The exercises.
pub(super) const ALL: &[Exercise] = &[];
