//! The exercises of the chapter multiplex.

use super::row::Exercise;

mod edge;
mod fanout;
mod lines;
mod lost_client;
mod no_descriptor;
mod no_reader;

/// The exercises.
pub(super) const ALL: &[Exercise] = &[
    lost_client::ROW,
    lines::ROW,
    edge::ROW,
    no_descriptor::ROW,
    no_reader::ROW,
    fanout::ROW,
];
