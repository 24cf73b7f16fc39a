//! `ipclab bench`: latency and throughput of the very code that the book shows.
//!
//! For each mechanism two real processes are started, pinned, and steered: they are the
//! chapter's own sender and receiver in a loop ([`ends`]). What they do is compared, in
//! turns, with what the machine can do at best ([`floors`]), and that ratio is the result
//! (`measure`). A figure that cannot be is no figure ([`tripwire`]).

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::Result;
use clap::builder::PossibleValuesParser;
use rustix::stdio::stdout;

use lab::interrupts::Interrupts;
use lab::{progress, prose, scratch};
use model::{Placement, Report, SCHEMA};
use peers::Peers;
use placement::Cpus;
use report::Target;
use report::progress::Progress;
use settings::Settings;
use wire::errors::usage;
use wire::say::{columns, tell};

pub mod ends;
pub mod floors;
#[cfg(any(test, fuzzing))]
#[path = "../../tests/fuzz/bench.rs"]
pub mod fuzz;
mod hardening;
mod head;
pub mod job;
mod joined;
pub mod lies;
mod lines;
mod measure;
pub mod model;
pub mod operations;
mod pair;
pub mod peers;
pub mod placement;
mod plan;
pub mod play;
pub mod report;
mod role;
pub mod servers;
pub mod settings;
mod spread;
pub mod subject;
pub mod tripwire;
mod wanted;

/// The options of `ipclab bench`.
#[derive(Debug, clap::Args)]
#[command(after_help = prose::examples(&[
    ("bench --quick", "a first impression, in seconds"),
    ("bench pipe fifo unix", "three chapters, exactly"),
    ("bench pipe --peers", "beside the same work in C and in Python"),
    ("bench --servers", "what servers answer, of one client and of 1,000"),
    ("bench shm --spin --size 64", "one size; also looking instead of sleeping"),
    ("bench --json now.json", "keep the report, and later"),
    ("bench --compare now.json", "see what has changed, and what is noise"),
    ("bench --lie spin", "how a wrong figure comes about"),
]))]
pub struct Options {
    /// The chapters; without any, all that have figures
    #[arg(value_name = "CHAPTER")]
    #[arg(value_parser = PossibleValuesParser::new(with_figures()))]
    chapters: Vec<String>,

    /// The sizes of a message, in bytes, with commas between them
    #[arg(long, value_name = "BYTES", value_delimiter = ',')]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    size: Vec<u64>,

    /// A first impression in a few seconds, of few sizes and short windows
    #[arg(long)]
    quick: bool,

    /// Measure also those that look again and again instead of sleeping, across two CPUs
    #[arg(long)]
    spin: bool,

    /// Measure beside it the same work in C, and in Python: on one CPU, and on two where
    /// neither side sleeps; and what a bare program takes, for which the role does more
    #[arg(long)]
    peers: bool,

    /// Measure the servers instead: requests a second, of many clients and of few
    #[arg(long, conflicts_with_all = ["size", "spin"])]
    servers: bool,

    /// Compare with the report that --json has written to FILE
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,

    /// Write the report as JSON to FILE; `-` is standard output, instead of the table
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Write the report as comma-separated values, a line a figure
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,

    /// Draw latency and throughput by size, and how round trips are spread
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    /// Tell a lie instead: make a wrong figure as it is published, beside the right one
    #[arg(long, value_enum)]
    #[arg(conflicts_with_all = [
        "chapters", "size", "quick", "spin", "peers", "servers", "compare", "json", "csv", "svg",
    ])]
    lie: Option<lies::Lie>,

    /// Write the figures of the book's pages, from reports that --json has written
    #[arg(long, hide = true, num_args = 2.., value_name = "REPORT… DIR")]
    figures: Vec<PathBuf>,
}

