//! What a pipe does that people do not expect.

use super::row::Experiment;

mod capacity;
mod ends;
mod exec;
mod lent;
mod nonblock;
mod printing;
mod streams;

/// The chapter's experiments, in the order of its page.
pub const ALL: &[Experiment] = &[
    ends::FORGOTTEN_END,
    exec::OVER_EXEC,
    ends::SIGPIPE,
    printing::PRINTED_TO_NOBODY,
    ends::STDIO_BUFFER,
    streams::SHORT_READS,
    streams::ATOMIC_WRITES,
    streams::BOTH_FULL,
    capacity::CAPACITY,
    capacity::PAGES,
    capacity::PARTIAL_WRITE,
    nonblock::ALL_OR_NOTHING,
    nonblock::SHELLS_TERMINAL,
    capacity::VMSPLICE,
    lent::MOVED_ON,
];
