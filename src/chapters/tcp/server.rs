//! The server: listens, and hands each client to a strategy.

use anyhow::Result;
use clap::ValueEnum;

use super::address::DEFAULT;
use super::listener::Listener;
use super::more::children::Reap;
use super::more::{fork, threads};
use super::{iterative, once};
use wire::address::{listen, publish, resolve};
use wire::dialogue;
use wire::errors::usage;
use wire::meet::Rendezvous;
use wire::say;
use wire::standard;

/// The options of `tcp server`.
#[derive(Debug, clap::Args)]
pub struct ServerOptions {
    /// The address to listen at, 127.0.0.1:7777 if none is given; port 0 is any free one
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "at")]
    listen: Option<String>,

    /// How clients are served
    #[arg(long, value_enum, default_value = "iterative")]
    strategy: Strategy,

    /// What `--strategy fork` does about children that have ended; `loop` if not given
    #[arg(long, value_enum)]
    reap: Option<Reap>,

    #[command(flatten)]
    server: dialogue::Server,
}

/// How a server serves its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Strategy {
    /// Answers one message of a client, and closes
    Once,
    /// Serves one client to its end; the others wait
    Iterative,
    /// Serves each client by a child process
    Fork,
    /// Serves each client by a thread
    Threads,
}

// ANCHOR: server
/// Listens, and serves clients by the strategy.
pub(super) fn serve(rendezvous: &Rendezvous, options: &ServerOptions) -> Result<()> {
    if options.reap.is_some() && options.strategy != Strategy::Fork {
        return Err(usage(
            "--reap goes with --strategy fork alone: the others have no children",
        ));
    }
    standard::output()?;
    let asked = rendezvous.given().or(options.listen.as_deref()).unwrap_or(DEFAULT);
    let asked = resolve(asked)?;
    let mut presence = rendezvous.arrive(None)?;
    let (socket, address) = listen(&asked)?;
    publish(rendezvous, &mut presence, address)?;
    presence.admit_peers()?;
    rendezvous.ready(address)?;
    let named = options.listen.is_some() && asked.port() != 0;
    let connect =
        if named { format!(" --connect {address}") } else { String::new() };
    let client = rendezvous.peer_with("client", &connect);
    let sleeps = match options.strategy {
        Strategy::Fork => {
            "poll() sleeps until a client is connected, or a child ends"
        }
        _ => "accept() sleeps until a client is connected",
    };
    say::waiting_at(sleeps, &[(&socket, &client)]);
    let listener = Listener::new(socket);
    match options.strategy {
        Strategy::Once => once::serve(listener, &options.server),
        Strategy::Iterative => iterative::serve(listener, &options.server),
        Strategy::Fork => fork::serve(
            listener,
            &options.server,
            options.reap.unwrap_or(Reap::Loop),
        ),
        Strategy::Threads => threads::serve(listener, &options.server),
    }
}
// ANCHOR_END: server
