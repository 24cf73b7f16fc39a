//! The exercises of the chapter dbus.

use super::row::Exercise;

/// The exercises.
pub(super) const ALL: &[Exercise] = &[];
