//! The client: an ordinary TCP client. It cannot tell who serves it.

use anyhow::Result;

use super::found_names;
use crate::wire::address::{dial, resolve};
use crate::wire::dialogue::{Client, Reply, StreamLink, converse};
use crate::wire::frame::Stream;
use crate::wire::meet::At;
use crate::wire::roles::Source;

/// The options of a client.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    #[command(flatten)]
    source: Source,

    #[command(flatten)]
    stream: Stream,

    /// Write one JSON object an answer
    #[arg(long, conflicts_with = "bytes")]
    json: bool,

    /// The server's address; without it, the one that a server has published
    #[arg(long, value_name = "HOST:PORT")]
    connect: Option<String>,
}

/// Plays the role.
pub(super) fn run(at: &At, options: &Options) -> Result<()> {
    let Options { source, stream, json, .. } = options.clone();
    let client = Client { source, stream, reply: Reply::Echo, json };
    client.check()?;
    let given = options.connect.as_deref().map(resolve).transpose()?;
    let mut place = at.arrive(None)?;
    place.open_to_all()?;
    let default = resolve(super::ADDRESS)?;
    let (socket, _) = dial(at, given, default, &at.peer("server"))?;
    found_names(&mut place)?;
    converse(StreamLink::new(socket, &client.stream), &client)
}
