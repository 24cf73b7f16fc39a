//! The exercises of the chapter file.

use super::row::Exercise;

/// The exercises.
pub(super) const ALL: &[Exercise] = &[];
