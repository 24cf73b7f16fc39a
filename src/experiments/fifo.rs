//! What a FIFO does that people do not expect.

use super::row::Experiment;

mod ending;
mod opening;
mod sharing;

/// The chapter's experiments, in the order of its page.
pub const ALL: &[Experiment] = &[
    opening::OPEN_SLEEPS,
    opening::NO_READER_ENXIO,
    opening::WRONG_ORDER,
    ending::EMPTY_OR_ENDED,
    ending::NEVER_A_WRITER,
    ending::DUMMY_WRITER,
    ending::NAME_STAYS,
    sharing::TWO_READERS,
    sharing::REPLY_FIFO,
    opening::ANOTHERS_IN_TMP,
];
