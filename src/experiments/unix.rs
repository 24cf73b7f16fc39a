//! What Unix sockets do that people do not expect.

use super::row::Experiment;

mod credentials;
mod datagrams;
mod messages;
mod modes;
mod names;

/// The chapter's experiments, in the order of its page.
pub const ALL: &[Experiment] = &[
    names::STALE_NAME,
    names::STOLEN_NAME,
    names::LONG_PATH,
    names::ABSTRACT,
    modes::WHICH_BIT,
    modes::BEFORE_CHMOD,
    modes::FCHMOD_WHICH,
    messages::BOUNDARIES,
    messages::UNBOUND_CLIENT,
    messages::FULL_BACKLOG,
    datagrams::TRUE_LENGTH,
    datagrams::FULL_AND_WRITABLE,
    credentials::WHO_CONNECTED,
    credentials::PASSCRED_LATE,
    credentials::PEER_HAS_ENDED,
    credentials::PIDFD_OF_A_MESSAGE,
];
