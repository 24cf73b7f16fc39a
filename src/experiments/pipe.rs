//! What a pipe does that people do not expect.

use super::row::Experiment;

mod capacity;
mod ends;
mod exec;
mod lent;
mod streams;

/// The chapter's experiments, in the order of its page.
pub const ALL: &[Experiment] = &[
    ends::FORGOTTEN_END,
    exec::OVER_EXEC,
    ends::SIGPIPE,
    ends::STDIO_BUFFER,
    streams::SHORT_READS,
    streams::ATOMIC_WRITES,
    streams::BOTH_FULL,
    capacity::CAPACITY,
    capacity::PAGES,
    capacity::PARTIAL_WRITE,
    capacity::VMSPLICE,
    lent::MOVED_ON,
];
