//! The exercises of the chapter shm.

use super::row::Exercise;

/// The exercises.
pub(super) const ALL: &[Exercise] = &[];
