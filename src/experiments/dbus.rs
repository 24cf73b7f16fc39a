//! What calls and signals over D-Bus do that people do not expect.
//!
//! The messages are made and read by hand (`link.rs`), so that all of them can be seen.
//! A bus is a dbus-daemon of the run's own; the machine's buses are left alone.

use super::row::Experiment;

mod answers;
mod calls;
mod link;
mod message;
mod names;
mod policy;
mod seen;
mod signals;

/// The chapter's experiments, in the order of its page.
pub const ALL: &[Experiment] = &[
    calls::LATE_REPLY,
    calls::AT_MOST_ONCE,
    answers::REPLY_ORDER,
    answers::WRONG_SIGNATURE,
    answers::NO_REPLY,
    calls::SERVER_DIES,
    names::NAME_TAKEN,
    names::TAKE_OVER,
    policy::DENIED,
    names::ACTIVATION,
    signals::LOST_SIGNAL,
    signals::TWO_RULES,
    signals::SLOW_LISTENER,
    seen::FORGED_SENDER,
    seen::MONITOR,
];
