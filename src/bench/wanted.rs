//! What is to be measured: every subject, at every size, in every placement.

use super::job::Mode;
use super::measure::Plan;
use super::model::{Placement, What};
use super::placement::Cpus;
use super::subject::{Subject, Waits};

/// What is to be measured, and how.
#[derive(Debug)]
pub(super) struct Wanted {
    /// The mechanisms.
    pub(super) subjects: Vec<Subject>,
    /// The sizes of a round trip's message, in bytes, for one CPU.
    pub(super) round_trips: Vec<u64>,
    /// The sizes of a message one way.
    pub(super) one_way: Vec<u64>,
    /// The sizes of a round trip's message across two CPUs.
    pub(super) cross: Vec<u64>,
    /// The sizes of a message one way across two CPUs.
    pub(super) cross_one_way: Vec<u64>,
    /// Where.
    pub(super) placements: Vec<Placement>,
    /// How long, and how often.
    pub(super) plan: Plan,
    /// Whether single operations are measured too.
    pub(super) operations: bool,
    /// The chapters whose servers are measured.
    pub(super) servers: Vec<String>,
}

/// One figure to take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot {
    pub(super) subject: Subject,
    pub(super) what: What,
    pub(super) size: u64,
    pub(super) placement: Placement,
    pub(super) cpus: [usize; 2],
}

impl Wanted {
    /// All that is to be taken at `placement`, in the order of the book.
    pub(super) fn spots(&self, placement: Placement, cpus: [usize; 2]) -> Vec<Spot> {
        let mut spots = Vec::new();
        for subject in &self.subjects {
            if !subject.runs(placement) {
                continue;
            }
            let (round_trips, one_way) =
                match placement == Placement::Same || subject.least.is_some() {
                    true => (&self.round_trips, &self.one_way),
                    false => (&self.cross, &self.cross_one_way),
                };
            for (what, sizes) in [
                (What::Latency, subject.round_trips(round_trips)),
                (What::Throughput, subject.one_way(one_way)),
            ] {
                spots.extend(sizes.into_iter().map(|size| Spot {
                    subject: *subject,
                    what,
                    size,
                    placement,
                    cpus,
                }));
            }
        }
        spots
    }

    /// How many figures there will be.
    pub(super) fn steps(&self, cpus: &Cpus) -> usize {
        let placements = self.placements.iter();
        let placements = placements
            .filter_map(|placement| Some((*placement, cpus.of(*placement)?)));
        placements.map(|(placement, cpus)| self.spots(placement, cpus).len()).sum()
    }
}

impl Subject {
    /// Whether it is measured there: what it does while it waits makes the placement.
    fn runs(&self, placement: Placement) -> bool {
        match placement {
            Placement::Same => self.waits != Waits::Spins,
            Placement::CrossBlocking => self.waits == Waits::Sleeps,
            Placement::CrossLooking => self.waits == Waits::LooksFirst,
            Placement::CrossSpinning => self.waits == Waits::Spins,
        }
    }
}

impl Spot {
    /// Both ways, or one.
    pub(super) fn mode(&self) -> Mode {
        if self.what == What::Latency { Mode::Pingpong } else { Mode::Oneway }
    }
}
