//! Starts the pairs of a lie, and measures them in turns.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::floors::Copy;
use crate::job::{self, Mode, Side};
use crate::joined::{Meet, by_pipes};
use crate::measure::{self, Contender, Plan, Series};
use crate::pair::{Pair, PairStart};
use crate::placement::Cpus;
use crate::spread;
use crate::subject::Waits;
use lab::interrupts::Interrupts;

/// How long, and how often: a lie is told in two seconds.
pub(super) const PLAN: Plan = Plan {
    warm_up: Duration::from_millis(20),
    round_trips: Duration::from_millis(25),
    one_way: Duration::from_millis(25),
    each: Duration::from_millis(10),
    turns: 3,
};

/// Where lies are measured.
pub(super) struct Runner<'a> {
    pub(super) cpus: Cpus,
    /// A private directory for the names of pairs.
    pub(super) dir: PathBuf,
    pub(super) stop: &'a mut Interrupts,
    pub(super) pairs: usize,
}

/// A pair to start.
pub(super) struct PairPlan {
    pub(super) mechanism: &'static str,
    pub(super) mode: Mode,
    pub(super) size: u64,
    pub(super) cpus: [usize; 2],
    pub(super) meet: Meet,
    pub(super) waits: Waits,
}

/// How a pipe's two ends are joined: the chapter's own, or those of a lie.
pub(super) fn pipe(
    mechanism: &'static str,
    size: u64,
    cpus: [usize; 2],
) -> PairPlan {
    let (mode, meet): (_, Meet) = (Mode::Pingpong, by_pipes);
    PairPlan { mechanism, mode, size, cpus, meet, waits: Waits::Sleeps }
}

impl Runner<'_> {
    /// Both on one CPU.
    pub(super) fn same(&self) -> [usize; 2] {
        [self.cpus.first; 2]
    }

    /// One each, if there are two.
    pub(super) fn cross(&self) -> Option<[usize; 2]> {
        Some([self.cpus.first, self.cpus.second?])
    }

    /// Starts both ends.
    pub(super) fn start(&mut self, wanted: PairPlan) -> Result<Pair> {
        let PairPlan { mechanism, mode, size, cpus, meet, waits } = wanted;
        self.pairs += 1;
        let name = format!("ipclab-lie-{}-{}", std::process::id(), self.pairs);
        let mut base = self.dir.join(name);
        let joined = meet(&mut base)?;
        let end = (mechanism, mode);
        let side = |side| job::command(&self.dir, end, side, size, &base);
        let commands = [side(Side::A)?, side(Side::B)?];
        let name = mechanism.to_owned();
        Pair::start(PairStart { name, commands, cpus, joined, waits }, self.stop)
    }

    /// Messages one way of `pair`, beside memcpy of the same size at each of some alignments,
    /// in turns: a series each, the pair's first, in bytes per second.
    pub(super) fn beside_copies(
        &mut self,
        wanted: PairPlan,
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
    pub(super) fn round_trips<const N: usize>(
        &mut self,
        wanted: [PairPlan; N],
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

    pub(super) fn quit(&mut self, contenders: Vec<Contender>) -> Result<()> {
        for contender in contenders {
            if let Contender::Pair(pair) = contender {
                pair.quit(self.stop)?;
            }
        }
        Ok(())
    }
}

/// The middle one of a series' windows.
pub(super) fn median(series: &Series) -> f64 {
    spread::median(&series.figures)
}

/// How often each process was switched away from in a round trip.
pub(super) fn switches(series: &Series) -> Result<[f64; 2]> {
    series.switches.context("no round trip")
}
