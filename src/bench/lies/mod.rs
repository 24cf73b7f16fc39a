//! `ipclab bench --lie`: wrong figures, made by the methods by which they are published,
//! each beside the right one. Both are measured now, on real processes.

use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;

use self::runner::Runner;
use super::ends::control::Control;
use super::job::Job;
use super::placement::Cpus;
use lab::interrupts::Interrupts;

mod alignment;
mod cold;
mod mixed;
mod runner;
mod spin;
mod stdio;
mod tell;
mod unread;

/// A way to publish a wrong figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Lie {
    /// Signals and stdio are timed together with the pipe
    Stdio,
    /// Both sides look again and again, and that is called the latency of a pipe
    Spin,
    /// One program runs on one CPU, and is compared with another on two
    Mixed,
    /// The receiver never touches what it receives
    Unread,
    /// A mean of few messages, the first of them included
    Cold,
    /// memcpy from and to wherever malloc says, and that is called the floor
    Alignment,
}

/// What all lies begin the names of their ends with.
const PREFIX: &str = "lie:";

/// `lie`, and what is wrong with it, in words for people.
///
/// # Errors
/// The ends' own errors; [`NotMeasured::Interrupted`](super::pair::NotMeasured).
pub(super) fn run(lie: Lie, dir: PathBuf, stop: &mut Interrupts) -> Result<String> {
    let mut runner = Runner { cpus: Cpus::choose()?, dir, stop, pairs: 0 };
    let told = match lie {
        Lie::Stdio => stdio::tell(&mut runner)?,
        Lie::Spin => spin::tell(&mut runner)?,
        Lie::Mixed => mixed::tell(&mut runner)?,
        Lie::Unread => unread::tell(&mut runner)?,
        Lie::Cold => cold::tell(&mut runner)?,
        Lie::Alignment => alignment::tell(&mut runner)?,
    };
    Ok(told.text())
}

/// Plays the end of a lie, if `job` is one.
pub(super) fn play(job: &Job, control: &Control) -> Option<Result<()>> {
    let name = job.mechanism.strip_prefix(PREFIX)?;
    Some(match name {
        "stdio" => stdio::play(job, control, true),
        "buffers" => stdio::play(job, control, false),
        "spin" => spin::play(job, control),
        "unread" => unread::play(job, control),
        _ => Err(anyhow::anyhow!("no lie of the bench: {name}")),
    })
}
