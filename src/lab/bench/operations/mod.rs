//! What single operations cost: to open, to connect, to create and to remove, to wake
//! somebody up, to pass a descriptor.
//!
//! They run in a process of its own with one thread, pinned to one CPU, in batches: the
//! figure is the median batch's time divided by its operations.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use self::table::{Ground, Operation};
use super::model::{Figure, Outcome, Placement, Ratio, Row, Unit, What};
use super::placement::{Awake, Cpus};
use super::servers::Settings;
use super::servers::lines::{Interrupted, Lines};
use super::servers::measure::median;
use super::servers::session::{DEADLINE, scratch, start, why_it_ended};
use crate::errors::line;
use crate::lab::interrupts::Interrupts;
use crate::process::{Input, Output};

mod files;
mod memory;
mod passing;
mod queues;
mod sockets;
mod table;
mod wakeups;

/// What the process that times operations is told. Not for people: the bench starts it.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// A directory of its own
    #[arg(long)]
    dir: PathBuf,

    /// Shorter batches, and fewer
    #[arg(long)]
    short: bool,

    /// The CPU for those that another process takes part in from there
    #[arg(long)]
    other_cpu: Option<usize>,

    /// Only the operations of these chapters
    #[arg(long)]
    chapter: Vec<String>,
}

/// Times the operations; `each` is told each row.
///
/// # Errors
/// When the bench itself cannot go on. What goes wrong with one operation is told by its
/// row. A signal that ends the bench is pending again when this returns.
pub fn run(settings: &Settings<'_>, each: &mut impl FnMut(Row)) -> Result<()> {
    let program = std::env::current_exe().context("readlink /proc/self/exe")?;
    run_with(&program, settings, each)
}

/// As [`run`], where `program` is the `ipclab` that plays the part.
///
/// # Errors
/// As [`run`].
pub fn run_with(
    program: &std::path::Path,
    settings: &Settings<'_>,
    each: &mut impl FnMut(Row),
) -> Result<()> {
    let mut stop = Interrupts::watch()?;
    let cpus = Cpus::choose()?;
    let dir = scratch()?;
    let ground = Ground::new(dir.path(), cpus.second);
    let mut command = Command::new(program);
    command.args(["bench-servers", "operations", "--dir"]).arg(dir.path());
    command.args(settings.quick.then_some("--short"));
    for chapter in settings.chapters {
        command.args(["--chapter", chapter]);
    }
    if let Some(cpu) = cpus.second {
        command.args(["--other-cpu", &cpu.to_string()]);
    }
    let _awake = match cpus.of(Placement::CrossBlocking) {
        Some(both) => Some(Awake::keep(both)?),
        None => None,
    };
    let (rows, mouth) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
    let output = Output::To(mouth);
    let part = start("the operations", command, Input::Nothing, output, cpus.first)?;
    let mut rows = Lines::of(rows);
    let done = loop {
        match rows.next(&[], &mut stop, Instant::now() + DEADLINE) {
            Ok(Some(row)) if row == "done" => break Ok(()),
            Ok(Some(row)) => each(serde_json::from_str(&row).context("a row")?),
            Ok(None) => break Err(why_it_ended(part)),
            Err(error) => {
                drop(part); // before what it has made is removed
                break Err(error);
            }
        }
    };
    // The part removes what it makes; one that was killed may have left the last.
    ground.sweep();
    if let (Err(error), Some(signal)) = (&done, stop.caught)
        && error.is::<Interrupted>()
    {
        nix::sys::signal::raise(signal).context("raise")?;
    }
    done
}

/// How long a batch takes at least, and how many there are.
#[derive(Debug, Clone, Copy)]
struct Effort {
    batch: Duration,
    batches: usize,
}

