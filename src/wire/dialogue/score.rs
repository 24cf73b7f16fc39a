//! How much of a conversation came to pass.

use nix::errno::Errno;

use super::questions::Questions;
use crate::roles::messages;
use crate::say;

/// The server ended the conversation before it had answered all, or taken all.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", self.story())]
pub struct Truncated {
    /// The call that failed first, if the server did not just close.
    pub failure: Option<(&'static str, Errno)>,
    /// How many messages there are, where that is known.
    pub all: Option<u64>,
    /// How many of them the kernel took, or how many bytes.
    pub handed: u64,
    /// How many were answered, or how many bytes came back.
    pub answered: u64,
    /// Whether a message could not be sent, or an answer may have been lost.
    pub broken: bool,
    /// Whether it is bytes that are counted, for want of boundaries.
    pub bytes: bool,
}

impl Truncated {
    pub(super) fn of(questions: &Questions, bytes: bool) -> Truncated {
        let all = questions.input.is_none() && !bytes;
        let all = all.then_some(questions.arguments.len() as u64);
        let (handed, answered, broken) = (0, 0, false);
        Truncated { failure: None, all, handed, answered, broken, bytes }
    }

    pub(super) fn worth(&self, message: &[u8]) -> u64 {
        if self.bytes { message.len() as u64 } else { 1 }
    }

    fn story(&self) -> String {
        let what = match self.failure {
            Some((call, error)) => format!("{call}: {error}"),
            None => "the server closed its side too early".to_owned(),
        };
        let (handed, answered) = (self.handed, say::grouped(self.answered));
        let score = match (self.bytes, self.all) {
            (true, _) => {
                let handed = say::size(handed as usize);
                format!("{handed} handed over, {answered} came back")
            }
            (_, None) => {
                format!("{} handed over, {answered} answered", messages(handed))
            }
            (_, Some(all)) => {
                let (all, handed) = (messages(all), say::grouped(handed));
                format!("of {all}, {handed} handed over, {answered} answered")
            }
        };
        let why = if self.failure.is_none() && self.answered == 0 {
            "; if it was told --reply none, tell the client the same"
        } else {
            ""
        };
        format!("{what}; {score}{why}")
    }
}
