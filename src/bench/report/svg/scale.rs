//! Where a size or a part stands on an axis.

pub(super) fn log2(size: u64) -> f64 {
    (size as f64).log2()
}

/// Where a part of all, from 0 to 1, stands: the same distance from 90 % to 99 % as from
/// there to 99.9 %.
pub(super) fn nines(part: f64) -> f64 {
    -(1.0 - part).log10()
}
