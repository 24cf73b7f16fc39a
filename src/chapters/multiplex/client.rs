//! The client: connects, sends its messages, and prints the answers.

use anyhow::{Context, Result};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use wire::address::{connect_tcp, resolve, send_at_once};
use wire::dialogue::{self, StreamLink, converse};
use wire::local::{self, Name};
use wire::meet::Rendezvous;

/// The options of a client.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The server's TCP address, instead of the Unix socket at the meeting place
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "at")]
    connect: Option<String>,

    #[command(flatten)]
    client: dialogue::Client,
}

// ANCHOR: client
/// Plays the role.
pub(super) fn run(rendezvous: &Rendezvous, options: &Options) -> Result<()> {
    options.client.check()?;
    let socket = match &options.connect {
        None => {
            let (kind, flags) = (SockType::Stream, SockFlag::SOCK_CLOEXEC);
            let socket =
                socket(AddressFamily::Unix, kind, flags, None).context("socket")?;
            local::connect(rendezvous, &Name::path(rendezvous)?, &socket, "server")?;
            socket
        }
        Some(address) => {
            let server = format!("{} --tcp {address}", rendezvous.peer("server"));
            let address = resolve(address)?;
            let (socket, _) =
                connect_tcp(rendezvous, Some(address.clone()), address, &server)?;
            send_at_once(&socket)?;
            socket
        }
    };
    converse(StreamLink::new(socket, &options.client.stream), &options.client)
}
// ANCHOR_END: client
