//! How long a turn of the loop lasts, and its end.

use std::time::Duration;

/// How many steps one client, listening socket or FIFO takes at a time, before it is the turn of
/// the others.
pub(super) const TURN: usize = 64;
/// How long sending answers, and printing, may take once a signal has come.
pub(super) const GRACE: Duration = Duration::from_secs(1);
