//! The director: starts a stage as a process of its own, keeps its time, and clears up
//! after it, however it ends.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::waitpid;
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::set_child_subreaper;
use rustix::stdio::{dup2_stdout, stdout};

use super::entry::Entry;
use experiments::play::play;
use experiments::record::Record;
use experiments::row::{Experiment, Kind};
use lab::interrupts::{Interrupts, WaitOutcome, wait_for_all};
use lab::scratch::Scratch;
use os::cleanup::remove_now;
use os::process_identity::ProcessIdentity;
use process::{Input, RoleProcess};
use wire::meet::{kernel_prefix_of, parse};

/// How long one run may take; each takes far less.
const DEADLINE: Duration = Duration::from_secs(20);

/// What came of one run.
#[derive(Debug)]
pub(super) struct Observed {
    /// Calls, events, observations and notes, in the order of their reports.
    pub(super) records: Vec<Record>,
    /// How it ended.
    pub(super) ended: Ended,
}

/// How a run ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// The kernel gave this answer: its number, from 1.
    Answered(usize),
    /// It cannot be run here, for want of this.
    Needs(String),
    /// It went wrong.
    Failed(String),
}

impl Observed {
    /// Why there is no answer, as the error that the program ends with.
    pub(super) fn trouble(&self, (chapter, experiment): Entry) -> String {
        let id = format!("{chapter}/{}", experiment.name);
        match &self.ended {
            Ended::Answered(_) => String::new(),
            Ended::Needs(what) => {
                format!(
                    "experiment {id} cannot run here: it needs {what}; ipclab doctor {chapter} \
                     tells more"
                )
            }
            Ended::Failed(why) => format!("experiment {id}: {why}"),
        }
    }
}

/// Runs one, and leaves nothing behind: no process, no file, no kernel object.
///
/// # Errors
/// When its process could not be started. A signal ends this process, after all is clean.
pub(super) fn run(
    one: Entry,
    stop: &mut Interrupts,
    quiet: bool,
) -> Result<Observed> {
    let (chapter, experiment) = one;
    // The stage reads in /proc what its processes do.
    ProcessIdentity::own().context("readlink /proc/self")?;
    let scratch = Scratch::make()?;
    // An orphan of the stage becomes our child, and can be reaped.
    set_child_subreaper(rustix::process::Pid::from_raw(1)).context("prctl")?;
    let mut command = Command::new(std::env::current_exe().context("readlink")?);
    command
        .arg("experiment")
        .arg(format!("{chapter}/{}", experiment.name))
        .arg("--on-stage")
        .arg(scratch.path())
        .process_group(0);
    let spinner = spinner(quiet);
    let mut playing = [RoleProcess::start("stage", command, Input::Nothing)?];
    let group = playing[0].pid();
    let waited = wait_for_all(&mut playing, stop, Instant::now() + DEADLINE)?;
    let in_time = waited != WaitOutcome::Stopped;
    let _ = killpg(group, Signal::SIGKILL);
    let [stage] = playing;
    let outcome = stage.wait(Instant::now() + DEADLINE)?;
    while !matches!(waitpid(None, None), Err(Errno::ECHILD)) {}
    spinner.finish_and_clear();

    let prefix = kernel_prefix_of(Some(scratch.path().as_os_str()));
    let mut records = Record::all_of(&outcome.stdout);
    for record in &records {
        if let Record::Made(line) = record
            && let Some(object) = parse(line, &prefix)
        {
            let _ = remove_now(&object); // most of them have gone by themselves
        }
    }
    drop(scratch);
    if let Some(signal) = stop.caught {
        stop.end_by(signal)?;
    }
    let mut ended = Ended::Failed(match in_time {
        true => format!("ended by {}: {}", outcome.status, outcome.stderr.trim()),
        false => format!("not done within {} s", DEADLINE.as_secs()),
    });
    records.retain(|record| {
        ended = match record {
            Record::Answer(answer) => Ended::Answered(*answer),
            Record::Needs(what) => Ended::Needs(what.clone()),
            Record::Failed(why) => Ended::Failed(why.clone()),
            Record::Made(_) => return false,
            _ => return true,
        };
        false
    });
    Ok(Observed { records, ended })
}

/// Plays the run in this process, which a director has started: the report goes where
/// standard output went, and standard output nowhere.
///
/// # Errors
/// When descriptors run out.
pub(super) fn play_here(experiment: &Experiment, scratch: &OsString) -> Result<()> {
    let report = fcntl_dupfd_cloexec(stdout(), 3).context("dup")?;
    let nowhere = File::options().write(true).open("/dev/null").context("open")?;
    dup2_stdout(&nowhere).context("dup2")?;
    let scratch: &OsStr = scratch;
    play(experiment, Path::new(scratch), report);
    Ok(())
}

/// Shown while a run takes its time, on a terminal.
fn spinner(quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner().with_message("the kernel is being asked");
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

/// What kind of answer it is, if that must be said.
pub(super) fn caveat(kind: Kind) -> Option<String> {
    match kind {
        Kind::Kernel => None,
        Kind::Model => Some("Computed by a model, not by the kernel.".into()),
        Kind::Needs(probe) => Some(format!("Needs {}.", probe.what)),
    }
}
