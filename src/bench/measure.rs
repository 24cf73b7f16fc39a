//! How figures come about: windows in turns, medians, ratios of what ran side by side.
//!
//! What is measured and what it is compared with run in turns, forth and back (ABBA): a
//! machine that grows slower meanwhile makes both slower. Each half of a turn gives one
//! ratio; the median of those is the result, and the least and the greatest show how far
//! to trust it.

use std::time::Duration;

use anyhow::{Result, bail};
use hdrhistogram::Histogram;

use super::ends::control::BATCH;
use super::floors::Copy;
use super::model::{Figure, Percentiles, Unit};
use super::pair::{OneWayWindow, Pair, RoundTripWindow};
use super::placement::Pinned;
use super::spread::{AGAIN, extent, is_slow, median, ratio, there_and_back};
use super::tripwire::ONCE;
use lab::interrupts::Interrupts;

/// How long, and how often.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// What runs before anything counts.
    pub(super) warm_up: Duration,
    /// One window of round trips.
    pub(super) round_trips: Duration,
    /// One window of messages one way.
    pub(super) one_way: Duration,
    /// The window in which each round trip is timed.
    pub(super) each: Duration,
    /// How often forth and back: two pairs each.
    pub(super) turns: usize,
}

impl Plan {
    /// As exact as it gets.
    pub(super) const FULL: Plan = Plan {
        warm_up: Duration::from_millis(50),
        round_trips: Duration::from_millis(60),
        one_way: Duration::from_millis(100),
        each: Duration::from_millis(100),
        turns: 5,
    };
    /// A first impression.
    pub(super) const QUICK: Plan = Plan {
        warm_up: Duration::from_millis(5),
        round_trips: Duration::from_millis(10),
        one_way: Duration::from_millis(15),
        each: Duration::from_millis(10),
        turns: 2,
    };
}

/// What takes turns: the subject in front, then what it is compared with.
#[derive(Debug)]
pub(super) enum Contender {
    /// Two processes.
    Pair(Box<Pair>),
    /// memcpy, by this thread on this CPU.
    Copy(Copy, usize),
}

/// What one contender has shown.
#[derive(Debug, Clone, Default)]
pub(super) struct Series {
    /// One figure a window, in the order in which they were taken.
    pub(super) figures: Vec<f64>,
    /// Messages per second, one a window.
    pub(super) messages: Vec<f64>,
    /// Context switches per round trip, or per message one way, of both processes.
    pub(super) switches: Option<[f64; 2]>,
    /// The single round trips.
    pub(super) each: Vec<u32>,
    /// How many windows had a stall in them even when they were run again.
    pub(super) stalls: usize,
    /// In how many windows a side that should sleep did not, even when they were run again.
    pub(super) awake: usize,
}

/// A batch is stalled if it took so much longer than the window's median, in nanoseconds:
/// no scheduler's tick takes so long, and the host of a virtual machine may.
const STALL: f64 = 3e6;
/// A window is stalled if stalls took more than this part of it.
const STALLED: f64 = 0.05;

/// Runs all contenders in turns. The figures are nanoseconds a round trip.
///
/// # Errors
/// The ends' own errors.
pub(super) fn latency(
    plan: &Plan,
    contenders: &mut [Contender],
    stop: &mut Interrupts,
) -> Result<Vec<Series>> {
    let mut all = vec![Series::default(); contenders.len()];
    let mut trips = vec![0_u64; contenders.len()];
    let mut switches = vec![[0_u64; 2]; contenders.len()];
    for contender in contenders.iter_mut() {
        if let Contender::Pair(pair) = contender {
            pair.batches(plan.warm_up, stop)?;
        }
    }
    for index in there_and_back(contenders.len(), 2 * plan.turns) {
        let Contender::Pair(pair) = &mut contenders[index] else { continue };
        let sleeps = pair.sleeps();
        let run = || pair.batches(plan.round_trips, stop);
        let (window, found) = calm(|window| flaw(sleeps, window), run)?;
        let series = &mut all[index];
        series.stalls += usize::from(found == Some(Flaw::Stalled));
        series.awake += usize::from(found == Some(Flaw::Awake));
        series.figures.push(p50(&window.times) / BATCH as f64);
        trips[index] += (window.times.len() * BATCH) as u64;
        for side in [0, 1] {
            switches[index][side] += window.switches[side];
        }
    }
    for (index, contender) in contenders.iter_mut().enumerate() {
        if let Contender::Pair(pair) = contender {
            all[index].each = pair.each(plan.each, stop)?.times;
        }
        if trips[index] > 0 {
            let per_trip = |count: u64| count as f64 / trips[index] as f64;
            all[index].switches = Some(switches[index].map(per_trip));
        }
    }
    Ok(all)
}

