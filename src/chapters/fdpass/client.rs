//! The client: an ordinary TCP client. It cannot tell who serves it.

use anyhow::Result;

use super::found_names;
use wire::address::{dial, resolve};
use wire::dialogue::{Client, Reply, StreamLink, converse};
use wire::frame::FramingOptions;
use wire::meet::Rendezvous;
use wire::roles::MessageSource;

/// The options of a client.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    #[command(flatten)]
    source: MessageSource,

    #[command(flatten)]
    stream: FramingOptions,

    /// Write one JSON object an answer
    #[arg(long, conflicts_with = "bytes")]
    json: bool,

    /// The server's address; without it, the one that a server has published
    #[arg(long, value_name = "HOST:PORT")]
    connect: Option<String>,
}

/// Plays the role.
pub(super) fn run(rendezvous: &Rendezvous, options: &Options) -> Result<()> {
    let Options { source, stream, json, .. } = options.clone();
    let client = Client { source, stream, reply: Reply::Echo, json };
    client.check()?;
    let given = options.connect.as_deref().map(resolve).transpose()?;
    let mut presence = rendezvous.arrive(None)?;
    presence.admit_peers()?;
    let default = resolve(super::ADDRESS)?;
    let (socket, _) = dial(rendezvous, given, default, &rendezvous.peer("server"))?;
    found_names(&mut presence)?;
    converse(StreamLink::new(socket, &client.stream), &client)
}
