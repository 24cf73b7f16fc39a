//! The client: connects, sends what it has to say, and prints the answers.

use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect, socket,
};

use super::doors::must_be_socket;
use crate::say;
use crate::wire::address::{Pause, dial, resolve, send_at_once};
use crate::wire::dialogue::{self, StreamLink, converse};
use crate::wire::meet::At;
use crate::wire::say;

/// The options of a client.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The server's TCP address, instead of the Unix socket at the meeting place
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "at")]
    connect: Option<String>,

    #[command(flatten)]
    client: dialogue::Client,
}

/// Plays the role.
pub(super) fn run(at: &At, options: &Options) -> Result<()> {
    options.client.check()?;
    let socket = match &options.connect {
        None => find(at)?,
        Some(address) => {
            let server = format!("{} --tcp {address}", at.peer("server"));
            let address = resolve(address)?;
            let (socket, _) = dial(at, Some(address), address, &server)?;
            send_at_once(&socket)?;
            socket
        }
    };
    converse(StreamLink::new(socket, &options.client.stream), &options.client)
}

// ANCHOR: find
/// Connects to the Unix socket at the meeting place, as soon as somebody listens there.
fn find(at: &At) -> Result<OwnedFd> {
    at.make_dir()?;
    let path = at.path();
    let name = path.display();
    let address = UnixAddr::new(&path).with_context(|| format!("connect {name}"))?;
    let mut pause = Pause::new();
    loop {
        must_be_socket(&path)?;
        let (kind, flags) = (SockType::Stream, SockFlag::SOCK_CLOEXEC);
        let socket =
            socket(AddressFamily::Unix, kind, flags, None).context("socket")?;
        match connect(socket.as_raw_fd(), &address) {
            Ok(()) => {
                say!("connect({name}): the kernel has connected us");
                return Ok(socket);
            }
            // No name yet, or a name without a listener: stale, or bound a moment ago.
            Err(why @ (Errno::ENOENT | Errno::ECONNREFUSED)) if pause.is_first() => {
                let what = format_args!(
                    "connect({name}): {why:?}, tried until it is there"
                );
                say::waiting(what, &at.peer("server"));
            }
            Err(Errno::ENOENT | Errno::ECONNREFUSED | Errno::EINTR) => {}
            Err(error) => {
                return Err(error).with_context(|| format!("connect {name}"));
            }
        }
        pause.sleep();
    }
}
// ANCHOR_END: find
