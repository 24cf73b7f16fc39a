//! A stream of bytes, as TCP's, with a thread for each client. Nobody waits until another
//! client is done, and a client that stops reading keeps only its own thread waiting.

use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::thread::{self, Builder};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};

use crate::errors::line;
use crate::os::cleanup;
use crate::say;
use crate::wire::dialogue::{Connection, Ended, Server, answer};
use crate::wire::payload::{Payload, Printed};

/// Serves every client in a thread of its own.
///
/// # Errors
/// What accept(2) says.
pub fn serve(listener: &OwnedFd, server: &Server) -> Result<()> {
    serve_each(listener, server, |socket, client, screen| {
        let connection = Connection::new(socket, server, client);
        answer(connection, |message| screen.print(message))
    })
}

// ANCHOR: threads
/// Accepts clients until `--count` have come, and has each one served by `serve` in a
/// thread of its own.
///
/// # Errors
/// What accept(2) says.
pub fn serve_each(
    listener: &OwnedFd,
    server: &Server,
    serve: impl Fn(OwnedFd, &str, &Screen) -> Result<Ended> + Sync,
) -> Result<()> {
    let screen = Screen(Mutex::new(server.payload()));
    let (screen, serve) = (&screen, &serve);
    // The scope ends once all its threads have: the last client is served to its end.
    thread::scope(|scope| {
        for number in 1..=server.count.unwrap_or(u64::MAX) {
            let socket = accept(listener)?;
            let name = format!("client {number}");
            // Who called connect(2): the kernel wrote it down then, and vouches for it.
            let who = getsockopt(&socket, PeerCredentials).context("SO_PEERCRED")?;
            let (pid, uid, gid) = (who.pid(), who.uid(), who.gid());
            say!(
                "accept(): {name} is pid {pid}, uid {uid}, gid {gid} (SO_PEERCRED)"
            );
            Builder::new()
                .spawn_scoped(scope, move || {
                    finish(&name, serve(socket, &name, screen))
                })
                .context("clone a thread for a client")?;
        }
        Ok(())
    })
}

/// accept4(2): sleeps until a client is connected.
fn accept(listener: &OwnedFd) -> Result<OwnedFd> {
    loop {
        match accept_with(listener, SocketFlags::CLOEXEC) {
            Ok(socket) => return Ok(socket),
            Err(Errno::INTR | Errno::CONNABORTED) => {}
            Err(error @ (Errno::MFILE | Errno::NFILE)) => {
                // No descriptor is free, which only a client that leaves can change.
                say!("accept(): {error}; the next client waits until one leaves");
                thread::sleep(Duration::from_millis(100));
            }
            Err(error) => return Err(error).context("accept"),
        }
    }
}

/// How one client's conversation ended. What concerns all of them ends the program.
fn finish(name: &str, ended: Result<Ended>) {
    match ended {
        Ok(Ended::ClientDone) => say!("{name}: close()"),
        Ok(Ended::ClientLost(why)) => say!("{name} is lost: {}", line(&why)),
        Ok(Ended::NobodyReads) => cleanup::exit(0),
        Err(error) => {
            eprintln!("ipclab: {}", line(&error));
            cleanup::exit(1);
        }
    }
}

/// Standard output, for one message at a time: two clients' never mix.
#[derive(Debug)]
pub struct Screen(Mutex<Payload>);

impl Screen {
    /// Prints one whole message.
    ///
    /// # Errors
    /// As [`Payload::print`].
    pub fn print(&self, message: &[u8]) -> Result<Printed> {
        self.0.lock().expect("no panic while it is held").print(message)
    }
}
// ANCHOR_END: threads
