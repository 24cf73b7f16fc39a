//! One client: a message of which a part has come, and answers of which a part is not sent.

use std::mem::{replace, take};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use anyhow::{Error, Result, anyhow};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, Shutdown, recv, send, shutdown};
use rustix::io::ioctl_fionread;

use super::messages::Shared;
use super::selector::Interest;
use wire::dialogue::Reply;
use wire::errors::line;
use wire::frame::Framing;
use wire::say;
use wire::say::{grouped, size};

/// How much is read, and discarded, of a client that is answered no further, in bytes.
const DISCARDED: usize = 16 << 20;

/// A client. An idle one costs its descriptor and these few words: no buffer.
#[derive(Debug)]
pub(super) struct NonblockingClient {
    socket: OwnedFd,
    /// Its number, counted from 1.
    number: u64,
    /// What it is registered for.
    pub(super) interest: Interest,
    reading: ReadState,
    /// The beginning of a message whose end has not come.
    part: Vec<u8>,
    /// There is no newline before this index in `part`.
    searched: usize,
    /// Answers that its socket had no room for, and how many of their bytes are sent by now.
    queue: Vec<u8>,
    sent: usize,
}

/// What is done with what a client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadState {
    /// It is printed and answered.
    Answering,
    /// It is printed: the client takes no answers.
    Printing,
    /// The client sent what is no valid message: so many more bytes are read and discarded.
    Discarding(usize),
    /// The client sends nothing more, or nothing more is read.
    Ended,
}

/// What one system call achieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Something moved; there may be more.
    Moved,
    /// EAGAIN: there is no more now.
    WouldBlock,
}

impl NonblockingClient {
    /// The client at the other end of `socket`, which does not block.
    pub(super) fn new(
        socket: OwnedFd,
        number: u64,
        interest: Interest,
    ) -> NonblockingClient {
        NonblockingClient {
            socket,
            number,
            interest,
            reading: ReadState::Answering,
            part: Vec::new(),
            searched: 0,
            queue: Vec::new(),
            sent: 0,
        }
    }

    /// Whether it can be forgotten.
    pub(super) fn is_over(&self) -> bool {
        self.reading == ReadState::Ended && self.queue.is_empty()
    }

    /// Whether answers wait for room.
    pub(super) fn has_answers(&self) -> bool {
        !self.queue.is_empty()
    }
}

// ANCHOR: connection
impl NonblockingClient {
    /// What to wait for: room for its answers, or else its messages. So a client that does
    /// not read is not read from, and we hold one buffer of answers for it at most.
    pub(super) fn wants(&self) -> Interest {
        if self.queue.is_empty() { Interest::READ } else { Interest::WRITE }
    }

    /// Receives once, or sends what was left. There is one `buffer` to receive into, for
    /// all clients.
    ///
    /// # Errors
    /// Errors that end the server; a client's own failure ends that client.
    pub(super) fn step(
        &mut self,
        buffer: &mut [u8],
        shared: &mut Shared,
    ) -> Result<Progress> {
        if self.queue.is_empty() {
            self.receive(buffer, shared)
        } else {
            Ok(self.send_queue(shared))
        }
    }

    fn receive(
        &mut self,
        buffer: &mut [u8],
        shared: &mut Shared,
    ) -> Result<Progress> {
        let n = match recv(self.socket.as_raw_fd(), buffer, MsgFlags::empty()) {
            Ok(n) => n,
            Err(Errno::EAGAIN) => return Ok(Progress::WouldBlock),
            Err(Errno::EINTR) => return Ok(Progress::Moved),
            Err(error) => {
                self.report_lost(&anyhow!(error).context("recv"), shared);
                self.reading = ReadState::Ended;
                return Ok(Progress::Moved);
            }
        };
        let (number, fd) = (self.number, self.socket.as_raw_fd());
        if let ReadState::Discarding(left) = self.reading {
            self.discard(n, left);
        } else if n == 0 {
            let text =
                || format!("client {number}: recv({fd}) = 0: it has said all");
            shared.ends.always(0, text);
            self.at_eof(shared);
        } else {
            let bytes = &mut buffer[..n];
            shared.reads.call(n, || {
                format!("client {number}: recv({fd}) = {n}: {}", say::bytes(bytes))
            });
            if self.part.is_empty() {
                // As nearly always: whole messages, answered where they lie.
                let done = self.answer(bytes, shared)?;
                self.part.extend_from_slice(&bytes[done..]);
            } else {
                self.part.extend_from_slice(bytes);
                self.answer_part(shared)?;
            }
        }
        Ok(Progress::Moved)
    }

    /// Answers the whole messages in `bytes`, and returns where the rest begins.
    fn answer(&mut self, bytes: &mut [u8], shared: &mut Shared) -> Result<usize> {
        let (done, refused) = shared.messages.take(bytes, &mut self.searched)?;
        let answers = self.reading == ReadState::Answering
            && shared.messages.reply != Reply::None;
        if done > 0 && answers {
            self.send(&bytes[..done], shared);
        }
        if let Some(error) = refused {
            self.refuse(&error, shared);
            return Ok(bytes.len());
        }
        Ok(done)
    }

