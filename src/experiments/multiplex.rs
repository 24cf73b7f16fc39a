//! What select, poll and epoll report, and do not report; and what io_uring does instead.

use super::row::Experiment;

mod edges;
mod herd;
mod ready;
mod ring;
mod room;
mod set;
mod slow;

/// The chapter's experiments, in the order of its page.
pub const ALL: &[Experiment] = &[
    ready::REGULAR_FILE,
    ready::READY_THEN_BLOCKS,
    room::FD_SETSIZE,
    room::ONE_OF_MANY,
    room::ACCEPT_EMFILE,
    slow::SLOW_SUBSCRIBER,
    slow::WITHOUT_A_BOUND,
    edges::LEVEL_OR_EDGE,
    edges::EDGE_NOT_DRAINED,
    edges::ONESHOT,
    set::CLOSED_BUT_WATCHED,
    herd::HERD,
    herd::INHERITED_EPOLL,
    herd::BLOCKING_ACCEPT,
    ring::ONE_CALL,
    ring::READS,
    ring::ORDER,
    ring::POLL_ONCE,
    ring::BUFFER,
];
