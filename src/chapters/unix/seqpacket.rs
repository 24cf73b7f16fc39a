//! A connection, as with a stream, that keeps packets whole, as with datagrams. An empty
//! packet and the end of the connection both make recvmsg(2) return 0: the one brings its
//! sender's credentials (SO_PASSCRED), the other nothing.

use std::os::fd::OwnedFd;

use anyhow::Result;

use super::packet::{End, Limit};
use super::stream::{Screen, serve_each};
use crate::wire::dialogue::{Ended, Server};
use crate::wire::frame::Framing;
use crate::wire::payload::Printed;

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
        answer(end.with(client), server, screen)
    })
}

// ANCHOR: answer
fn answer(mut end: End, server: &Server, screen: &Screen) -> Result<Ended> {
    let (mut message, mut scratch) = (Vec::new(), Vec::new());
    loop {
        match end.next(&mut message) {
            Ok(true) => {}
            Ok(false) => return Ok(Ended::ClientDone),
            Err(lost) => return Ok(Ended::ClientLost(lost)),
        }
        if screen.print(&message)? == Printed::NobodyReads {
            return Ok(Ended::NobodyReads);
        }
        let Some(reply) = server.reply.to(&message, &mut scratch) else { continue };
        if let Err(lost) = end.send(reply) {
            return Ok(Ended::ClientLost(lost));
        }
    }
}
// ANCHOR_END: answer
