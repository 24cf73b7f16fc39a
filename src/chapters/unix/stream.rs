//! A stream of bytes, as TCP's, with a thread for each client. No client waits until another
//! one is done, and a client that stops reading keeps only its own thread waiting.

use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::thread::{self, Builder};

use anyhow::{Context, Result};
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;

use os::cleanup;
use wire::dialogue::{Connection, Ended, Server, answer};
use wire::errors::line;
use wire::payload::{Payload, Printed};
use wire::say;
use wire::shortage::Shortage;

/// Serves every client in a thread of its own.
///
/// # Errors
/// As accept(2).
pub fn serve(listener: &OwnedFd, server: &Server) -> Result<()> {
    serve_each(listener, server, |socket, client, output| {
        let connection = Connection::new(socket, server, client);
        answer(connection, |message| output.print(message))
    })
}

// ANCHOR: threads
/// Accepts clients until `--count` have come, and serves each one by `serve` in a thread of
/// its own.
///
/// # Errors
/// As accept(2).
pub fn serve_each(
    listener: &OwnedFd,
    server: &Server,
    serve: impl Fn(OwnedFd, &str, &SharedOutput) -> Result<Ended> + Sync,
) -> Result<()> {
    let output = SharedOutput(Mutex::new(server.payload()?));
    let (output, serve) = (&output, &serve);
    // The scope ends once all its threads have: the last client is served to its end.
    thread::scope(|scope| {
        let mut shortage = Shortage::default();
        for number in 1..=server.count.unwrap_or(u64::MAX) {
            let socket = shortage.accept(listener)?;
            let name = format!("client {number}");
            // The process that called connect(2): the kernel noted it then.
            let peer =
                getsockopt(&socket, PeerCredentials).context("SO_PEERCRED")?;
            let (pid, uid, gid) = (peer.pid(), peer.uid(), peer.gid());
            say!(
                "accept(): {name} is pid {pid}, uid {uid}, gid {gid} (SO_PEERCRED)"
            );
            shortage.thread_for(socket, |take| {
                let name = name.clone();
                let serve = move || {
                    let socket = take.recv().expect("sent as soon as we are here");
                    finish(&name, serve(socket, &name, output));
                };
                Builder::new().spawn_scoped(scope, serve).map(drop)
            });
        }
        Ok(())
    })
}

/// How one client's conversation ended. What concerns all of them ends the program.
fn finish(name: &str, ended: Result<Ended>) {
    match ended {
        Ok(Ended::ClientDone) => say!("{name}: close()"),
        Ok(Ended::ClientLost(why)) => say!("{name} is lost: {}", line(&why)),
        Ok(Ended::NoReader) => cleanup::exit(0),
        Err(error) => {
            say::complain(&error);
            cleanup::exit(1);
        }
    }
}

/// Standard output, for one message at a time: no message is torn by one of another client.
#[derive(Debug)]
pub struct SharedOutput(Mutex<Payload>);

impl SharedOutput {
    /// Prints one whole message.
    ///
    /// # Errors
    /// As [`Payload::print`].
    pub fn print(&self, message: &[u8]) -> Result<Printed> {
        self.0.lock().expect("no panic while it is held").print(message)
    }
}
// ANCHOR_END: threads
