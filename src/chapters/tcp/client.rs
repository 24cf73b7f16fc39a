//! The client: connects, sends what it has to say, and prints the answers.

use anyhow::Result;

use super::{DEFAULT, named};
use crate::errors::Advise;
use crate::wire::address::{dial, resolve, send_at_once};
use crate::wire::dialogue::{self, CutShort, StreamLink, converse};
use crate::wire::meet::At;

/// The options of `tcp client`.
#[derive(Debug, clap::Args)]
pub struct Client {
    /// The server's address; if none is given, the one that a server has published here,
    /// or else 127.0.0.1:7777
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "at")]
    connect: Option<String>,

    #[command(flatten)]
    client: dialogue::Client,
}

// ANCHOR: client
/// Plays the client.
///
/// # Errors
/// A message that cannot travel, a server that closed too early.
pub fn talk(at: &At, options: &Client) -> Result<()> {
    options.client.check()?;
    let given = named(at, options.connect.as_deref())?;
    let mut server = at.peer("server");
    if let Some(address) = &options.connect {
        server = format!("{server} --listen {address}");
    }
    let (socket, _) = dial(at, given, resolve(DEFAULT)?, &server)?;
    send_at_once(&socket)?;
    let link = StreamLink::new(socket, &options.client.stream);
    converse(link, &options.client).advise(|error| {
        let cut = error.downcast_ref::<CutShort>()?;
        (cut.answered == 1).then_some(
            "a server with --strategy once closes after one answer: \
             --strategy iterative answers all",
        )
    })
}
// ANCHOR_END: client