/// Runs all contenders in turns. The figures are bytes per second.
///
/// # Errors
/// The ends' own errors.
pub(super) fn throughput(
    plan: &Plan,
    contenders: &mut [Contender],
    size: u64,
    stop: &mut Interrupts,
) -> Result<Vec<Series>> {
    let mut all = vec![Series::default(); contenders.len()];
    for contender in contenders.iter_mut() {
        if let Contender::Pair(pair) = contender {
            pair.one_way(plan.warm_up, stop)?;
        }
    }
    let mut sums = vec![(0_u64, [0_u64; 2]); contenders.len()];
    for index in there_and_back(contenders.len(), 2 * plan.turns) {
        let series = &mut all[index];
        match &mut contenders[index] {
            Contender::Pair(pair) => {
                let usual = median(&series.figures);
                let slow = |moved: &OneWayWindow| {
                    is_slow(moved.rate(), usual).then_some(())
                };
                let run = || pair.one_way(plan.one_way, stop);
                let (moved, stalled) = calm(slow, run)?;
                series.stalls += usize::from(stalled.is_some());
                if moved.bytes != moved.messages * size {
                    bail!(
                        "{} bytes in {} messages: not of {size} bytes, as was asked",
                        moved.bytes,
                        moved.messages
                    );
                }
                let (messages, switches) = &mut sums[index];
                *messages += moved.messages;
                for side in [0, 1] {
                    switches[side] += moved.switches[side];
                }
                let per_message = |count: u64| count as f64 / *messages as f64;
                series.switches = Some(switches.map(per_message));
                let seconds = moved.nanoseconds as f64 / 1e9;
                series.figures.push(moved.rate());
                series.messages.push(moved.messages as f64 / seconds);
            }
            Contender::Copy(copy, cpu) => {
                let _pinned = Pinned::to(*cpu)?;
                series.figures.push(copy.rate(plan.one_way / 4));
            }
        }
    }
    Ok(all)
}

/// What is wrong with a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    /// Something else had the CPU.
    Stalled,
    /// A side that should sleep once a round trip did not. On two CPUs it can come to that:
    /// as long as neither sleeps, both are fast enough not to have to.
    Awake,
}

/// What is wrong with a window of round trips, where each side is to sleep once in each, or
/// need not.
fn flaw(sleeps: bool, window: &RoundTripWindow) -> Option<Flaw> {
    let trips = (window.times.len() * BATCH) as f64;
    let awake = |count: &u64| (*count as f64) < *ONCE.start() * trips;
    if sleeps && window.switches.iter().any(awake) {
        return Some(Flaw::Awake);
    }
    is_stalled(&window.times).then_some(Flaw::Stalled)
}

/// Runs a window, and runs it again if it has a flaw; which one it had in the end.
fn calm<W, F>(
    flaw: impl Fn(&W) -> Option<F>,
    mut run: impl FnMut() -> Result<W>,
) -> Result<(W, Option<F>)> {
    let mut window = run()?;
    let mut found = flaw(&window);
    for _ in 0..AGAIN {
        if found.is_none() {
            break;
        }
        window = run()?;
        found = flaw(&window);
    }
    Ok((window, found))
}

fn is_stalled(times: &[u32]) -> bool {
    let usual = p50(times);
    let lost = times.iter().map(|time| f64::from(*time) - usual);
    let lost: f64 = lost.filter(|more| *more > STALL).sum();
    let all: f64 = times.iter().map(|time| f64::from(*time)).sum();
    lost > all * STALLED
}

/// The middle one of some times.
fn p50(times: &[u32]) -> f64 {
    let mut times: Vec<u32> = times.to_vec();
    if times.is_empty() {
        return f64::NAN;
    }
    let middle = times.len() / 2;
    f64::from(*times.select_nth_unstable(middle).1)
}

