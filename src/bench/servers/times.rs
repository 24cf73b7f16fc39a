//! Many times in little room: a histogram of nanoseconds, to three digits.

use hdrhistogram::Histogram;

use super::super::model::Percentiles;

/// Times, each known to 0.1 %.
#[derive(Debug, Clone)]
pub struct Times(Histogram<u64>);

/// The longest time that is kept as it is, in nanoseconds: longer ones count as this.
const LONGEST: u64 = 60_000_000_000;

impl Times {
    /// None yet.
    pub fn new() -> Times {
        let histogram = Histogram::new_with_bounds(1, LONGEST, 3);
        Times(histogram.expect("bounds that a histogram can have"))
    }

    /// Adds one, in nanoseconds.
    pub fn add(&mut self, nanoseconds: u64) {
        self.0.saturating_record(nanoseconds.max(1));
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The longest, in nanoseconds; 0 without any.
    pub fn largest(&self) -> u64 {
        self.0.max()
    }

    /// How long this share of them took at most, in nanoseconds.
    pub fn at(&self, share: f64) -> u64 {
        self.0.value_at_quantile(share)
    }

    /// How many took longer than so many nanoseconds.
    pub fn above(&self, nanoseconds: u64) -> u64 {
        self.0.len() - self.0.count_between(0, nanoseconds)
    }

    /// The values that there are, and how often each, from the least on.
    pub fn pairs(&self) -> Vec<(u64, u64)> {
        let all = self.0.iter_recorded();
        all.map(|step| (step.value_iterated_to(), step.count_at_value())).collect()
    }

    /// Adds what [`Times::pairs`] has returned in another process.
    pub fn add_pairs(&mut self, pairs: &[(u64, u64)]) {
        for (value, count) in pairs {
            self.0.saturating_record_n((*value).max(1), *count);
        }
    }

    /// As the report has them; `None` without any.
    pub fn percentiles(&self) -> Option<Percentiles> {
        (self.count() > 0).then(|| Percentiles {
            count: self.count(),
            p50: self.at(0.5),
            p90: self.at(0.9),
            p99: self.at(0.99),
            p999: self.at(0.999),
            max: self.largest(),
            histogram: self.coarse().pairs(),
        })
    }

    /// The same to two digits: a report has hundreds of these.
    fn coarse(&self) -> Times {
        let histogram = Histogram::new_with_bounds(1, LONGEST, 2);
        let mut coarse = Times(histogram.expect("as above"));
        coarse.add_pairs(&self.pairs());
        coarse
    }
}

impl Default for Times {
    fn default() -> Times {
        Times::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_process_tells_is_the_same_to_the_last_count() {
        let (mut ours, mut theirs) = (Times::new(), Times::new());
        for step in 0..10_000_u64 {
            theirs.add(step * step);
        }
        ours.add_pairs(&theirs.pairs());
        assert_eq!(ours.pairs(), theirs.pairs());
        assert_eq!(ours.count(), 10_000);
        let told = ours.percentiles().unwrap();
        assert_eq!(
            told.histogram.iter().map(|(_, count)| count).sum::<u64>(),
            10_000
        );
        // 9 of 10 are at most 9,000 squared, to 0.1 %.
        let exact = 9_000.0_f64 * 9_000.0;
        assert!((told.p90 as f64 / exact - 1.0).abs() < 0.002, "{}", told.p90);
        assert!(told.p50 <= told.p90 && told.p999 <= told.max);
        assert!(Times::new().percentiles().is_none());
    }

    #[test]
    fn the_longest_of_all_still_counts() {
        let mut times = Times::new();
        times.add(u64::MAX);
        times.add(0);
        assert_eq!(times.count(), 2);
        assert!(times.largest() >= LONGEST && times.above(1) == 1);
    }
}
