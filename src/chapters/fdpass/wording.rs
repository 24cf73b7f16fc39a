//! Words of the commentary.

use wire::say::grouped;

/// `1 connection`, `2 connections`.
pub(super) fn connections(count: u64) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} connection{plural}", grouped(count))
}
