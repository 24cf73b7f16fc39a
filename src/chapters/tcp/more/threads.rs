//! A thread for each client. A thread shares the memory and the descriptors of the others: it
//! costs less than a process, and standard output has one lock for all. Its handle is dropped,
//! so it is detached: no thread has to join it. But a thread that crashes ends the server and
//! all its clients.

use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::thread::{self, Builder};

use anyhow::Result;

use super::super::listener::Listener;
use os::cleanup;
use wire::dialogue::{Connection, Ended, Server, answer};
use wire::errors::line;
use wire::payload::Payload;
use wire::say;
use wire::shortage::Shortage;

// ANCHOR: threads
/// Serves each client in a thread of its own.
///
/// # Errors
/// As accept(2).
pub fn serve(mut listener: Listener, server: &Server) -> Result<()> {
    // Memory is shared, so one lock for it will do: messages of two clients never mix.
    let payload = Mutex::new(server.payload()?);
    // The scope ends once all its threads have: the last client is served to its end.
    thread::scope(|scope| {
        let mut shortage = Shortage::default();
        for number in 1..=server.count.unwrap_or(u64::MAX) {
            let socket = listener.accept()?;
            let (payload, name) = (&payload, format!("client {number}"));
            shortage.thread_for(socket, |take| {
                let name = name.clone();
                let serve = move || {
                    let socket = take.recv().expect("sent as soon as we are here");
                    serve_one(socket, server, &name, payload);
                };
                Builder::new().spawn_scoped(scope, serve).map(drop)
            });
            say!("clone() made a thread for client {number}");
        }
        drop(listener); // a later client is refused, and does not wait in vain
        Ok(())
    })
}

/// Serves one client to its end. What concerns all clients ends the program.
fn serve_one(
    socket: OwnedFd,
    server: &Server,
    name: &str,
    payload: &Mutex<Payload>,
) {
    let connection = Connection::new(socket, server, name);
    let ended = answer(connection, |message| {
        payload.lock().expect("no panic while it is held").print(message)
    });
    match ended {
        Ok(Ended::ClientDone) => say!("{name}: close(), and its thread ends"),
        Ok(Ended::ClientLost(why)) => say!("{name} is lost: {}", line(&why)),
        Ok(Ended::NoReader) => cleanup::exit(0),
        Err(error) => {
            say::complain(&error);
            cleanup::exit(1);
        }
    }
}
// ANCHOR_END: threads
