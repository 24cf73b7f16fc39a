//! The worker: takes connections from the server, and serves all of them at once.
//!
//! One thread and one poll(2), so that a client who does not read its echo stops nobody
//! else. No descriptor is made non-blocking: O_NONBLOCK belongs to the open file, which
//! is the server's as well; MSG_DONTWAIT belongs to the call.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, poll};

use self::desk::{AT_ONCE, Client, Desk, Left, Then};
use super::descriptor::known_peer;
use super::wire::{Protocol, Wire};
use super::{connections, door, found_names, multiprocessing, named};
use wire::errors::line;
use wire::frame::FramingOptions;
use wire::local::Name;
use wire::meet::Rendezvous;
use wire::say;
use wire::shortage::Shortage;
use wire::standard;

mod desk;

/// The options of a worker.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Take N connections, and leave once they have ended
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    #[command(flatten)]
    wire: Wire,

    #[command(flatten)]
    printing: Printing,
}

/// How what clients send is printed. It is echoed byte by byte as it came.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Printing {
    #[command(flatten)]
    stream: FramingOptions,

    /// Print exactly the bytes that came, without a newline after each message
    #[arg(long)]
    bytes: bool,

    /// Print one JSON object a message
    #[arg(long, conflicts_with = "bytes")]
    json: bool,
}

/// Plays the role.
pub(super) fn run(rendezvous: &Rendezvous, options: &Options) -> Result<()> {
    let Options { count, wire, printing } = options;
    standard::output()?;
    let (name, rules) = (Name::path(rendezvous)?, wire.rules()?);
    let mut presence = rendezvous.arrive(None)?;
    presence.admit_peers()?;
    let server = door::find(rendezvous, &name)?;
    found_names(&mut presence)?;
    let pid = known_peer(&server).context("the server")?;
    if wire.protocol == Protocol::Multiprocessing {
        multiprocessing::meet(&server, rules.as_ref(), wire.handshake_timeout)
            .with_context(|| format!("the server, pid {pid}"))?;
        say!("send(our pid, as a pickle): we take connections");
    }
    rendezvous.ready(&name)?;
    serve(server, wire.protocol, printing, *count)
}

// ANCHOR: serve
/// Serves what `server` passes, until it has left and so has the last client.
pub(super) fn serve(
    server: OwnedFd,
    protocol: Protocol,
    printing: &Printing,
    count: Option<u64>,
) -> Result<()> {
    let mut server = Some(server);
    let mut clients: Vec<Client> = Vec::new();
    let mut desk = Desk::new(protocol, printing)?;
    let mut failure = None;
    loop {
        if count.is_some_and(|count| desk.taken >= count) {
            server = None;
        }
        if server.is_none() && clients.is_empty() {
            say!("done: {} taken, all have ended", connections(desk.taken));
            return failure.map_or(Ok(()), Err);
        }
        let mut fds: Vec<PollFd<'_>> = clients.iter().map(Client::poll_fd).collect();
        fds.extend(server.iter().map(|server| PollFd::new(server, PollFlags::IN)));
        Shortage::default()
            .insist("poll", || poll(&mut fds, None).map_err(named))
            .context("poll")?;
        let ready: Vec<bool> =
            fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let (clients_ready, server_ready) = ready.split_at(clients.len());

        // From the last, since the last takes the place of one that leaves.
        for index in (0..clients.len()).rev().filter(|index| clients_ready[*index]) {
            match desk.attend(&mut clients[index])? {
                Then::Stays => {}
                Then::Leaves => desk.part_with(clients.swap_remove(index)),
                Then::NobodyReads => return Ok(()),
            }
        }
        if let (Some(socket), [true]) = (&server, server_ready) {
            let room = count.map_or(AT_ONCE as u64, |count| count - desk.taken);
            let (new, left) = desk.take_from(socket, AT_ONCE.min(room as usize));
            if let Err(error) = &left {
                say!("{}: we take no more", line(error));
            }
            if !matches!(left, Ok(Left::Stays)) {
                (server, failure) = (None, left.err());
            }
            // What a client has to say has come by now, as a rule: ask at once.
            for mut client in new {
                match desk.attend(&mut client)? {
                    Then::Stays => clients.push(client),
                    Then::Leaves => desk.part_with(client),
                    Then::NobodyReads => return Ok(()),
                }
            }
        }
    }
}
// ANCHOR_END: serve
