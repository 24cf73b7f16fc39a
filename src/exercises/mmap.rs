//! The exercises of the chapter mmap.

use super::row::Exercise;

mod extract;
mod record;
mod shrunk;

/// The exercises.
pub(super) const ALL: &[Exercise] = &[record::ROW, extract::ROW, shrunk::ROW];
