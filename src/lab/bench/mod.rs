//! `ipclab bench`: latency and throughput of the very code that the book shows.
//!
//! For each mechanism two real processes are started, pinned, and steered: they are the
//! chapter's own sender and receiver in a loop ([`ends`]). What they do is compared, in
//! turns, with what the machine can do at best ([`floors`]), and that ratio is the result
//! ([`measure`]). A figure that cannot be is no figure ([`tripwire`]).

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::builder::PossibleValuesParser;

use super::interrupts::Interrupts;
use crate::chapters::rows;
use model::{Placement, Report, SCHEMA};
use pair::NotMeasured;
use peers::Peers;
use placement::Cpus;

pub mod ends;
pub mod floors;
mod head;
pub mod lies;
mod measure;
pub mod model;
mod pair;
pub mod peers;
pub mod placement;
mod plan;
pub mod report;
pub mod subject;
pub mod tripwire;

/// The options of `ipclab bench`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ipclab bench --quick                a first impression of all\n  \
                        ipclab bench pipe fifo unix         three chapters, exactly\n  \
                        ipclab bench shm --spin --size 64   one size, across two CPUs too\n  \
                        ipclab bench --json now.json        the report, to keep\n  \
                        ipclab bench --lie spin             how a wrong figure comes about"
)]
pub struct Options {
    /// The chapters; without any, all that have figures
    #[arg(value_name = "CHAPTER")]
    #[arg(value_parser = PossibleValuesParser::new(rows().iter().map(|row| row.name)))]
    chapters: Vec<String>,

    /// The sizes of a message, in bytes
    #[arg(long, value_name = "BYTES", value_delimiter = ',')]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    size: Vec<u64>,

    /// A first impression in a few seconds, of few sizes and short windows
    #[arg(long)]
    quick: bool,

    /// Measure also those that look again and again instead of sleeping, across two CPUs
    #[arg(long)]
    spin: bool,

    /// Measure beside it the same work in C, and in Python
    #[arg(long)]
    peers: bool,

    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Tell a lie: make a wrong figure as it is published, beside the right one
    #[arg(long, value_enum)]
    #[arg(conflicts_with_all = ["chapters", "size", "quick", "spin", "peers", "json"])]
    lie: Option<lies::Lie>,

    /// Write the figures of the book's pages, from a report that --json has written
    #[arg(long, hide = true, num_args = 2, value_names = ["REPORT", "DIR"])]
    figures: Vec<PathBuf>,
}

/// `ipclab bench`.
///
/// # Errors
/// What no single figure is to blame for.
pub fn run(options: &Options, quiet: bool) -> Result<()> {
    if let [report, dir] = options.figures.as_slice() {
        return report::figures::write(report, dir);
    }
    if let Some(lie) = options.lie {
        let scratch = Scratch::make()?;
        let mut stop = Interrupts::watch()?;
        let told = lies::run(lie, scratch.path(), &mut stop);
        drop(scratch);
        return ended(told, &mut stop);
    }
    let began = Instant::now();
    let cpus = Cpus::choose()?;
    let mut head = head::head(&cpus);
    let mut stop = Interrupts::watch()?;
    let wanted = wanted(options);
    // Alone in this process, since it forks: no thread may be there yet.
    let alone = floors::alone(cpus.first, wanted.plan.round_trips)?;
    let scratch = Scratch::make()?;
    let total = wanted.steps(&cpus);
    let peers = options.peers.then(|| Peers::build(&scratch.path().join("peers")));
    let mut step = 0;
    let mut progress = |text: &str| {
        step += 1;
        if !quiet {
            eprintln!("{step}/{total} {text}");
        }
    };
    let mut run = plan::Run {
        wanted: &wanted,
        cpus,
        dir: scratch.path(),
        peers: peers.transpose()?,
        stop: &mut stop,
        progress: &mut progress,
        pairs: 0,
        rows: Vec::new(),
        floors: alone,
    };
    let outcome = run.all();
    let (rows, floors) = (run.rows, run.floors);
    drop(scratch);
    ended(outcome, &mut stop)?;
    head.seconds = began.elapsed().as_secs_f64();
    let report = Report { schema: SCHEMA, head, floors, rows };
    match &options.json {
        Some(path) => report::save(path, &report::json::text(&report)?),
        None => super::print(&report::table::text(&report, width())),
    }
}

/// How wide a table may be: the terminal's width, or what a page of the book has room for.
fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout());
    size.map_or(100, |size| usize::from(size.ws_col).max(40))
}

/// What came of it; who was interrupted ends as the signal says.
fn ended(outcome: Result<()>, stop: &mut Interrupts) -> Result<()> {
    if let Err(error) = &outcome
        && let Some(NotMeasured::Interrupted) = error.downcast_ref()
        && let Some(signal) = stop.caught
    {
        stop.end_by(signal)?;
    }
    outcome
}

fn wanted(options: &Options) -> plan::Wanted {
    let chosen = |subject: &&subject::Subject| {
        options.chapters.is_empty()
            || options.chapters.iter().any(|name| name == subject.chapter)
    };
    let subjects = subject::SUBJECTS.iter().filter(chosen).copied().collect();
    let (sizes, cross): (&[u64], &[u64]) = match options.quick {
        true => (&[64, 64 << 10], &[64]),
        false => (&[1, 64, 4 << 10, 64 << 10, 1 << 20], &[64, 4 << 10, 64 << 10]),
    };
    let given = (!options.size.is_empty()).then(|| options.size.clone());
    let round_trips = given.clone().unwrap_or_else(|| sizes.to_vec());
    let one_way = round_trips.iter().copied().filter(|size| *size >= 64).collect();
    let mut placements = vec![Placement::Same, Placement::CrossBlocking];
    placements.extend(options.spin.then_some(Placement::CrossSpinning));
    let plan = match options.quick {
        true => measure::Plan::QUICK,
        false => measure::Plan::FULL,
    };
    let cross = given.unwrap_or_else(|| cross.to_vec());
    plan::Wanted { subjects, round_trips, one_way, cross, placements, plan }
}

/// The private directory of a run. Whatever an end that was killed has left in it, or in
/// the kernel, goes with it.
struct Scratch(tempfile::TempDir);

impl Scratch {
    fn make() -> Result<Scratch> {
        let dir = tempfile::Builder::new().prefix("ipclab-").tempdir();
        dir.context("mkdir for the bench").map(Scratch)
    }

    fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let Ok(program) = std::env::current_exe() else { return };
        let mut clean = Command::new(program);
        clean.args(["-q", "clean", "--pending"]).env("IPCLAB_DIR", self.0.path());
        // Its words are for those who asked for it.
        let _ = clean.output();
    }
}