    /// Sends at once, as nearly always there is room: no change of interest, and no
    /// second round of waiting, for an answer that fits. The rest is queued.
    fn send(&mut self, answers: &[u8], shared: &mut Shared) {
        let (number, fd, all) =
            (self.number, self.socket.as_raw_fd(), answers.len());
        shared.sends.call(all, || {
            format!("client {number}: send({fd}, {})", say::data(answers))
        });
        let sent =
            match send(self.socket.as_raw_fd(), answers, MsgFlags::MSG_NOSIGNAL) {
                Ok(sent) => sent,
                Err(Errno::EAGAIN | Errno::EINTR) => 0,
                Err(error) => {
                    return self.fail(anyhow!(error).context("send"), shared);
                }
            };
        if sent < all {
            self.queue = answers[sent..].to_vec();
            self.sent = 0;
            shared.pauses.call(self.queue.len(), || {
                let left = grouped((all - sent) as u64);
                format!(
                    "client {number}: send() = {}: its socket is full; {left} wait, \
                     and it is not read from until they have gone",
                    size(sent)
                )
            });
        }
    }

    fn send_queue(&mut self, shared: &mut Shared) -> Progress {
        let left = &self.queue[self.sent..];
        shared.sends.call(0, || {
            let (number, fd) = (self.number, self.socket.as_raw_fd());
            let left = left.len();
            format!("client {number}: send({fd}, …, {left}): it has room again")
        });
        match send(self.socket.as_raw_fd(), left, MsgFlags::MSG_NOSIGNAL) {
            Ok(sent) => self.sent += sent,
            Err(Errno::EAGAIN) => return Progress::WouldBlock,
            Err(Errno::EINTR) => {}
            Err(error) => self.fail(anyhow!(error).context("send"), shared),
        }
        if self.sent >= self.queue.len() {
            self.queue = Vec::new(); // and its memory is free
            self.shut_down_when_sent();
        }
        Progress::Moved
    }
}
// ANCHOR_END: connection

impl NonblockingClient {
    /// The buffer held only a part of a message before, and now holds more.
    fn answer_part(&mut self, shared: &mut Shared) -> Result<()> {
        let mut part = take(&mut self.part);
        let done = self.answer(&mut part, shared)?;
        // What is left moves to memory of its own size: a client that has sent 16 MiB
        // and then three bytes costs three while it is idle.
        self.part = if done > 0 { part[done..].to_vec() } else { part };
        Ok(())
    }

    /// The end of its stream: an unterminated last line is a message, and comes back as
    /// it is, without a newline; half a frame is none.
    fn at_eof(&mut self, shared: &mut Shared) {
        let answered =
            replace(&mut self.reading, ReadState::Ended) == ReadState::Answering;
        let mut last = take(&mut self.part);
        if last.is_empty() {
            return;
        }
        if shared.messages.stream.framing == Framing::Length {
            let got = size(last.len());
            let cut = anyhow!("it ended within a message: only {got} of it came");
            return self.report_lost(&cut, shared);
        }
        if let Some(remark) = shared.messages.stream.remark(&last) {
            wire::say!("client {}: {remark}", self.number);
        }
        shared.messages.take_one(&mut last);
        if answered && shared.messages.reply != Reply::None {
            self.send(&last, shared);
        }
    }

    /// Nothing can be sent to the client any more. What it sent before is still there.
    fn fail(&mut self, error: Error, shared: &mut Shared) {
        self.report_lost(&error, shared);
        self.reading = match self.reading {
            ReadState::Answering => ReadState::Printing,
            _ => ReadState::Ended,
        };
        self.queue = Vec::new();
        self.sent = 0;
    }

    /// close(2): the client reads the end of its answers.
    pub(super) fn close(self, shared: &mut Shared) {
        let (number, fd) = (self.number, self.socket.as_raw_fd());
        shared.closes.always(0, || format!("client {number}: close({fd})"));
    }

    fn report_lost(&mut self, why: &Error, shared: &mut Shared) {
        let text = || format!("client {} is lost: {}", self.number, line(why));
        shared.losses.call(0, text);
    }
}

// ANCHOR: refuse
impl NonblockingClient {
    /// The client sent what is no valid message. It still gets its answers, and then their end.
    ///
    /// To close its socket would be wrong: closed with bytes unread, a TCP socket sends a
    /// reset, which overtakes the answers that are on their way, and they are lost. So
    /// what it still sends is read, up to a bound, and dropped, until it has left.
    fn refuse(&mut self, why: &Error, shared: &mut Shared) {
        self.report_lost(why, shared);
        self.reading = match self.reading {
            ReadState::Answering => ReadState::Discarding(DISCARDED),
            _ => ReadState::Ended, // it has no answers to lose
        };
        self.shut_down_when_sent();
    }

    /// shutdown(2), once the last answer to a client that is answered no further has gone.
    fn shut_down_when_sent(&mut self) {
        if matches!(self.reading, ReadState::Discarding(_)) && self.queue.is_empty()
        {
            // ENOTCONN: the client is gone already, and recv(2) will report it.
            let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Write);
        }
    }

    /// The server ends, and this client has its answers. Whether its socket may be closed now:
    /// not with bytes unread, and then not before the client has left.
    pub(super) fn may_be_closed(&mut self) -> bool {
        if self.reading == ReadState::Answering {
            if ioctl_fionread(&self.socket).is_ok_and(|unread| unread == 0) {
                return true;
            }
            self.reading = ReadState::Discarding(DISCARDED);
            self.shut_down_when_sent();
        }
        self.reading == ReadState::Printing
    }

    fn discard(&mut self, n: usize, left: usize) {
        self.reading = match left.checked_sub(n) {
            Some(left) if n > 0 => ReadState::Discarding(left),
            _ => ReadState::Ended,
        };
    }
}
// ANCHOR_END: refuse

impl AsFd for NonblockingClient {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
