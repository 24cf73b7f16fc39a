//! One answer for each client: the first server that most people write. Its client learns only
//! late that there is no second answer: its next send(2) succeeds, since TCP knows only that the
//! server will send no more; the server's kernel answers it with a reset, and the send(2) after
//! that is EPIPE.

use anyhow::Result;

use super::listener::Listener;
use wire::dialogue::{Connection, Server};
use wire::errors::line;
use wire::payload::Printed;
use wire::say;

// ANCHOR: once
/// Answers one message of each client, and closes.
///
/// # Errors
/// As accept(2), or standard output.
pub fn serve(mut listener: Listener, server: &Server) -> Result<()> {
    let mut payload = server.payload()?;
    let mut message = Vec::new();
    for number in 1..=server.count.unwrap_or(u64::MAX) {
        let socket = listener.accept()?;
        let name = format!("client {number}");
        let mut connection = Connection::new(socket, server, &name);
        let answered = match connection.next(&mut message) {
            Ok(false) => continue,
            Ok(true) => {
                if payload.print(&message)? == Printed::NoReader {
                    break;
                }
                connection.reply(&message)
            }
            Err(lost) => Err(lost),
        };
        match answered {
            Ok(()) => say!("{name}: close() after one answer"),
            Err(why) => say!("{name} is lost: {}", line(&why)),
        }
    }
    Ok(())
}
// ANCHOR_END: once
