//! The exercises of the chapter posixmq.

use super::row::Exercise;

/// The exercises.
pub(super) const ALL: &[Exercise] = &[];
