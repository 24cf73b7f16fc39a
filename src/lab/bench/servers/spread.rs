//! Windows in turns, how far their figures lie apart, and those that something else spoiled.

/// A window that is far off is run again so often.
pub(in crate::lab::bench) const AGAIN: usize = 2;
/// A rate under this part of the median is not the server's.
const SLOW: f64 = 0.7;
/// A batch that took so many times the median is not the operation's.
const LONG: f64 = 3.0;

/// Whether a rate is far below the `usual` one; not as long as there is none (NaN).
pub(in crate::lab::bench) fn is_slow(rate: f64, usual: f64) -> bool {
    rate < usual * SLOW
}

/// Whether a time is far above the `usual` one; not as long as there is none (NaN).
pub(in crate::lab::bench) fn is_long(time: f64, usual: f64) -> bool {
    time > usual * LONG
}

/// Places 0 to `count` there and back, one way a round: whatever grows or shrinks
/// meanwhile meets all alike.
pub(in crate::lab::bench) fn there_and_back(
    count: usize,
    rounds: usize,
) -> impl Iterator<Item = usize> {
    (0..rounds).flat_map(move |round| {
        let back = round % 2 == 1;
        (0..count).map(move |place| if back { count - 1 - place } else { place })
    })
}

/// The least and the greatest.
pub(in crate::lab::bench) fn extent(figures: &[f64]) -> (f64, f64) {
    let start = (f64::INFINITY, f64::NEG_INFINITY);
    figures.iter().fold(start, |(min, max), f| (min.min(*f), max.max(*f)))
}

/// Why a row is noisy of which so many windows are still off; `None` if none is.
pub(in crate::lab::bench) fn stalled(off: usize, windows: usize) -> Option<String> {
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
