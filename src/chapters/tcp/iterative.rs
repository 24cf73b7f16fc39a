//! One client after the other. While one is served, the kernel still connects others and lets
//! them send, up to the backlog of listen(2): those clients cannot tell that they are not being
//! served, and wait.

use anyhow::Result;

use super::listener::Listener;
use wire::dialogue::{Connection, Ended, Server, answer};
use wire::errors::line;
use wire::say;

// ANCHOR: iterative
/// Serves each client to its end before it takes up the next.
///
/// # Errors
/// As accept(2), or standard output.
pub fn serve(mut listener: Listener, server: &Server) -> Result<()> {
    let mut payload = server.payload()?;
    for number in 1..=server.count.unwrap_or(u64::MAX) {
        let socket = listener.accept()?;
        let name = format!("client {number}");
        let connection = Connection::new(socket, server, &name);
        match answer(connection, |message| payload.print(message))? {
            Ended::ClientDone => say!("{name}: close()"),
            Ended::ClientLost(why) => say!("{name} is lost: {}", line(&why)),
            Ended::NoReader => break,
        }
    }
    Ok(())
}
// ANCHOR_END: iterative
