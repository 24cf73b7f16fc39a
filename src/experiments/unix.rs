//! What Unix sockets do that people do not expect.

use super::row::Experiment;

mod credentials;
mod messages;
mod names;

/// The chapter's experiments, in the order of its page.
pub const ALL: &[Experiment] = &[
    names::STALE_NAME,
    names::STOLEN_NAME,
    names::LONG_PATH,
    names::ABSTRACT,
    messages::BOUNDARIES,
    messages::UNBOUND_CLIENT,
    messages::FULL_BACKLOG,
    credentials::WHO_CONNECTED,
    credentials::PASSCRED_LATE,
];
