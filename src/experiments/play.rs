//! One experiment, run in this process.

use std::os::fd::OwnedFd;
use std::path::Path;

use super::record::Record;
use super::row::Experiment;
use super::stage::{Missing, Stage};

/// Runs `experiment` in this process, and reports on `report`: what a director starts.
/// `scratch` is the run's own directory.
pub fn play(experiment: &Experiment, scratch: &Path, report: OwnedFd) {
    let stage = Stage::of(scratch, report);
    stage.tell(&match (experiment.run)(&stage) {
        Ok(answer) => Record::Answer(answer),
        Err(error) => match error.downcast_ref::<Missing>() {
            Some(Missing(what)) => Record::Needs((*what).to_owned()),
            None => Record::Failed(wire::errors::line(&error)),
        },
    });
}
