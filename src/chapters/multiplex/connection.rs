//! One client: what of its message has not come yet, what of its answers has not gone.

use std::mem::take;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use anyhow::{Error, Result, anyhow};
use nix::errno::Errno;
use nix::unistd::{read, write};

use super::desk::Desk;
use super::selector::Interest;
use crate::wire::dialogue::Reply;
use crate::wire::frame::Framing;
use crate::wire::say::{self, grouped, size};

/// A client. An idle one costs its descriptor and these few words: no buffer.
#[derive(Debug)]
pub(super) struct Connection {
    socket: OwnedFd,
    /// The how-manieth client it is.
    pub(super) number: u64,
    /// What it is registered for.
    pub(super) interest: Interest,
    /// The beginning of a message whose end has not come.
    part: Vec<u8>,
    /// There is no newline before this place in it.
    searched: usize,
    /// Answers that its socket had no room for, and how many bytes have gone since.
    queue: Vec<u8>,
    gone: usize,
    /// It has said all, or will be heard no further.
    ended: bool,
    failure: Option<Error>,
}

/// What became of one system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Something moved; there may be more.
    Moved,
    /// EAGAIN: there is no more now.
    Again,
}

impl Connection {
    /// The client at the other end of `socket`, which does not block.
    pub(super) fn new(
        socket: OwnedFd,
        number: u64,
        interest: Interest,
    ) -> Connection {
        Connection {
            socket,
            number,
            interest,
            part: Vec::new(),
            searched: 0,
            queue: Vec::new(),
            gone: 0,
            ended: false,
            failure: None,
        }
    }

    /// Whether it can be forgotten.
    pub(super) fn is_over(&self) -> bool {
        self.ended && self.queue.is_empty()
    }

    /// Why it ended, if not by its own goodbye.
    pub(super) fn into_failure(self) -> Option<Error> {
        self.failure
    }
}

// ANCHOR: connection
impl Connection {
    /// What to wait for: to be rid of its answers, or else for its messages. So whoever
    /// does not read is not read from, and we hold one buffer of answers for it at most.
    pub(super) fn wants(&self) -> Interest {
        if self.queue.is_empty() { Interest::READ } else { Interest::WRITE }
    }

    /// Reads once, or writes once.
    ///
    /// # Errors
    /// What the server cannot go on with; a client's own failure is kept with it.
    pub(super) fn step(&mut self, desk: &mut Desk) -> Result<Step> {
        if !self.queue.is_empty() {
            return Ok(self.write_queue(desk));
        }
        let mut buffer = take(&mut desk.buffer);
        let step = self.read(&mut buffer, desk);
        desk.buffer = buffer;
        step
    }

    fn read(&mut self, buffer: &mut [u8], desk: &mut Desk) -> Result<Step> {
        let n = match read(&self.socket, buffer) {
            Ok(n) => n,
            Err(Errno::EAGAIN) => return Ok(Step::Again),
            Err(Errno::EINTR) => return Ok(Step::Moved),
            Err(error) => {
                self.fail(anyhow!(error).context("read"));
                return Ok(Step::Again);
            }
        };
        let (number, fd) = (self.number, self.socket.as_raw_fd());
        if n == 0 {
            desk.ends.call(0, || {
                format!("client {number}: read({fd}) = 0: it has said all")
            });
            self.last_words(desk)?;
            return Ok(Step::Moved);
        }
        desk.reads.call(n, || {
            format!(
                "client {number}: read({fd}) = {n}: {}",
                say::bytes(&buffer[..n])
            )
        });
        if self.part.is_empty() {
            // As nearly always: whole messages, answered straight from the buffer.
            let done = self.answer(&mut buffer[..n], desk)?;
            self.part.extend_from_slice(&buffer[done..n]);
        } else {
            self.part.extend_from_slice(&buffer[..n]);
            self.answer_part(desk)?;
        }
        Ok(Step::Moved)
    }

    /// Answers the whole messages in `bytes`, and returns where the rest begins.
    fn answer(&mut self, bytes: &mut [u8], desk: &mut Desk) -> Result<usize> {
        let (done, refused) = desk.digest(bytes, &mut self.searched)?;
        if done > 0 && desk.reply != Reply::None {
            self.send(&bytes[..done], desk);
        }
        if let Some(error) = refused {
            self.failure = Some(error);
            self.ended = true; // once its answers have gone
            return Ok(bytes.len());
        }
        Ok(done)
    }

    /// Writes at once, as nearly always there is room: no change of interest, and no
    /// second round of waiting, for an answer that fits. The rest is queued.
    fn send(&mut self, answers: &[u8], desk: &mut Desk) {
        let (number, fd, all) =
            (self.number, self.socket.as_raw_fd(), answers.len());
        desk.writes.call(all, || {
            format!("client {number}: write({fd}, {}, {all})", say::bytes(answers))
        });
        let written = match write(&self.socket, answers) {
            Ok(written) => written,
            Err(Errno::EAGAIN | Errno::EINTR) => 0,
            Err(error) => return self.fail(anyhow!(error).context("write")),
        };
        if written < all {
            self.queue = answers[written..].to_vec();
            self.gone = 0;
            desk.pauses.call(self.queue.len(), || {
                let left = grouped((all - written) as u64);
                format!(
                    "client {number}: write() = {}: its socket is full; {left} wait, \
                     and it is not read from until they have gone",
                    size(written)
                )
            });
        }
    }

    fn write_queue(&mut self, desk: &mut Desk) -> Step {
        let left = &self.queue[self.gone..];
        desk.writes.call(0, || {
            let (number, fd) = (self.number, self.socket.as_raw_fd());
            format!(
                "client {number}: write({fd}, …, {}): it has room again",
                left.len()
            )
        });
        match write(&self.socket, left) {
            Ok(written) => self.gone += written,
            Err(Errno::EAGAIN) => return Step::Again,
            Err(Errno::EINTR) => {}
            Err(error) => self.fail(anyhow!(error).context("write")),
        }
        if self.gone >= self.queue.len() {
            self.queue = Vec::new(); // and its memory is free
        }
        Step::Moved
    }
}
// ANCHOR_END: connection

impl Connection {
    /// The buffer held only a part of a message before, and now holds more.
    fn answer_part(&mut self, desk: &mut Desk) -> Result<()> {
        let mut part = take(&mut self.part);
        let done = self.answer(&mut part, desk)?;
        part.drain(..done);
        if !part.is_empty() {
            self.part = part;
        }
        Ok(())
    }

    /// The end of its stream: an unterminated last line is a message, half a frame is not.
    fn last_words(&mut self, desk: &mut Desk) -> Result<()> {
        self.ended = true;
        if self.part.is_empty() {
            return Ok(());
        }
        if desk.stream.framing == Framing::Length {
            let got = size(self.part.len());
            let cut = anyhow!("it ended within a message: only {got} of it came");
            self.failure = Some(cut);
            return Ok(());
        }
        self.part.push(b'\n');
        self.answer_part(desk)
    }

    /// Nothing can be read from it or written to it any more.
    fn fail(&mut self, error: Error) {
        self.failure = Some(error);
        self.ended = true;
        self.queue = Vec::new();
        self.gone = 0;
    }

    /// Whether answers wait for room.
    pub(super) fn has_answers(&self) -> bool {
        !self.queue.is_empty()
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
