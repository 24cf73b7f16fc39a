//! The exercises of the chapter file.

use super::row::Exercise;

mod append;
mod full_disk;
mod wait;

/// The exercises.
pub(super) const ALL: &[Exercise] =
    &[append::APPEND, full_disk::FULL_DISK, wait::WAIT];