impl Series {
    /// The figure of this series, with its ratios to `others`, that have these names.
    pub(super) fn figure(&self, unit: Unit, others: &[(&str, &Series)]) -> Figure {
        let (min, max) = extent(&self.figures);
        let compared = others.iter();
        let ratios = compared
            .map(|(name, other)| ratio(name, &self.figures, &other.figures))
            .collect();
        let windows = |count: fn(&Series) -> usize| {
            let all = others.iter().copied().chain([("", self)]);
            let all = all.filter(|(_, series)| count(series) > 0);
            let all = all.map(|(name, series)| {
                let of = if name.is_empty() { "" } else { " of " };
                format!(
                    "{} of {} windows{of}{name}",
                    count(series),
                    series.figures.len()
                )
            });
            let all: Vec<String> = all.collect();
            (!all.is_empty()).then(|| all.join(", and in "))
        };
        let stalled = windows(|series| series.stalls)
            .map(|windows| format!("something else had the CPU in {windows}"));
        let awake = windows(|series| series.awake)
            .map(|windows| format!("a side that should sleep did not in {windows}"));
        let noisy: Vec<String> = stalled.into_iter().chain(awake).collect();
        Figure {
            value: median(&self.figures),
            unit,
            min,
            max,
            windows: self.figures.len(),
            messages: (!self.messages.is_empty()).then(|| median(&self.messages)),
            percentiles: percentiles(&self.each),
            naive: None,
            switches: self.switches,
            ratios,
            noisy: (!noisy.is_empty()).then(|| noisy.join("; ")),
        }
    }
}

/// The distribution of single times in nanoseconds, to three digits.
fn percentiles(times: &[u32]) -> Option<Percentiles> {
    let mut histogram = Histogram::<u64>::new(3).ok()?;
    for time in times {
        histogram.record(u64::from(*time)).ok()?;
    }
    if histogram.is_empty() {
        return None;
    }
    let steps = histogram.iter_recorded();
    let at = |quantile| histogram.value_at_quantile(quantile);
    Some(Percentiles {
        count: histogram.len(),
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: histogram.max(),
        histogram: steps
            .map(|step| (step.value_iterated_to(), step.count_at_value()))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(figures: &[f64]) -> Series {
        Series { figures: figures.to_vec(), ..Series::default() }
    }

    #[test]
    fn a_window_in_which_one_did_not_sleep_is_run_again_twice_at_most() {
        let window =
            |switches| RoundTripWindow { times: vec![20_000; 10], switches };
        let tried = |sleeps, all: &[[u64; 2]]| {
            let mut tries = all.iter();
            let run = || Ok(window(*tries.next().expect("one more try")));
            let (last, flaw) = calm(|window| flaw(sleeps, window), run).unwrap();
            (last.switches, flaw, tries.len())
        };
        let (slept, awake) = ([160, 159], [160, 3]);
        assert_eq!(tried(true, &[slept, awake]), (slept, None, 1));
        assert_eq!(tried(true, &[awake, awake, slept]), (slept, None, 0));
        assert_eq!(tried(true, &[awake; 4]), (awake, Some(Flaw::Awake), 1));
        assert_eq!(tried(false, &[awake, slept]), (awake, None, 1));
        let series = Series { awake: 1, ..series(&[1.0, 2.0]) };
        let told = series.figure(Unit::Nanoseconds, &[("two wake-ups", &series)]);
        let why = "a side that should sleep did not in 1 of 2 windows of two wake-ups, and in 1 \
                   of 2 windows";
        assert_eq!(told.noisy.as_deref(), Some(why));
    }

    #[test]
    fn a_stall_is_told_from_a_slow_mechanism() {
        let mut times = vec![30_000_u32; 2000];
        assert!(!is_stalled(&times), "all alike");
        times[7] = 8_000_000;
        assert!(is_stalled(&times), "8 ms of 68 are another process's");
        assert!(!is_stalled(&[5_000_000; 12]), "slow, and always so");
        times[7] = 2_000_000;
        assert!(!is_stalled(&times), "a tick of the scheduler");
    }

    #[test]
    fn percentiles_are_those_of_the_times() {
        let times: Vec<u32> = (1..=1000).collect();
        let found = percentiles(&times).unwrap();
        assert_eq!((found.count, found.p50, found.p90), (1000, 500, 900));
        assert_eq!((found.p99, found.max), (990, 1000));
        assert_eq!(found.histogram.iter().map(|(_, n)| n).sum::<u64>(), 1000);
        assert!(percentiles(&[]).is_none());
    }
}
