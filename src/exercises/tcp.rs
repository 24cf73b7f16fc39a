//! The exercises of the chapter tcp.

use super::row::Exercise;

/// The exercises.
pub(super) const ALL: &[Exercise] = &[super::design::upgrade::ROW];
