//! The exercises of the chapter semaphore.

use super::row::Exercise;

/// The exercises.
pub(super) const ALL: &[Exercise] = &[];
