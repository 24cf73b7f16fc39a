//! Figures that cannot be. A benchmark that measures something else is faster than what
//! any mechanism can be, or does not wait where it must: then the verdict is "invalid".

use super::model::{Placement, Unit};
use super::report::units::figure;

/// What this machine's floors are at a placement, in nanoseconds a round trip: the least
/// that was seen, since a busy machine makes them slower, and a figure no truer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Floors {
    /// Two context switches, by a futex that two processes on one CPU share.
    pub switches: Option<f64>,
    /// Two lines of memory that go from one CPU to the other.
    pub lines: Option<f64>,
}

/// A round trip that was measured.
#[derive(Debug, Clone, Copy)]
pub struct RoundTrip {
    /// Where.
    pub placement: Placement,
    /// In nanoseconds.
    pub nanoseconds: f64,
    /// Context switches of each process in it.
    pub switches: Option<[f64; 2]>,
    /// Whether a message goes by one call, so that each side sleeps once.
    pub one_call: bool,
}

// ANCHOR: tripwires
/// Less than this part of two bounced lines, and no line was bounced.
const LINES: f64 = 0.9;
/// Less than this part of two context switches, and a side did not wait.
const SWITCHES: f64 = 0.75;
/// A process that waits once a round trip is switched away from so often, at least and at
/// most: now and then one is made to make room as well.
pub(super) const ONCE: std::ops::RangeInclusive<f64> = 0.8..=1.2;

impl RoundTrip {
    /// Why the figure cannot be, if it cannot.
    pub fn flaw(&self, floors: Floors) -> Option<String> {
        let time = self.nanoseconds;
        if self.placement != Placement::Same {
            if let Some(lines) = floors.lines.filter(|lines| time < LINES * lines) {
                return Some(format!(
                    "{time:.0} ns is under {LINES} of two bounced cache lines \
                     ({lines:.0} ns): nothing went from one CPU to the other"
                ));
            }
            let sleeps = self.placement == Placement::CrossBlocking && self.one_call;
            return sleeps.then(|| self.restless()).flatten();
        }
        if let Some(floor) = floors.switches.filter(|floor| time < SWITCHES * floor)
        {
            return Some(format!(
                "{time:.0} ns is under {SWITCHES} of two context switches \
                 ({floor:.0} ns): a side did not wait"
            ));
        }
        self.restless()
    }

    /// Why this is no round trip of two processes that sleep while they wait.
    pub fn restless(&self) -> Option<String> {
        let counts = self.switches?;
        let wrong = counts.iter().find(|count| {
            **count < *ONCE.start() || self.one_call && **count > *ONCE.end()
        })?;
        Some(format!(
            "{wrong:.2} context switches a round trip and process, not 1: this is not one \
             message there and one back"
        ))
    }
}

/// A throughput that was measured.
#[derive(Debug, Clone, Copy)]
pub struct OneWay {
    /// Where.
    pub placement: Placement,
    /// In bytes per second.
    pub rate: f64,
    /// How often each byte is copied, from the sender's memory to the receiver's.
    pub copies: u32,
}

impl OneWay {
    /// Why the figure cannot be, where memcpy moves so many bytes per second, if it cannot.
    pub fn flaw(&self, memcpy: f64) -> Option<String> {
        // On two CPUs the copies are made at the same time, each by one.
        let copies = if self.placement == Placement::Same { self.copies } else { 1 };
        let most = memcpy / f64::from(copies);
        let told = |rate| figure(rate, Unit::BytesPerSecond);
        (self.rate > most).then(|| {
            let (rate, most) = (told(self.rate), told(most));
            let part = if copies > 1 { format!("memcpy / {copies}") } else { "memcpy".to_owned() };
            format!("{rate} is over {part} ({most}): not each byte was copied, or the floor is wrong")
        })
    }
}
// ANCHOR_END: tripwires

#[cfg(test)]
mod tests {
    use super::*;

    const FLOORS: Floors = Floors { switches: Some(1800.0), lines: Some(320.0) };

    fn trip(placement: Placement, nanoseconds: f64, switches: f64) -> RoundTrip {
        let switches = Some([switches; 2]);
        RoundTrip { placement, nanoseconds, switches, one_call: true }
    }

    #[test]
    fn what_is_faster_than_the_floor_is_invalid() {
        let flaw = |placement, time| trip(placement, time, 1.0).flaw(FLOORS);
        assert!(flaw(Placement::Same, 1900.0).is_none());
        assert!(flaw(Placement::Same, 1300.0).unwrap().contains("did not wait"));
        assert!(flaw(Placement::CrossSpinning, 330.0).is_none());
        assert!(
            flaw(Placement::CrossSpinning, 280.0).unwrap().contains("cache lines")
        );
        assert!(flaw(Placement::CrossBlocking, 35_000.0).is_none());
    }

    #[test]
    fn who_does_not_wait_once_a_round_trip_is_found_out_on_one_cpu() {
        let flaw = |switches| trip(Placement::Same, 2000.0, switches).flaw(FLOORS);
        assert!(flaw(1.0).is_none() && flaw(0.9).is_none() && flaw(1.15).is_none());
        assert!(flaw(0.1).unwrap().contains("0.10 context switches"));
        assert!(flaw(2.0).is_some());
        let busy = trip(Placement::CrossBlocking, 2500.0, 0.0);
        assert!(busy.restless().unwrap().contains("0.00 context switches"));
        let parts =
            RoundTrip { one_call: false, ..trip(Placement::Same, 2e5, 17.0) };
        assert!(parts.flaw(FLOORS).is_none(), "a large message goes in parts");
        let cross = trip(Placement::CrossSpinning, 400.0, 0.0);
        assert!(
            cross.flaw(FLOORS).is_none(),
            "a side that spins is never switched away from"
        );
    }

    #[test]
    fn no_copy_is_faster_than_memcpy_and_two_on_one_cpu_not_than_half_of_it() {
        let flaw =
            |placement, copies, rate| OneWay { placement, rate, copies }.flaw(10e9);
        assert!(flaw(Placement::Same, 2, 4.9e9).is_none());
        let why = flaw(Placement::Same, 2, 5.1e9).unwrap();
        assert!(
            why.starts_with("5.10 GB/s is over memcpy / 2 (5.00 GB/s)"),
            "{why}"
        );
        assert!(flaw(Placement::Same, 1, 9.9e9).is_none());
        assert!(flaw(Placement::Same, 1, 11e9).is_some());
        for placement in [
            Placement::CrossBlocking,
            Placement::CrossLooking,
            Placement::CrossSpinning,
        ] {
            assert!(flaw(placement, 2, 9.9e9).is_none(), "{placement:?}");
            let why = flaw(placement, 2, 11e9).unwrap();
            assert!(
                why.starts_with("11.0 GB/s is over memcpy (10.0 GB/s)"),
                "{why}"
            );
        }
        // A pipe beside a memcpy that was measured at bad alignments: 3.2 of 2.9 GB/s.
        assert!(
            OneWay { placement: Placement::Same, rate: 3.2e9, copies: 2 }
                .flaw(2.9e9)
                .is_some()
        );
    }
}
