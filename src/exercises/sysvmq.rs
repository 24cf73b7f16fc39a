//! The exercises of the chapter sysvmq.

use super::row::Exercise;

/// The exercises.
pub(super) const ALL: &[Exercise] = &[];
