//! The worker: takes connections from the server, and serves all of them at once.
//!
//! One thread and one poll(2), so that a client that does not read its echo stops no other
//! client. No descriptor is made non-blocking: O_NONBLOCK belongs to the open file, which
//! is the server's as well; MSG_DONTWAIT belongs to the call.

use std::ops::ControlFlow;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, poll};

use self::clients::{AT_ONCE, ClientHandler, NextStep, WorkerClient};
use super::descriptor::known_peer;
use super::more::multiprocessing;
use super::options::{PrintingOptions, Protocol, WorkerOptions};
use super::rendezvous::{connect_to_server, remove_names_when_last};
use os::calls::nix_errno;
use wire::errors::line;
use wire::local::Name;
use wire::meet::Rendezvous;
use wire::say;
use wire::shortage::Shortage;
use wire::standard;

mod clients;

/// Plays the role.
pub(super) fn run(rendezvous: &Rendezvous, options: &WorkerOptions) -> Result<()> {
    let WorkerOptions { count, wire, printing } = options;
    standard::output()?;
    let (name, rules) = (Name::path(rendezvous)?, wire.rules()?);
    let mut presence = rendezvous.arrive(None)?;
    presence.admit_peers()?;
    let server = connect_to_server(rendezvous, &name)?;
    remove_names_when_last(&mut presence)?;
    let pid = known_peer(&server).context("the server")?;
    if wire.protocol == Protocol::Multiprocessing {
        multiprocessing::meet_server(
            &server,
            rules.as_ref(),
            wire.handshake_timeout,
        )
        .with_context(|| format!("the server, pid {pid}"))?;
        say!("send(our pid, as a pickle): we take connections");
    }
    rendezvous.ready(&name)?;
    serve(server, wire.protocol, printing, *count)
}

// ANCHOR: serve
/// Serves the connections that `server` passes, until the server and the last client have
/// left.
pub(super) fn serve(
    server: OwnedFd,
    protocol: Protocol,
    printing: &PrintingOptions,
    count: Option<u64>,
) -> Result<()> {
    let mut server = Some(server);
    let mut clients: Vec<WorkerClient> = Vec::new();
    let mut handler = ClientHandler::new(protocol, printing)?;
    let mut failure = None;
    loop {
        if count.is_some_and(|count| handler.taken >= count) {
            server = None;
        }
        if server.is_none() && clients.is_empty() {
            say!(
                "done: {} taken, all have ended",
                say::count(handler.taken, "connection")
            );
            return failure.map_or(Ok(()), Err);
        }
        let mut fds: Vec<PollFd<'_>> =
            clients.iter().map(WorkerClient::poll_fd).collect();
        fds.extend(server.iter().map(|server| PollFd::new(server, PollFlags::IN)));
        Shortage::default()
            .retry("poll", || poll(&mut fds, None).map_err(nix_errno))
            .context("poll")?;
        let ready: Vec<bool> =
            fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let (clients_ready, server_ready) = ready.split_at(clients.len());

        // From the last, since the last moves to the index of a client that is closed.
        for index in (0..clients.len()).rev().filter(|index| clients_ready[*index]) {
            match handler.serve(&mut clients[index])? {
                NextStep::Keep => {}
                NextStep::Close => handler.close_client(clients.swap_remove(index)),
                NextStep::Exit => return Ok(()),
            }
        }
        if let (Some(socket), [true]) = (&server, server_ready) {
            let room = count.map_or(AT_ONCE as u64, |count| count - handler.taken);
            let (new, more) =
                handler.take_connections(socket, AT_ONCE.min(room as usize));
            if let Err(error) = &more {
                say!("{}: we take no more", line(error));
            }
            if !matches!(more, Ok(ControlFlow::Continue(()))) {
                (server, failure) = (None, more.err());
            }
            // As a rule a client has sent something by now: read it at once.
            for mut client in new {
                match handler.serve(&mut client)? {
                    NextStep::Keep => clients.push(client),
                    NextStep::Close => handler.close_client(client),
                    NextStep::Exit => return Ok(()),
                }
            }
        }
    }
}
// ANCHOR_END: serve
