//! The client: an ordinary TCP client. It cannot tell which process serves it.

use anyhow::Result;

use super::options::{ADDRESS, ClientOptions};
use super::rendezvous::remove_names_when_last;
use wire::address::{connect_tcp, resolve};
use wire::dialogue::{Client, Reply, StreamLink, converse};
use wire::meet::Rendezvous;

/// Plays the role.
pub(super) fn run(rendezvous: &Rendezvous, options: &ClientOptions) -> Result<()> {
    let ClientOptions { source, stream, json, .. } = options.clone();
    let client = Client { source, stream, reply: Reply::Echo, json };
    client.check()?;
    let given = options.connect.as_deref().map(resolve).transpose()?;
    let mut presence = rendezvous.arrive(None)?;
    presence.admit_peers()?;
    let default = resolve(ADDRESS)?;
    let (socket, _) =
        connect_tcp(rendezvous, given, default, &rendezvous.peer("server"))?;
    remove_names_when_last(&mut presence)?;
    converse(StreamLink::new(socket, &client.stream), &client)
}
