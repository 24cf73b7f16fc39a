//! What all clients share: the buffer that is read into, how messages are told apart and
//! answered, and standard output.

use std::io::stdout;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Error, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::write;

use crate::wire::dialogue::{Reply, Server};
use crate::wire::frame::{CHUNK, Stream};
use crate::wire::payload::Payload;
use crate::wire::say::Tally;

/// A pipe that poll(2) calls writable takes so many bytes without sleeping: PIPE_BUF.
const SURE: usize = libc::PIPE_BUF;

/// The shared things.
#[derive(Debug)]
pub(super) struct Desk {
    /// One buffer for all: an idle client needs none.
    pub(super) buffer: Vec<u8>,
    pub(super) stream: Stream,
    pub(super) reply: Reply,
    pub(super) reads: Tally,
    pub(super) ends: Tally,
    pub(super) writes: Tally,
    pub(super) pauses: Tally,
    /// How many whole messages have come.
    pub(super) messages: u64,
    /// Nobody reads standard output any more.
    pub(super) nobody_reads: bool,
    payload: Option<Payload>,
    printing: Vec<u8>,
    signals: OwnedFd,
}

impl Desk {
    /// A desk at which nothing has happened; `signals` is readable once it is time to end.
    pub(super) fn new(server: &Server, print: bool, signals: OwnedFd) -> Desk {
        Desk {
            buffer: vec![0; CHUNK],
            stream: server.stream,
            reply: server.reply,
            reads: Tally::of("read"),
            ends: Tally::of("read() = 0"),
            writes: Tally::of("write"),
            pauses: Tally::of("a full socket"),
            messages: 0,
            nobody_reads: false,
            payload: print.then(|| server.payload()),
            printing: Vec::new(),
            signals,
        }
    }

    /// Prints one message.
    pub(super) fn print(&mut self, message: &[u8]) -> Result<()> {
        self.note(message);
        self.flush()
    }

    fn note(&mut self, message: &[u8]) {
        self.messages += 1;
        if let Some(payload) = &mut self.payload {
            self.printing.extend_from_slice(payload.text(message));
        }
    }
}

// ANCHOR: digest
impl Desk {
    /// Prints the whole messages at the beginning of `bytes`, and makes answers of them
    /// where they stand, frames included. Returns how many bytes of answers that is, and
    /// why the rest cannot be read, if it cannot.
    pub(super) fn digest(
        &mut self,
        bytes: &mut [u8],
        searched: &mut usize,
    ) -> Result<(usize, Option<Error>)> {
        let mut done = 0;
        let refused = loop {
            match self.stream.first(&bytes[done..], searched) {
                Ok(None) => break None,
                Err(refused) => break Some(refused),
                Ok(Some((place, next))) => {
                    let message = &mut bytes[done..][place];
                    self.note(message);
                    if self.reply == Reply::Upper {
                        message.make_ascii_uppercase();
                    }
                    done += next;
                }
            }
        };
        self.flush()?;
        Ok((done, refused))
    }

    /// Writes what is to be printed. Standard output is not ours alone, so it is not ours
    /// to make non-blocking: it may hold up the server, but not its end by a signal.
    fn flush(&mut self) -> Result<()> {
        let stdout = stdout();
        let mut left = self.printing.as_slice();
        while !left.is_empty() {
            let mut fds = [
                PollFd::new(stdout.as_fd(), PollFlags::POLLOUT),
                PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut fds, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                result => result.context("poll standard output")?,
            };
            if fds[0].any() == Some(false) {
                break; // a signal
            }
            match write(&stdout, &left[..left.len().min(SURE)]) {
                Ok(written) => left = &left[written..],
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(Errno::EPIPE) => {
                    self.nobody_reads = true;
                    break;
                }
                Err(error) => return Err(error).context("write standard output"),
            }
        }
        self.printing.clear();
        Ok(())
    }
}
// ANCHOR_END: digest
