//! How long the learner's program takes to start, and what follows from that for its stages.

use std::time::{Duration, Instant};

use anyhow::Result;
use nix::sys::signal::Signal;

use lab::interrupts::Interrupts;
use lab::scratch::Scratch;
use os::spawn::lead_session;
use process::{Input, RoleProcess};

use super::folder::Started;
use super::row::Exercise;
use super::run::{LOOK, Over, settle};
use super::verdict::{Report, Verdict};

/// How a run is measured: in the time in which the learner's program starts and ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// That time.
    start: Duration,
}

impl Pace {
    /// How long a stage may take. One that sleeps for good is found out long before: this is
    /// for those that do not sleep, and long enough for a machine with much else to do.
    pub(super) fn deadline(self) -> Duration {
        (self.start * 15).max(Duration::from_secs(15))
    }

    /// How long a program must have slept that waits for another: at its start it may sleep, too.
    pub(super) fn settled(self) -> Duration {
        (self.start / 2).max(Duration::from_millis(20))
    }

    /// How long all must have slept, with nothing that could wake them, to be called hung.
    pub(super) fn quiet(self) -> Duration {
        (self.start * 8).max(Duration::from_millis(800))
    }
}

/// Starts the program without arguments, as a program is that prints its usage: how long that
/// takes, or why it cannot be.
///
/// # Errors
/// None of the program's: those are the report.
pub(super) fn measure(
    exercise: &Exercise,
    started: &Started,
    stop: &mut Interrupts,
) -> Result<std::result::Result<Pace, Report>> {
    let began = Instant::now();
    let scratch = Scratch::make()?;
    let mut command = match exercise.is_launched() {
        true => started.world(2, scratch.path()),
        false => started.command(),
    };
    lead_session(&mut command);
    let process = match RoleProcess::start("program", command, Input::Nothing) {
        Ok(process) => process,
        Err(error) => {
            let fault =
                format!("It cannot be started: {}.", wire::errors::line(&error));
            return Ok(Err(Report::new(Verdict::CouldNotRun, fault)));
        }
    };
    let mut all = [process];
    let deadline = Instant::now() + Duration::from_secs(60);
    let waits = (Duration::from_secs(3), USAGE_TICKS);
    let over = settle(&mut all, stop, deadline, waits)?;
    let [mut process] = all;
    if over == Over::Flood {
        let _ = process.stop(Signal::SIGKILL, Instant::now() + LOOK * 100)?;
        let fault = "Started without arguments, it prints without end: it must print its \
                     usage, and end with status 2.";
        return Ok(Err(Report::new(Verdict::CouldNotRun, fault.into())));
    }
    if !process.has_ended() {
        let _ = process.stop(Signal::SIGKILL, Instant::now() + LOOK * 100)?;
        let fault = "Started without arguments, it does not end: it must print its usage, \
                     and end with status 2.";
        return Ok(Err(Report::new(Verdict::CouldNotRun, fault.into())));
    }
    let outcome = process.wait(Instant::now() + LOOK * 100)?;
    let start = began.elapsed();
    if outcome.status.code() == Some(127) || outcome.status.code() == Some(126) {
        let fault =
            format!("It ended with {}, before its program began.", outcome.status);
        let mut report = Report::new(Verdict::CouldNotRun, fault);
        report.tell("It said", &outcome.stderr);
        return Ok(Err(report));
    }
    Ok(Ok(Pace { start }))
}

/// More clock ticks than a program computes to print its usage.
const USAGE_TICKS: u64 = 500;
