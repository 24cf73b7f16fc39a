//! The exercises of the chapter fdpass.

use super::row::Exercise;

/// The exercises.
pub(super) const ALL: &[Exercise] = &[];
