//! What is found: arrows, and events that have none for a doubt.

use std::collections::BTreeMap;

/// From one event to another, by their indexes in [`Trace::events`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct Arrow {
    /// The event that put in.
    pub(in super::super) from: usize,
    /// The event that took out.
    pub(in super::super) to: usize,
}

/// Why an event has no arrow that a reader will look for.
pub(in super::super) type Doubt = &'static str;

/// Bytes came or went, and no call was seen that took or put them.
pub(super) const UNSEEN: Doubt = "bytes came or went unseen";
/// The bytes that were taken are not those that were put.
pub(super) const OTHERS: Doubt = "these bytes are not the ones that were sent";
/// Which process's bytes came first is not known.
pub(super) const ORDER: Doubt = "several at once: their order is not known";
/// Too little of the bytes was kept.
pub(super) const UNKEPT: Doubt = "too many bytes to compare";
/// None of the closes that were seen was the last.
pub(super) const CLOSED: Doubt = "the last write end was closed unseen";
/// More than one call may have done it.
pub(super) const MANY: Doubt = "more than one may have woken it";

/// What is found: arrows, and doubts by event.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) arrows: Vec<Arrow>,
    pub(super) doubts: BTreeMap<usize, Doubt>,
}

impl Found {
    pub(super) fn arrow(&mut self, from: usize, to: usize) {
        self.arrows.push(Arrow { from, to });
    }

    pub(super) fn doubt(
        &mut self,
        events: impl IntoIterator<Item = usize>,
        why: Doubt,
    ) {
        for event in events {
            self.doubts.entry(event).or_insert(why);
        }
    }
}