/// The process that times them: writes each row as a line of JSON, and `done`.
///
/// # Errors
/// EPIPE once nobody reads.
pub(super) fn part(options: &Options) -> Result<()> {
    let ground = Ground::new(&options.dir, options.other_cpu);
    let (short, long) = (Duration::from_micros(300), Duration::from_millis(2));
    let effort = match options.short {
        true => Effort { batch: short, batches: 5 },
        false => Effort { batch: long, batches: 15 },
    };
    let chosen = &options.chapter;
    let wanted = |operation: &&Operation| {
        chosen.is_empty() || chosen.iter().any(|name| name == operation.chapter)
    };
    let mut out = std::io::stdout().lock();
    let mut first: Option<(&str, Vec<f64>)> = None;
    for operation in table::OPERATIONS.iter().filter(wanted) {
        let timed = operation.time(&ground, effort);
        let (row, figures) = operation.row(timed, first.as_ref());
        if operation.is_base() {
            first = figures.map(|figures| (operation.subject, figures));
        }
        writeln!(out, "{}", serde_json::to_string(&row)?).context("write")?;
    }
    writeln!(out, "done").context("write")
}

impl Operation {
    /// The nanoseconds of one operation, by batches; the reason why there are none.
    fn time(
        &self,
        ground: &Ground,
        effort: Effort,
    ) -> Result<Result<Vec<f64>, String>> {
        let mut batch = match (self.make)(ground) {
            Ok(batch) => batch,
            Err(error) => match error.downcast_ref::<table::Absent>() {
                Some(table::Absent(why)) => return Ok(Err(why.clone())),
                None => return Err(error),
            },
        };
        // Warm, and long enough for a clock: double until it is.
        let mut count = 1;
        while batch(count)? < effort.batch && count < self.most {
            count = (count * 2).min(self.most);
        }
        let mut figures = Vec::new();
        for _ in 0..effort.batches {
            let time = batch(count)?.as_nanos() as f64;
            figures.push(time / (count * self.parts) as f64);
        }
        Ok(Ok(figures))
    }

    /// Its row; and the figures, if there are any.
    fn row(
        &self,
        timed: Result<Result<Vec<f64>, String>>,
        base: Option<&(&str, Vec<f64>)>,
    ) -> (Row, Option<Vec<f64>>) {
        let (outcome, figures) = match timed {
            Err(error) => (Outcome::Invalid(line(&error)), None),
            Ok(Err(why)) => (Outcome::Absent(why), None),
            Ok(Ok(times)) => {
                let of = |time: &f64| match self.unit {
                    Unit::PerSecond => 1e9 / time,
                    _ => *time,
                };
                let figures: Vec<f64> = times.iter().map(of).collect();
                let mut figure = figure(self.unit, &figures);
                let base = base.filter(|_| self.parts > 1);
                figure
                    .ratios
                    .extend(base.map(|(to, base)| ratio(to, &figures, base)));
                (Outcome::Measured(figure), Some(figures))
            }
        };
        let row = Row {
            chapter: self.chapter.to_owned(),
            subject: self.subject.to_owned(),
            what: What::Operation,
            program: "ipclab".to_owned(),
            placement: self.placement,
            size: None,
            clients: None,
            idle: None,
            outcome,
        };
        (row, figures)
    }
}

fn figure(unit: Unit, figures: &[f64]) -> Figure {
    let (min, max) = extent(figures);
    Figure {
        value: median(figures.to_vec()),
        unit,
        min,
        max,
        windows: figures.len(),
        messages: None,
        percentiles: None,
        naive: None,
        switches: None,
        ratios: Vec::new(),
        noisy: None,
    }
}

fn ratio(to: &str, figures: &[f64], base: &[f64]) -> Ratio {
    let ratios: Vec<f64> = figures.iter().zip(base).map(|(a, b)| a / b).collect();
    let (min, max) = extent(&ratios);
    let (to, pairs) = (to.to_owned(), ratios.len());
    Ratio { to, median: median(ratios), min, max, pairs }
}

fn extent(figures: &[f64]) -> (f64, f64) {
    let min = figures.iter().copied().fold(f64::INFINITY, f64::min);
    (min, figures.iter().copied().fold(0.0, f64::max))
}
