//! The exercises of the chapter mpi.

use super::row::Exercise;

/// The exercises.
pub(super) const ALL: &[Exercise] = &[];
