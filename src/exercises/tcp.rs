//! The exercises of the chapter tcp.

use super::row::Exercise;

mod activated;
mod lines;
mod lost_client;
mod restart;
mod silent;
mod zombies;

/// The exercises.
pub(super) const ALL: &[Exercise] = &[
    restart::ROW,
    lines::ROW,
    lost_client::ROW,
    zombies::ROW,
    activated::ROW,
    silent::ROW,
    super::design::upgrade::ROW,
];
