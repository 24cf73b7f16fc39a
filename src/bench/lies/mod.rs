//! `ipclab bench --lie`: wrong figures, made by the methods by which they are published,
//! each beside the right one. Both are measured now, on real processes.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;

use super::ends::control::Control;
use super::ends::{self, Job, Mode, Side};
use super::floors::Copy;
use super::measure::{self, Contender, Plan, Series};
use super::pair::{Joined, Pair, Start};
use super::placement::Cpus;
use super::spread;
use super::subject::Waits;
use lab::interrupts::Interrupts;

mod alignment;
mod cold;
mod mixed;
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

/// How long, and how often: a lie is told in two seconds.
const PLAN: Plan = Plan {
    warm_up: Duration::from_millis(20),
    round_trips: Duration::from_millis(25),
    one_way: Duration::from_millis(25),
    each: Duration::from_millis(10),
    turns: 3,
};

/// `lie`, and what is wrong with it, in words for people.
///
/// # Errors
/// What the ends say; [`NotMeasured::Interrupted`](super::pair::NotMeasured).
pub(super) fn run(lie: Lie, dir: PathBuf, stop: &mut Interrupts) -> Result<String> {
    let mut lab = Lab { cpus: Cpus::choose()?, dir, stop, pairs: 0 };
    let told = match lie {
        Lie::Stdio => stdio::tell(&mut lab)?,
        Lie::Spin => spin::tell(&mut lab)?,
        Lie::Mixed => mixed::tell(&mut lab)?,
        Lie::Unread => unread::tell(&mut lab)?,
        Lie::Cold => cold::tell(&mut lab)?,
        Lie::Alignment => alignment::tell(&mut lab)?,
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

/// Where lies are measured.
struct Lab<'a> {
    cpus: Cpus,
    /// A private directory for the names of pairs.
    dir: PathBuf,
    stop: &'a mut Interrupts,
    pairs: usize,
}

/// A pair to start.
struct Wanted {
    mechanism: &'static str,
    mode: Mode,
    size: u64,
    cpus: [usize; 2],
    joined: Joined,
    waits: Waits,
}

/// How a pipe's two ends are joined: the chapter's own, or those of a lie.
fn pipe(mechanism: &'static str, size: u64, cpus: [usize; 2]) -> Wanted {
    let (mode, joined) = (Mode::Pingpong, Joined::Pipes);
    Wanted { mechanism, mode, size, cpus, joined, waits: Waits::Sleeps }
}

impl Lab<'_> {
    /// Both on one CPU.
    fn same(&self) -> [usize; 2] {
        [self.cpus.first; 2]
    }

    /// One each, if there are two.
    fn cross(&self) -> Option<[usize; 2]> {
        Some([self.cpus.first, self.cpus.second?])
    }

    /// Starts both ends.
    fn start(&mut self, wanted: Wanted) -> Result<Pair> {
        let Wanted { mechanism, mode, size, cpus, joined, waits } = wanted;
        self.pairs += 1;
        let name = format!("ipclab-lie-{}-{}", std::process::id(), self.pairs);
        let place = self.dir.join(name);
        let end = (mechanism, mode);
        let side = |side| ends::command(&self.dir, end, side, size, &place);
        let commands = [side(Side::A)?, side(Side::B)?];
        let name = mechanism.to_owned();
        Pair::start(Start { name, commands, cpus, joined, waits }, self.stop)
    }

    /// Messages one way of `pair`, beside memcpy of the same size at each of some alignments,
    /// in turns: a series each, the pair's first, in bytes per second.
    fn beside_copies(
        &mut self,
        wanted: Wanted,
        apart: &[usize],
    ) -> Result<Vec<Series>> {
        let (size, cpu) = (wanted.size, wanted.cpus[0]);
        let mut contenders = vec![Contender::Pair(Box::new(self.start(wanted)?))];
        let copies = apart.iter().map(|apart| Copy::at(size, size, *apart));
        contenders.extend(copies.map(|copy| Contender::Copy(copy, cpu)));
        let all = measure::throughput(&PLAN, &mut contenders, size, self.stop)?;
        self.quit(contenders)?;
        Ok(all)
    }

    /// Round trips of all these, in turns: a series each, in nanoseconds.
    fn round_trips<const N: usize>(
        &mut self,
        wanted: [Wanted; N],
    ) -> Result<[Series; N]> {
        let mut contenders = Vec::new();
        for pair in wanted {
            contenders.push(Contender::Pair(Box::new(self.start(pair)?)));
        }
        let all = measure::latency(&PLAN, &mut contenders, self.stop)?;
        self.quit(contenders)?;
        let count = all.len();
        let all = all.try_into().ok();
        all.with_context(|| format!("{count} series of {N}"))
    }

    fn quit(&mut self, contenders: Vec<Contender>) -> Result<()> {
        for contender in contenders {
            if let Contender::Pair(pair) = contender {
                pair.quit(self.stop)?;
            }
        }
        Ok(())
    }
}

/// The middle one of a series' windows.
fn median(series: &Series) -> f64 {
    spread::median(&series.figures)
}

/// How often each process was switched away from in a round trip.
fn switches(series: &Series) -> Result<[f64; 2]> {
    series.switches.context("no round trip")
}
