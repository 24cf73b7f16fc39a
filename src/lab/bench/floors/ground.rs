//! The floors that are pairs of processes, beside which every subject is measured.

use crate::lab::bench::measure::{Contender, Series};
use crate::lab::bench::model::{Floor, Placement, Unit};
use crate::lab::bench::pair::Pair;
use crate::lab::bench::tripwire::Floors;

/// What the two floors of pairs are called.
pub(in crate::lab::bench) const SWITCHES: &str = "two context switches";
/// The same pair on two CPUs: nothing is switched from one to the other there.
pub(in crate::lab::bench) const WAKE_UPS: &str = "two wake-ups";
/// As [`SWITCHES`].
pub(in crate::lab::bench) const LINES: &str = "two bounced cache lines";

/// The floors of a placement: started once, measured beside every subject.
#[derive(Default)]
pub(in crate::lab::bench) struct Ground {
    pub(in crate::lab::bench) names: Vec<&'static str>,
    pub(in crate::lab::bench) pairs: Vec<Contender>,
    seen: Vec<Series>,
}

impl Ground {
    /// Adds a floor whose pair has been started.
    pub(in crate::lab::bench) fn add(&mut self, name: &'static str, pair: Pair) {
        self.names.push(name);
        self.pairs.push(Contender::Pair(Box::new(pair)));
        self.seen.push(Series::default());
    }

    /// Keeps what was seen of the floors beside one subject.
    pub(in crate::lab::bench) fn see(&mut self, new: &[Series]) {
        for (kept, new) in self.seen.iter_mut().zip(new) {
            kept.figures.extend(&new.figures);
            kept.stalls += new.stalls;
        }
    }

    /// The least that was ever seen of each.
    pub(in crate::lab::bench) fn least(&self) -> Floors {
        let least = |name| {
            let place = self.names.iter().position(|known| *known == name)?;
            self.seen[place].figures.iter().copied().reduce(f64::min)
        };
        Floors { switches: least(SWITCHES), lines: least(LINES) }
    }

    /// As the report tells them.
    pub(in crate::lab::bench) fn told(&self, placement: Placement) -> Vec<Floor> {
        let seen = self.names.iter().zip(&self.seen);
        seen.filter(|(_, series)| !series.figures.is_empty())
            .map(|(name, series)| {
                let figure = series.figure(Unit::Nanoseconds, &[]);
                Floor {
                    name: (*name).to_owned(),
                    placement: Some(placement),
                    size: None,
                    apart: None,
                    nanoseconds: figure.value,
                    min: figure.min,
                    max: figure.max,
                }
            })
            .collect()
    }
}
