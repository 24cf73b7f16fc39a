//! The single round trips or requests, as cells of a table.

use super::super::model::{Figure, Unit};
use super::grid::{Cell, Tone};
use super::units::{beside, figure};

/// The heads of the columns.
pub(super) const HEADS: [&str; 5] = ["p50", "p90", "p99", "p99.9", "max"];

/// Why some have a dash.
pub(super) const FEW: &str = "A p99 of fewer than 100, or a p99.9 of fewer than 1,000, \
                              would be the slowest under another name: there is a –.";

/// Whether one of them has a dash.
pub(super) fn few(this: &Figure) -> bool {
    let known = this.percentiles.iter().flat_map(|all| all.known());
    known.into_iter().any(|value| value.is_none())
}

/// In the unit of the median, which the first of them names unless it stands `near`. What
/// is too large for that unit names its own.
pub(super) fn cells(this: &Figure, near: bool) -> Vec<Cell> {
    let Some(percentiles) = &this.percentiles else {
        return vec![Cell::empty(); HEADS.len()];
    };
    let near = near && this.unit == Unit::Nanoseconds;
    let middle = if near { this.value } else { percentiles.p50 as f64 };
    let cell = |(index, value): (usize, Option<u64>)| match value {
        None => Cell::new("–", Tone::Faint),
        Some(value) if index == 0 && !near => {
            Cell::plain(figure(value as f64, Unit::Nanoseconds))
        }
        Some(value) => Cell::plain(beside(value as f64, middle, Unit::Nanoseconds)),
    };
    percentiles.known().into_iter().enumerate().map(cell).collect()
}
