//! What signals do that people do not expect.

use super::row::Experiment;

mod delivery;
mod handlers;
pub(crate) mod identity;
mod self_pipe;
mod terminal;
mod waiting;

/// The chapter's experiments, in the order of its page.
pub const ALL: &[Experiment] = &[
    delivery::THOUSAND,
    delivery::OVERTAKEN,
    delivery::QUEUE_LIMIT,
    delivery::UNSTOPPABLE,
    terminal::CTRL_Z,
    delivery::FIVE_CHILDREN,
    waiting::EINTR,
    waiting::LOST_WAKEUP,
    self_pipe::SELF_PIPE,
    waiting::SIGNALFD,
    handlers::LOCK_IN_HANDLER,
    identity::FORGED,
    identity::PID_REUSE,
];
