//! The exercises of the chapter pipe.

use super::row::Exercise;

mod at_once;
mod polite;
mod run;
mod streams;

/// The exercises.
pub(super) const ALL: &[Exercise] = &[
    at_once::AT_ONCE,
    run::RUN,
    streams::STREAMS,
    polite::POLITE,
    super::design::pipeline::ROW,
];
