//! Windows in turns, how far their figures lie apart, and those that something else spoiled.
//! What is compared ran side by side; each pair of windows gives one ratio.

use super::model::{Figure, Ratio, Unit};

/// A window that is far off is run again so often.
pub(super) const AGAIN: usize = 2;
/// A rate under this part of the median is not the server's.
const SLOW: f64 = 0.7;
/// A batch that took so many times the median is not the operation's.
const LONG: f64 = 3.0;

/// Whether a rate is far below the `usual` one; not as long as there is none (NaN).
pub(super) fn is_slow(rate: f64, usual: f64) -> bool {
    rate < usual * SLOW
}

/// Whether a time is far above the `usual` one; not as long as there is none (NaN).
pub(super) fn is_long(time: f64, usual: f64) -> bool {
    time > usual * LONG
}

/// Places 0 to `count` there and back, one way a round: whatever grows or shrinks
/// meanwhile changes all alike.
pub(super) fn there_and_back(
    count: usize,
    rounds: usize,
) -> impl Iterator<Item = usize> {
    (0..rounds).flat_map(move |round| {
        let back = round % 2 == 1;
        (0..count).map(move |index| if back { count - 1 - index } else { index })
    })
}

/// The median of `figures`, which need no order; NaN of none.
pub(super) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// The least and the greatest.
pub(super) fn extent(figures: &[f64]) -> (f64, f64) {
    let start = (f64::INFINITY, f64::NEG_INFINITY);
    figures.iter().fold(start, |(min, max), f| (min.min(*f), max.max(*f)))
}

/// The figure of windows that nothing was measured of but these figures.
pub(super) fn figure(unit: Unit, figures: &[f64]) -> Figure {
    let (min, max) = extent(figures);
    Figure {
        value: median(figures),
        unit,
        min,
        max,
        windows: figures.len(),
        messages: None,
        percentiles: None,
        naive: None,
        switches: None,
        ratios: Vec::new(),
        noisy: None,
    }
}

/// The ratios of `ours` to what ran beside it and is called `to`.
pub(super) fn ratio(to: &str, ours: &[f64], theirs: &[f64]) -> Ratio {
    let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(a, b)| a / b).collect();
    let (min, max) = extent(&ratios);
    let (to, pairs) = (to.to_owned(), ratios.len());
    Ratio { to, median: median(&ratios), min, max, pairs }
}

/// Why a row is noisy of which so many windows are still off; `None` if none is.
pub(super) fn stalled(off: usize, windows: usize) -> Option<String> {
    (off > 0)
        .then(|| format!("something else had the CPU in {off} of {windows} windows"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_go_there_and_back() {
        let all: Vec<usize> = there_and_back(3, 3).collect();
        assert_eq!(all, [0, 1, 2, 2, 1, 0, 0, 1, 2]);
        assert_eq!(there_and_back(3, 2).collect::<Vec<_>>(), [0, 1, 2, 2, 1, 0]);
        assert_eq!(
            there_and_back(2, 4).collect::<Vec<_>>(),
            [0, 1, 1, 0, 0, 1, 1, 0]
        );
    }

    #[test]
    fn a_machine_that_grows_slower_does_not_change_the_ratio() {
        let ours = [100.0, 110.0, 120.0, 130.0];
        let ratio = ratio("C", &ours, &[50.0, 55.0, 60.0, 65.0]);
        assert_eq!((ratio.median, ratio.min, ratio.max), (2.0, 2.0, 2.0));
        assert_eq!(ratio.pairs, 4);
    }

    #[test]
    fn ratios_are_of_windows_side_by_side() {
        let found = ratio("one", &[10.0, 40.0, 60.0], &[10.0, 20.0, 20.0]);
        assert_eq!((found.min, found.median, found.max), (1.0, 2.0, 3.0));
        assert_eq!((found.to.as_str(), found.pairs), ("one", 3));
    }

    #[test]
    fn a_median_needs_no_order_and_no_luck_with_the_count() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn what_is_far_off_is_told_from_what_varies() {
        assert!(is_slow(69.0, 100.0) && !is_slow(71.0, 100.0));
        assert!(is_long(301.0, 100.0) && !is_long(299.0, 100.0));
        // The first window has nothing to be compared with.
        assert!(!is_slow(1.0, f64::NAN) && !is_long(1.0, f64::NAN));
        assert_eq!(stalled(0, 6), None);
        let why = "something else had the CPU in 2 of 6 windows";
        assert_eq!(stalled(2, 6).as_deref(), Some(why));
        assert_eq!(extent(&[2.0, 1.0, 3.0]), (1.0, 3.0));
    }
}
