//! A connection, as with a stream, that keeps packets whole, as with datagrams. An empty
//! packet and the end of the connection both make recvmsg(2) return 0: the one brings its
//! sender's credentials (SO_PASSCRED), the other nothing.

use std::os::fd::OwnedFd;

use anyhow::Result;

use super::super::stream::serve_each;
use super::packet::{PacketLimit, PacketSocket};
use wire::dialogue::{Reply, Served, Server, answer};
use wire::frame::Framing;

/// Serves every client in a thread of its own.
///
/// # Errors
/// As accept(2).
pub fn serve(
    listener: &OwnedFd,
    send_buffer: Option<u32>,
    server: &Server,
) -> Result<()> {
    serve_each(listener, server, |socket, client, output| {
        PacketLimit::of(&socket, send_buffer, &server.stream)?;
        let empty = server.stream.framing != Framing::None || server.bytes;
        let socket = PacketSocket::on(socket, server.stream.largest(), empty)?;
        let socket = socket.with(client);
        let packets =
            SeqpacketConnection { socket, reply: server.reply, answer: Vec::new() };
        answer(packets, |message| output.print(message))
    })
}

// ANCHOR: answer
/// A connection of packets, and what they are answered with.
struct SeqpacketConnection {
    socket: PacketSocket,
    reply: Reply,
    answer: Vec<u8>,
}

impl Served for SeqpacketConnection {
    fn next(&mut self, message: &mut Vec<u8>) -> Result<bool> {
        self.socket.next(message)
    }

    fn reply(&mut self, message: &[u8]) -> Result<()> {
        let answer = self.reply.to(message, &mut self.answer);
        answer.map_or(Ok(()), |answer| self.socket.send(answer))
    }
}
// ANCHOR_END: answer
