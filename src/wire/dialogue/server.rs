//! The server's half of one connection.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::socket::MsgFlags;

use super::{Reply, Server};
use crate::errors::errno;
use crate::frame::{FramingOptions, ReassemblyBuffer};
use crate::payload::Printed;
use crate::say::{self, Commentary};
use crate::transfer::send_all;
use os::calls::recv;

// ANCHOR: answer
/// The server's end of a connected stream socket.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
    stream: FramingOptions,
    reply: Reply,
    incoming: ReassemblyBuffer,
    frame: Vec<u8>,
    recvs: Commentary,
    sends: Commentary,
}

/// How a conversation ended, as the server sees it.
#[derive(Debug)]
#[must_use]
pub enum Ended {
    /// The client has sent all, and was answered.
    ClientDone,
    /// The client is gone, or sent what cannot be read. That is its own affair: the
    /// server goes on with the others.
    ClientLost(anyhow::Error),
    /// The server's standard output has no reader any more.
    NoReader,
}

impl Connection {
    /// The server's end of `socket`, which is connected to `client`, as it is called in
    /// the commentary.
    pub fn new(socket: OwnedFd, server: &Server, client: &str) -> Connection {
        let end = Connection::on(socket, &server.stream);
        let (recvs, sends) = (end.recvs.with(client), end.sends.with(client));
        Connection { reply: server.reply, recvs, sends, ..end }
    }

    /// An end of `socket`, which is connected; it echoes.
    pub fn on(socket: OwnedFd, stream: &FramingOptions) -> Connection {
        let (recvs, sends) = (Commentary::of("recv"), Commentary::of("send"));
        let (incoming, frame) = (ReassemblyBuffer::new(stream), Vec::new());
        let (stream, reply) = (*stream, Reply::Echo);
        Connection { socket, stream, reply, incoming, frame, recvs, sends }
    }

    /// Replaces `message` by the client's next one; sleeps until there is one. `false` once the
    /// client has sent all.
    ///
    /// # Errors
    /// ECONNRESET when the client is gone with answers unread; a message that is too
    /// long or cut short.
    pub fn next(&mut self, message: &mut Vec<u8>) -> Result<bool> {
        while !self.incoming.next(message)? {
            if self.incoming.has_ended() {
                return Ok(false);
            }
            let space = self.incoming.space().context("malloc")?;
            let n = match recv(&self.socket, space, MsgFlags::empty()) {
                Err(Errno::EINTR) => continue,
                result => result.context("recv")?,
            };
            if n == 0 {
                self.recvs.always(0, || "recv() = 0: the client has said all");
                return self.incoming.at_end(message);
            }
            let newest = self.incoming.newest(n);
            self.recvs.call(n, || format!("recv() = {n}: {}", say::bytes(newest)));
        }
        Ok(true)
    }

    /// Answers `message`; sleeps while the client does not read.
    ///
    /// # Errors
    /// EPIPE or ECONNRESET when the client is gone.
    pub fn reply(&mut self, message: &[u8]) -> Result<()> {
        let mut made = Vec::new();
        match self.reply.to(message, &mut made) {
            Some(answer) => self.send(answer),
            None => Ok(()),
        }
    }

    /// Sends `answer`; sleeps while the client does not read. With [`Connection::next`]
    /// it is what a bench of a pair of sockets times.
    ///
    /// # Errors
    /// As [`Connection::reply`].
    pub fn send(&mut self, answer: &[u8]) -> Result<()> {
        let whole = !self.incoming.is_unterminated();
        let bytes = match whole {
            true => self.stream.frame(answer, &mut self.frame),
            false => answer,
        };
        self.sends.call(bytes.len(), || format!("send({})", say::data(bytes)));
        self.sends.returned(send_all(&self.socket, bytes)).context("send")
    }
}

/// What [`answer`] needs of a server's end of a connection, whatever its type.
pub trait Served {
    /// As [`Connection::next`].
    ///
    /// # Errors
    /// As there.
    fn next(&mut self, message: &mut Vec<u8>) -> Result<bool>;

    /// As [`Connection::reply`].
    ///
    /// # Errors
    /// As there.
    fn reply(&mut self, message: &[u8]) -> Result<()>;
}

impl Served for Connection {
    fn next(&mut self, message: &mut Vec<u8>) -> Result<bool> {
        Connection::next(self, message)
    }

    fn reply(&mut self, message: &[u8]) -> Result<()> {
        Connection::reply(self, message)
    }
}

/// Prints each message of a client and answers it, until the client has sent all. A client that
/// takes no more answers may have sent more before it left, or still send it: that is printed,
/// too.
///
/// # Errors
/// Those of `print`: standard output is the server's affair, not the client's.
pub fn answer(
    mut end: impl Served,
    mut print: impl FnMut(&[u8]) -> Result<Printed>,
) -> Result<Ended> {
    let mut message = Vec::new();
    let mut answered = Ok(());
    let mut reset = false;
    loop {
        let received = end.next(&mut message);
        if let Err(lost) = &received
            && errno(lost) == Some(Errno::ECONNRESET)
            && !reset
        {
            // A socket of packets tells of the reset, once, before it gives what came first.
            reset = true;
            answered = answered.and(received.map(drop));
            continue;
        }
        match (received, answered) {
            (Ok(true), before) => answered = before,
            (Ok(false), Ok(())) => return Ok(Ended::ClientDone),
            (_, Err(lost)) | (Err(lost), _) => return Ok(Ended::ClientLost(lost)),
        }
        if print(&message)? == Printed::NoReader {
            return Ok(Ended::NoReader);
        }
        if answered.is_ok() {
            answered = end.reply(&message);
        }
    }
}
// ANCHOR_END: answer