/// `ipclab bench`.
///
/// # Errors
/// Errors that no single figure has caused.
pub fn run(options: &Options, quiet: bool) -> Result<()> {
    if let Some((dir, reports)) = options.figures.split_last() {
        return report::figures::write(reports, dir);
    }
    if let Some(lie) = options.lie {
        let mut stop = Interrupts::watch()?;
        let told = Scratch::make()
            .and_then(|scratch| lies::run(lie, scratch.path(), &mut stop));
        return prose::print(&heard(told, &mut stop)?);
    }
    let outputs = Outputs::check(options)?;
    let old = options.compare.as_deref().map(report::json::read).transpose()?;
    let wanted = wanted(options)?;
    let mut stop = Interrupts::watch()?;
    let report = measure(options, &wanted, &mut stop, quiet);
    outputs.write(&heard(report, &mut stop)?, old.as_ref())?;
    let chosen = options.chapters.iter().map(String::as_str);
    match options.chapters.is_empty() {
        _ if options.servers => {}
        true => progress::done("bench", with_figures(), quiet),
        false => progress::done("bench", chosen, quiet),
    }
    Ok(())
}

/// What came of it; if a signal came meanwhile, it ends us.
fn heard<T>(outcome: Result<T>, stop: &mut Interrupts) -> Result<T> {
    // The operations and the servers read signals themselves, and leave the last one pending.
    if outcome.is_err()
        && stop.pending()?
        && let Some(signal) = stop.caught
    {
        // The ends and their directory are gone; now end by the signal.
        stop.end_by(signal)?;
    }
    outcome
}

/// Measures all that is wanted.
fn measure(
    options: &Options,
    wanted: &wanted::Wanted,
    stop: &mut Interrupts,
    quiet: bool,
) -> Result<Report> {
    let began = Instant::now();
    let cpus = Cpus::choose()?;
    let mut head = head::head(&cpus);
    // First of all, since it forks: no thread may be there yet.
    let floors = floors::alone(cpus.first, wanted.plan.round_trips)?;
    let scratch = Scratch::make()?;
    let peers = options.peers.then(|| Peers::build(&scratch.path().join("peers")));
    let peers = peers.transpose()?;
    for program in [peers::Program::C, peers::Program::Python] {
        if let Some(why) = peers.as_ref().and_then(|peers| peers.absent(program)) {
            tell(&format!("ipclab: not measured: {}: {why}\n", program.text()));
        }
    }
    let steps = wanted.steps(&cpus) + usize::from(wanted.operations);
    let servers = Settings {
        quick: options.quick,
        peers: options.peers,
        chapters: &wanted.servers,
    };
    let steps =
        steps + if wanted.servers.is_empty() { 0 } else { servers::steps(&servers) };
    let hardened = options.peers && !options.servers;
    let steps =
        steps + if hardened { hardening::steps(&options.chapters) } else { 0 };
    let mut bar = (!quiet).then(|| Progress::new(steps as u64));
    let mut progress = |text: &str| {
        if let Some(bar) = &mut bar {
            bar.step(text);
        }
    };
    let mut run = plan::Run {
        wanted,
        cpus,
        dir: scratch.path(),
        peers,
        stop,
        progress: &mut progress,
        pairs: 0,
        rows: Vec::new(),
        floors,
    };
    run.all()?;
    let (mut rows, floors) = (run.rows, run.floors);
    if wanted.operations {
        progress("operations");
        let chapters = &options.chapters;
        let settings = Settings { chapters, ..servers };
        operations::run(&settings, &mut |row| rows.push(row))?;
    }
    if !wanted.servers.is_empty() {
        servers::run(&servers, &mut |row| rows.push(row), &mut progress)?;
    }
    if hardened {
        let (chapters, quick) = (&options.chapters, options.quick);
        hardening::run(
            chapters,
            quick,
            stop,
            &mut |row| rows.push(row),
            &mut progress,
        )?;
    }
    head.seconds = began.elapsed().as_secs_f64();
    Ok(Report { schema: SCHEMA, head, floors, rows })
}

/// Where a report goes.
struct Outputs {
    to_stdout: bool,
    json: Option<Target>,
    csv: Option<Target>,
    svg: Option<Target>,
}

impl Outputs {
    /// Checks whether all files can be written: now, and not after minutes.
    fn check(options: &Options) -> Result<Outputs> {
        let target =
            |path: &Option<PathBuf>| path.as_deref().map(Target::check).transpose();
        let to_stdout = options.json.as_deref() == Some(Path::new("-"));
        let json = if to_stdout { None } else { target(&options.json)? };
        let (csv, svg) = (target(&options.csv)?, target(&options.svg)?);
        Ok(Outputs { to_stdout, json, csv, svg })
    }

