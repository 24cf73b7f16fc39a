//! A stream socket as the client's loop uses it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use anyhow::Result;
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{MsgFlags, Shutdown, send, shutdown};

use super::Link;
use crate::frame::{Framing, FramingOptions, ReassemblyBuffer};
use crate::say;
use crate::say::Commentary;
use os::calls::recv;

// ANCHOR: link
/// The client's end of a connected stream socket.
#[derive(Debug)]
pub struct StreamLink {
    socket: OwnedFd,
    stream: FramingOptions,
    incoming: ReassemblyBuffer,
    sends: Commentary,
    recvs: Commentary,
    /// Whether the server has closed its side.
    ended: bool,
    /// What looks at a socket that has hung up, if the client is to go step by step.
    on_hangup: Option<fn(&OwnedFd, PollFlags)>,
}

impl StreamLink {
    /// The client's end of `socket`, which is connected.
    pub fn new(socket: OwnedFd, stream: &FramingOptions) -> StreamLink {
        let (sends, recvs) = (Commentary::of("send"), Commentary::of("recv"));
        let incoming = ReassemblyBuffer::new(stream);
        let (stream, ended, on_hangup) = (*stream, false, None);
        StreamLink { socket, stream, incoming, sends, recvs, ended, on_hangup }
    }

    /// The same link, whose messages take turns with their answers; once the server is
    /// gone, `on_hangup` looks at the socket.
    #[must_use]
    pub fn step_by_step(self, on_hangup: fn(&OwnedFd, PollFlags)) -> StreamLink {
        StreamLink { on_hangup: Some(on_hangup), ..self }
    }
}

impl Link for StreamLink {
    fn send(&mut self, bytes: &[u8]) -> nix::Result<usize> {
        self.sends.call(0, || format!("send({})", say::data(bytes)));
        // The kernel may take a part, or nothing (EAGAIN). MSG_NOSIGNAL: a server that
        // is gone is the error EPIPE, and not the signal SIGPIPE, which ends a process.
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let taken = send(self.socket.as_raw_fd(), bytes, flags)
            .inspect_err(|error| gone("send", *error))?;
        self.sends.moved(taken);
        if self.ended {
            say!(
                "send() = {taken} all the same: for all we know, the server still reads"
            );
        }
        Ok(taken)
    }

    fn recv(&mut self) -> nix::Result<bool> {
        let space = self.incoming.space()?;
        let n = recv(&self.socket, space, MsgFlags::MSG_DONTWAIT)
            .inspect_err(|error| gone("recv", *error))?;
        if n == 0 {
            say!("recv() = 0: the server has closed its side");
            self.ended = true;
            return Ok(false);
        }
        let newest = self.incoming.newest(n);
        self.recvs.call(n, || format!("recv() = {n}: {}", say::bytes(newest)));
        Ok(true)
    }

    fn goodbye(&mut self) -> nix::Result<()> {
        let answers = if self.ended { "" } else { "; answers still may" };
        say!("shutdown(SHUT_WR): nothing more will come{answers}");
        shutdown(self.socket.as_raw_fd(), Shutdown::Write)
    }

    fn next(&mut self, answer: &mut Vec<u8>, ended: bool) -> Result<bool> {
        Ok(self.incoming.next(answer)? || ended && self.incoming.at_end(answer)?)
    }

    fn frame(&self, message: &mut Vec<u8>) {
        self.stream.frame_in_place(message);
    }

    fn check(&self, message: &[u8]) -> Result<()> {
        self.stream.check(message)
    }

    fn largest(&self) -> usize {
        self.stream.largest()
    }

    fn limit(&self) -> String {
        format!("--max-message is {}; raise it there", self.stream.max_message)
    }

    fn has_boundaries(&self) -> bool {
        self.stream.framing != Framing::None
    }

    fn takes_turns(&self) -> bool {
        self.on_hangup.is_some()
    }

    fn hung_up(&mut self, events: PollFlags) {
        match self.on_hangup {
            Some(on_hangup) => on_hangup(&self.socket, events),
            None => say!("poll() = POLLHUP: nobody is there any more"),
        }
    }
}

/// Explains an error of `call` that means that the server is gone.
fn gone(call: &str, error: Errno) {
    match error {
        Errno::EPIPE => say!("{call}() = EPIPE: nobody is there to read it"),
        Errno::ECONNRESET => say!(
            "{call}() = ECONNRESET: the server has closed before it read all we sent"
        ),
        _ => {}
    }
}
// ANCHOR_END: link

impl AsFd for StreamLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
