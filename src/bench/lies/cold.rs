//! The lie of the first few messages: what is timed is page faults and cold caches, and a
//! mean is that of the slowest.

use std::time::Duration;

use anyhow::{Context, Result};

use super::runner::{PLAN, PairPlan, Runner, pipe};
use super::tell::{LieReport, Line, Method, off, time};
use crate::ends::control::BATCH;
use crate::joined::at_a_name;
use crate::pair::Pair;
use crate::spread;
use crate::subject::Waits;
use wire::say::grouped;

const SIZE: u64 = 64 << 10;
/// How many messages the published figure is of.
const FEW: usize = 10;
/// How long until that many have gone there and back, and a few more.
const SHORT: Duration = Duration::from_millis(5);
/// How many pairs are started: the published figure is the median of theirs, so that it
/// is not luck.
const PAIRS: usize = 3;

/// Tells it.
pub(super) fn tell(runner: &mut Runner) -> Result<LieReport> {
    let (mut firsts, mut means) = (Vec::new(), Vec::new());
    let (mut warm, mut warm_means) = (Vec::new(), Vec::new());
    let (mut faults, mut counts) = ([0; 2], [0; 2]);
    for _ in 0..PAIRS {
        let mut pair = start(runner)?;
        let began = pair.faults();
        let times = pair.each(SHORT, runner.stop)?.times;
        let cold = pair.faults();
        let few = &times[..times.len().min(FEW)];
        firsts.push(few.first().copied().map(f64::from).context("no round trip")?);
        means.push(mean(few));
        pair.batches(PLAN.warm_up, runner.stop)?;
        let before = pair.faults();
        let window = pair.batches(PLAN.round_trips, runner.stop)?;
        let after = pair.faults();
        let batches: Vec<f64> = window
            .times
            .iter()
            .map(|time| f64::from(*time) / BATCH as f64)
            .collect();
        warm.push(spread::median(&batches));
        warm_means.push(mean(&window.times) / BATCH as f64);
        faults[0] += cold.saturating_sub(began);
        faults[1] += after.saturating_sub(before);
        counts[0] += times.len();
        counts[1] += window.times.len() * BATCH;
        pair.quit(runner.stop)?;
    }
    let [first, few, warm, warm_mean] =
        [firsts, means, warm, warm_means].map(|all| spread::median(&all));
    let line =
        |by, figure, how: &str| Line::new(by, "mmap, 64 KiB", time(figure), how);
    let each = |at: usize| {
        let (faults, count) = (grouped(faults[at]), grouped(counts[at] as u64));
        format!("{faults} page faults in {count} round trips")
    };
    Ok(LieReport {
        title: "cold: a mean of ten messages, the first of them included",
        lines: vec![
            line(Method::Published, few, "the mean of the first 10 round trips"),
            line(Method::Beside, first, "the first of them alone"),
            line(Method::Honest, warm, "warmed up; the median of batches of 16"),
            line(
                Method::Beside,
                warm_mean,
                "warmed up; the mean of the same batches",
            ),
        ],
        facts: vec![
            off(few, warm),
            format!("cold: {}", each(0)),
            format!("warm: {}", each(1)),
        ],
        why: "The first message finds nothing ready: each page of the ring is a fault, \
              for each of the two processes, and the file gets its blocks; code and \
              data are in no cache, the CPU may be asleep. A mean of ten has all of \
              that in it. A mean of many still has each interruption in it.",
        see: "the first time beside the tenth, and page faults (perf stat -e faults, or \
              field 10 of /proc/PID/stat): a loop that is warm has none. If a start is \
              what you want to know, time it alone, and call it that.",
    })
}

/// A pair whose first message has not gone anywhere near all of the ring.
fn start(runner: &mut Runner) -> Result<Pair> {
    let cpus = runner.same();
    let waits = Waits::LooksFirst;
    runner.start(PairPlan { meet: at_a_name, waits, ..pipe("mmap", SIZE, cpus) })
}

fn mean(times: &[u32]) -> f64 {
    let sum: f64 = times.iter().copied().map(f64::from).sum();
    sum / times.len().max(1) as f64
}