    fn write(&self, report: &Report, old: Option<&Report>) -> Result<()> {
        if let Some(target) = &self.json {
            target.save(&report::json::text(report)?)?;
        }
        if let Some(target) = &self.csv {
            target.save(&report::csv::text(report)?)?;
        }
        if let Some(target) = &self.svg {
            target.save(&report::svg::draw(report)?)?;
        }
        if self.to_stdout {
            return prose::print(&report::json::text(report)?);
        }
        prose::print(&report::table::text(report, width()))?;
        match old {
            Some(old) => prose::print(&report::compare::text(old, report)),
            None => Ok(()),
        }
    }
}

/// How many columns the table may have.
fn width() -> usize {
    columns(stdout()).map_or(100, |columns| columns.clamp(60, 140))
}

/// The chapters of which there are servers to measure.
const SERVERS: &[&str] = &["tcp", "fdpass", "multiplex"];

/// The chapters that have figures, in the order of the book.
pub fn with_figures() -> Vec<&'static str> {
    let subjects = subject::SUBJECTS.iter().map(|subject| subject.chapter);
    let measured: HashSet<&str> = subjects
        .chain(SERVERS.iter().copied())
        .chain(operations::chapters())
        .collect();
    let all = chapters::rows().iter().map(|row| row.name);
    all.filter(|name| measured.contains(name)).collect()
}

fn wanted(options: &Options) -> Result<wanted::Wanted> {
    let named = |chapter: &str| options.chapters.iter().any(|name| name == chapter);
    let all = options.chapters.is_empty();
    let subjects: Vec<_> = subject::SUBJECTS
        .iter()
        .filter(|subject| !options.servers && (all || named(subject.chapter)))
        .copied()
        .collect();
    let has_subject = |name: &str| subjects.iter().any(|s| s.chapter == name);
    // A chapter that has nothing but servers needs no --servers.
    let servers: Vec<String> = SERVERS
        .iter()
        .filter(|name| match options.servers {
            true => all || named(name),
            false => named(name) && !has_subject(name),
        })
        .map(|name| (*name).to_owned())
        .collect();
    let none = |name: &&String| !has_subject(name) && !servers.contains(name);
    if let Some(name) = options.chapters.iter().find(none) {
        if options.servers {
            return Err(usage(format!(
                "bench --servers {name}: it has no servers; leave --servers out"
            )));
        }
        if !options.size.is_empty() {
            return Err(usage(format!(
                "bench {name}: its operations have no size; leave --size out"
            )));
        }
    }
    if let (Some(name), false) = (servers.first(), options.size.is_empty()) {
        return Err(usage(format!(
            "bench {name}: its requests have a size of their own; leave --size out"
        )));
    }
    let (sizes, cross): (&[u64], &[u64]) = match options.quick {
        true => (&[64, 64 << 10], &[64]),
        false => (&[1, 64, 4 << 10, 64 << 10, 1 << 20], &[64, 4 << 10, 64 << 10]),
    };
    let given = (!options.size.is_empty()).then(|| options.size.clone());
    let round_trips = given.clone().unwrap_or_else(|| sizes.to_vec());
    let one_way = round_trips.iter().copied().filter(|size| *size >= 64).collect();
    let mut placements =
        vec![Placement::Same, Placement::CrossBlocking, Placement::CrossLooking];
    placements.extend(options.spin.then_some(Placement::CrossSpinning));
    let plan = match options.quick {
        true => measure::Plan::QUICK,
        false => measure::Plan::FULL,
    };
    Ok(wanted::Wanted {
        operations: !options.servers && given.is_none(),
        cross_one_way: match (&given, options.quick) {
            (None, true) => Vec::new(),
            (None, false) => cross.to_vec(),
            (Some(given), _) => given.clone(),
        },
        cross: given.unwrap_or_else(|| cross.to_vec()),
        subjects,
        round_trips,
        one_way,
        placements,
        plan,
        servers,
    })
}

/// The private directory of a run. Whatever an end that was killed has left in it, or in
/// the kernel, goes with it; and if the bench itself is killed, `ipclab clean` finds it.
struct Scratch(scratch::Scratch);

impl Scratch {
    fn make() -> Result<Scratch> {
        scratch::Scratch::make().map(Scratch)
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
        // Its output is for the user of `ipclab clean`.
        let _ = clean.output();
    }
}
