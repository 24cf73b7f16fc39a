//! A connection, as with a stream, that keeps packets whole, as with datagrams. An empty
//! packet and the end of the connection both make recvmsg(2) return 0: the one brings its
//! sender's credentials (SO_PASSCRED), the other nothing.

use std::os::fd::OwnedFd;

use anyhow::Result;

use super::packet::{End, Limit};
use super::stream::serve_each;
use wire::dialogue::{Reply, Served, Server, answer};
use wire::frame::Framing;

/// Serves every client in a thread of its own.
///
/// # Errors
/// What accept(2) says.
pub fn serve(
    listener: &OwnedFd,
    send_buffer: Option<u32>,
    server: &Server,
) -> Result<()> {
    serve_each(listener, server, |socket, client, screen| {
        Limit::of(&socket, send_buffer, &server.stream)?;
        let empty = server.stream.framing != Framing::None || server.bytes;
        let end = End::on(socket, server.stream.largest(), empty)?;
        let end = end.with(client);
        let packets = Packets { end, reply: server.reply, answer: Vec::new() };
        answer(packets, |message| screen.print(message))
    })
}

// ANCHOR: answer
/// A connection of packets, and what they are answered with.
struct Packets {
    end: End,
    reply: Reply,
    answer: Vec<u8>,
}

impl Served for Packets {
    fn next(&mut self, message: &mut Vec<u8>) -> Result<bool> {
        self.end.next(message)
    }

    fn reply(&mut self, message: &[u8]) -> Result<()> {
        let answer = self.reply.to(message, &mut self.answer);
        answer.map_or(Ok(()), |answer| self.end.send(answer))
    }
}
// ANCHOR_END: answer
