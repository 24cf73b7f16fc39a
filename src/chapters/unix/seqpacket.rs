//! A connection, as with a stream, that keeps packets whole, as with datagrams. An empty
//! packet and the end of the connection both make recvmsg(2) return 0: the one brings its
//! sender's credentials (SO_PASSCRED), the other nothing.

use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, send};

use super::packet::{Limit, receive, see_credentials};
use super::stream::{Screen, serve_each};
use crate::say;
use crate::wire::dialogue::{Ended, Server};
use crate::wire::payload::Printed;
use crate::wire::say::{self, Tally};

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
        // Kernels before 6.16 do not pass it on from the listening socket.
        see_credentials(&socket)?;
        Limit::of(&socket, send_buffer, &server.stream)?;
        answer(&socket, server, client, screen)
    })
}

// ANCHOR: answer
fn answer(
    socket: &OwnedFd,
    server: &Server,
    client: &str,
    screen: &Screen,
) -> Result<Ended> {
    let (recvs, sends) = (Tally::of("recvmsg"), Tally::of("send"));
    let (mut recvs, mut sends) = (recvs.with(client), sends.with(client));
    let mut buffer = vec![0; server.stream.largest()];
    let mut scratch = Vec::new();
    loop {
        let packet = match receive(socket, &mut buffer, MsgFlags::empty()) {
            Ok(packet) => packet,
            Err(Errno::EINTR) => continue,
            Err(error) => return lost(Err(error).context("recvmsg")),
        };
        let n = packet.length;
        if n == 0 && packet.sender.is_none() {
            say!("{client}: recvmsg() = 0, and no sender: the client has said all");
            return Ok(Ended::ClientDone);
        }
        let Some(message) = buffer.get(..n) else {
            let size = say::size(n);
            return lost(Err(anyhow!("a packet of {size} is over --max-message")));
        };
        recvs.call(n, || format!("recvmsg() = {n}: {}", say::bytes(message)));
        if screen.print(message)? == Printed::NobodyReads {
            return Ok(Ended::NobodyReads);
        }
        let Some(reply) = server.reply.to(message, &mut scratch) else { continue };
        sends.call(n, || format!("send({}, {n})", say::bytes(reply)));
        // Sleeps while the client does not read; EPIPE once it is gone.
        if let Err(error) = send(socket.as_raw_fd(), reply, MsgFlags::MSG_NOSIGNAL) {
            return lost(Err(error).context("send"));
        }
    }
}
// ANCHOR_END: answer

fn lost(why: Result<()>) -> Result<Ended> {
    why.map_or_else(|why| Ok(Ended::ClientLost(why)), |()| Ok(Ended::ClientDone))
}
