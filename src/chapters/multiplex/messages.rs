//! What becomes of the messages of all clients and inputs: they are told apart, counted,
//! printed, and made into answers.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use anyhow::{Context, Error, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::write;
use rustix::stdio::stdout;

use super::limits::GRACE;
use os::signal::is_to_end;
use wire::dialogue::{Reply, Server};
use wire::frame::{CHUNK, FramingOptions};
use wire::payload::Payload;
use wire::say::Commentary;
use wire::shortage::{Shortage, is_shortage};
use wire::standard::unprinted;

/// A pipe that poll(2) reports as writable takes so many bytes without sleeping: PIPE_BUF.
const SURE: usize = libc::PIPE_BUF;

/// What all clients share: the messages, and the counts of calls.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) messages: Messages,
    pub(super) reads: Commentary,
    pub(super) ends: Commentary,
    pub(super) closes: Commentary,
    pub(super) sends: Commentary,
    pub(super) pauses: Commentary,
    pub(super) losses: Commentary,
}

impl Shared {
    /// Nothing has happened yet.
    pub(super) fn new(messages: Messages) -> Shared {
        Shared {
            messages,
            reads: Commentary::of("recv"),
            ends: Commentary::of("recv() = 0"),
            closes: Commentary::of("close"),
            sends: Commentary::of("send"),
            pauses: Commentary::of("a full socket"),
            losses: Commentary::of("a lost client"),
        }
    }
}

/// The messages of all clients and of all other sources.
#[derive(Debug)]
pub(super) struct Messages {
    pub(super) stream: FramingOptions,
    pub(super) reply: Reply,
    /// How many whole messages have come.
    pub(super) count: u64,
    /// Standard output is a pipe without a reader: EPIPE.
    pub(super) stdout_closed: bool,
    payload: Option<Payload>,
    /// What is to be printed, until everything that is ready has had its turn.
    printing: Vec<u8>,
    signals: OwnedFd,
    /// Once a signal has come: until when standard output may keep us waiting.
    late: Option<Instant>,
    shortage: Shortage,
}

impl Messages {
    /// No message yet; `signals` is readable once it is time to end.
    ///
    /// # Errors
    /// As [`Payload::new`](wire::payload::Payload::new).
    pub(super) fn new(
        server: &Server,
        print: bool,
        signals: OwnedFd,
    ) -> Result<Messages> {
        Ok(Messages {
            stream: server.stream,
            reply: server.reply,
            count: 0,
            stdout_closed: false,
            payload: print.then(|| server.payload()).transpose()?,
            printing: Vec::new(),
            signals,
            late: None,
            shortage: Shortage::default(),
        })
    }

    /// Counts one message, and keeps it to be printed.
    pub(super) fn note(&mut self, message: &[u8]) {
        self.count += 1;
        if let Some(payload) = &mut self.payload {
            self.printing.extend_from_slice(payload.text(message));
        }
    }
}

// ANCHOR: take
impl Messages {
    /// Notes the whole messages at the beginning of `bytes`, and makes answers of them
    /// where they stand, frames included. Returns how many bytes of answers that is, and
    /// why the rest cannot be read, if it cannot.
    pub(super) fn take(
        &mut self,
        bytes: &mut [u8],
        searched: &mut usize,
    ) -> Result<(usize, Option<Error>)> {
        let mut done = 0;
        let refused = loop {
            match self.stream.first(&bytes[done..], searched) {
                Ok(None) => break None,
                Err(refused) => break Some(refused),
                Ok(Some((range, next))) => {
                    self.take_one(&mut bytes[done..][range]);
                    done += next;
                }
            }
        };
        if self.printing.len() >= CHUNK {
            self.print()?;
        }
        Ok((done, refused))
    }

    /// Notes one message, and makes its answer of it.
    pub(super) fn take_one(&mut self, message: &mut [u8]) {
        self.note(message);
        if self.reply == Reply::Upper {
            message.make_ascii_uppercase();
        }
    }

    /// Prints what was noted: one write(2) for all that came at once. Standard output is
    /// not ours alone, so it is not ours to make non-blocking: it may hold up the server,
    /// but its end by a signal only for a while.
    pub(super) fn print(&mut self) -> Result<()> {
        if self.printing.is_empty() {
            return Ok(());
        }
        let stdout = stdout();
        let mut left = self.printing.as_slice();
        while !left.is_empty() {
            let mut fds = [
                PollFd::new(stdout.as_fd(), PollFlags::POLLOUT),
                PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            ];
            let polled = match self.late {
                None => poll(&mut fds, PollTimeout::NONE),
                Some(late) => {
                    let time = late.saturating_duration_since(Instant::now());
                    let time = PollTimeout::try_from(time);
                    poll(&mut fds[..1], time.unwrap_or(PollTimeout::MAX))
                }
            };
            match polled {
                Err(Errno::EINTR) => continue,
                Err(error) if is_shortage(error) => {
                    let call = "poll standard output";
                    self.shortage.rest(error, call, Shortage::OF_MEMORY);
                    if !is_to_end() {
                        continue;
                    }
                }
                result => {
                    result.context("poll standard output")?;
                    self.shortage.is_over();
                }
            }
            if fds[0].any() == Some(false) {
                if self.late.is_some() {
                    break; // long after the signal
                }
                self.late = Some(Instant::now() + GRACE);
                continue;
            }
            match write(stdout, &left[..left.len().min(SURE)]) {
                Ok(written) => left = &left[written..],
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(Errno::EPIPE) => {
                    self.stdout_closed = true;
                    break;
                }
                Err(error) => return Err(unprinted(error)),
            }
        }
        self.printing.clear();
        Ok(())
    }
}
// ANCHOR_END: take
