//! When the next message may go.
//!
//! A client that sends all it has at once never sees what the server does between two of
//! its messages. So the first few take turns with their answers. Nothing waits for ever:
//! some servers answer at the very end, as sort(1) does, and some close one direction only.

use nix::poll::PollTimeout;

use super::score::Truncated;
use crate::say;

// ANCHOR: turns
/// So many messages take turns with their answers; the others go as fast as they can.
const FIRST: u64 = 3;

/// What the next message waits for, all in one poll(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AwaitedEvent {
    /// The answer to the message before it.
    Answer,
    /// The end of the stream, after the first answer: the simplest server closes then.
    Close,
    /// The reset, after a message that was sent beyond the end of the stream.
    Reset,
}

impl AwaitedEvent {
    /// How long poll(2) may sleep, in ms: no call can report that nothing will come.
    pub(super) fn at_most(self) -> PollTimeout {
        match self {
            AwaitedEvent::Answer | AwaitedEvent::Reset => 200_u16.into(),
            AwaitedEvent::Close => 20_u8.into(),
        }
    }
}

/// Whether messages still take turns.
#[derive(Debug)]
pub(super) struct Turns {
    on: bool,
    /// Whether the moment after the first answer has passed.
    stayed: bool,
}

impl Turns {
    pub(super) fn new(on: bool) -> Turns {
        Turns { on, stayed: false }
    }

    /// What the next step waits for, after so many messages and answers; `receiving`
    /// until the end of the stream.
    pub(super) fn pause(
        &self,
        score: &Truncated,
        receiving: bool,
    ) -> Option<AwaitedEvent> {
        let (handed, answered) = (score.handed, score.answered);
        match receiving {
            _ if !self.on => None,
            false => (answered < handed).then_some(AwaitedEvent::Reset),
            true if handed >= FIRST => None,
            true if answered < handed => Some(AwaitedEvent::Answer),
            true => (handed == 1 && !self.stayed).then_some(AwaitedEvent::Close),
        }
    }

    /// What `pause` waits for did not come.
    pub(super) fn passed(&mut self, pause: AwaitedEvent) {
        match pause {
            AwaitedEvent::Close => self.stayed = true,
            AwaitedEvent::Answer => {
                say!("no answer for 0.2 s: from now on we do not wait for each");
                self.on = false;
            }
            AwaitedEvent::Reset => {
                say!("no reset for 0.2 s: the server may still be reading");
                self.on = false;
            }
        }
    }
}
// ANCHOR_END: turns
