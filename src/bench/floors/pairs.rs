//! The floors that are pairs of processes, beside which every subject is measured.

use crate::measure::{Contender, Series};
use crate::model::{Floor, Placement, Unit};
use crate::pair::Pair;
use crate::tripwire::Floors;

/// What the two floors of pairs are called.
pub(crate) const SWITCHES: &str = "two context switches";
/// The same pair on two CPUs: nothing is switched from one to the other there.
pub(crate) const WAKE_UPS: &str = "two wake-ups";
/// As [`SWITCHES`].
pub(crate) const LINES: &str = "two bounced cache lines";

/// The floors of a placement: started once, measured beside every subject.
#[derive(Default)]
pub(crate) struct PairFloors {
    pub(crate) names: Vec<&'static str>,
    pub(crate) pairs: Vec<Contender>,
    seen: Vec<Series>,
}

impl PairFloors {
    /// Adds a floor whose pair has been started.
    pub(crate) fn add(&mut self, name: &'static str, pair: Pair) {
        self.names.push(name);
        self.pairs.push(Contender::Pair(Box::new(pair)));
        self.seen.push(Series::default());
    }

    /// Keeps what was seen of the floors beside one subject.
    pub(crate) fn see(&mut self, new: &[Series]) {
        for (kept, new) in self.seen.iter_mut().zip(new) {
            kept.figures.extend(&new.figures);
            kept.stalls += new.stalls;
        }
    }

    /// The least that was ever seen of each.
    pub(crate) fn least(&self) -> Floors {
        let least = |name| {
            let index = self.names.iter().position(|known| *known == name)?;
            self.seen[index].figures.iter().copied().reduce(f64::min)
        };
        Floors { switches: least(SWITCHES), lines: least(LINES) }
    }

    /// As the report prints them.
    pub(crate) fn told(&self, placement: Placement) -> Vec<Floor> {
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
