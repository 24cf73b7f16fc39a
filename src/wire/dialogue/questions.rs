//! The messages of a client: its arguments, or standard input.

use std::ffi::OsString;

use anyhow::anyhow;
use nix::errno::Errno;
use nix::unistd::read;
use rustix::stdio::stdin;

use super::Link;
use crate::frame::{CHUNK, Framing, FramingOptions, ReassemblyBuffer};
use crate::roles::{MessageSource, Progress};
use crate::standard;

/// The messages of a client: its arguments, or standard input in lines or as it is.
pub(super) struct Questions {
    pub(super) arguments: std::vec::IntoIter<OsString>,
    pub(super) input: Option<ReassemblyBuffer>,
    /// How much one read of standard input asks for.
    chunk: usize,
    /// Where it is read to, so that no message is longer than a link carries.
    block: Vec<u8>,
    ended: bool,
    number: u64,
    /// What standard input held that cannot be sent, or why it could not be read.
    pub(super) refused: Option<anyhow::Error>,
    progress: Option<Progress>,
}

/// What a client does next.
pub(super) enum Next {
    /// It sends this message.
    Message,
    /// It waits for more of standard input.
    Later,
    /// It has sent all.
    End,
}

impl Questions {
    pub(super) fn new(source: &MessageSource, largest: usize) -> Questions {
        let framing = if source.bytes { Framing::None } else { Framing::Lines };
        let max_message = u32::try_from(largest).unwrap_or(u32::MAX);
        Questions {
            arguments: source.messages.clone().into_iter(),
            input: source.reads_input().then(|| {
                ReassemblyBuffer::new(&FramingOptions { framing, max_message })
            }),
            chunk: if source.bytes { largest.min(CHUNK) } else { CHUNK },
            block: Vec::new(),
            ended: false,
            number: 0,
            refused: None,
            progress: source.bytes.then(Progress::of_stdin),
        }
    }

    /// Replaces `message` by the next one.
    pub(super) fn next(&mut self, message: &mut Vec<u8>, link: &impl Link) -> Next {
        let Some(input) = &mut self.input else {
            return match self.arguments.next() {
                None => Next::End,
                Some(word) => {
                    *message = word.into_encoded_bytes();
                    Next::Message
                }
            };
        };
        if self.refused.is_some() {
            return Next::End;
        }
        let found = match input.next(message) {
            Ok(false) if self.ended => input.at_end(message),
            found => found,
        };
        self.number += 1;
        let checked = match found {
            Ok(true) => link.check(message),
            Ok(false) => {
                self.number -= 1;
                return if self.ended { Next::End } else { Next::Later };
            }
            Err(_) => Err(anyhow!("too large: {}", link.limit())),
        };
        match checked {
            Ok(()) => Next::Message,
            Err(error) => {
                self.refused = Some(error.context(format!("line {}", self.number)));
                Next::End
            }
        }
    }

    /// read(2) of standard input, once poll(2) has reported that it will not sleep.
    pub(super) fn read(&mut self) {
        let Some(input) = &mut self.input else { return };
        self.block.resize(self.chunk, 0);
        match read(stdin(), &mut self.block) {
            Ok(0) => self.ended = true,
            Ok(n) => {
                if let Err(error) = input.add(&self.block[..n]) {
                    self.refused = Some(anyhow!(error).context("malloc"));
                }
                self.progress.iter_mut().for_each(|progress| progress.moved(n));
            }
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(error) => {
                self.refused = Some(standard::unread(error));
            }
        }
    }
}
