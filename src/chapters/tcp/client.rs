//! The client: connects, sends its messages, and prints the answers.

use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::Result;
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::sockopt::SocketError;
use nix::sys::socket::{MsgFlags, getsockopt, recv};

use super::address::{DEFAULT, named};
use os::tcp;
use wire::address::{connect_tcp, resolve, send_at_once};
use wire::dialogue::{self, StreamLink, Truncated, converse};
use wire::errors::Advise;
use wire::meet::Rendezvous;
use wire::say;

/// The options of `tcp client`.
#[derive(Debug, clap::Args)]
pub struct ClientOptions {
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
pub fn talk(rendezvous: &Rendezvous, options: &ClientOptions) -> Result<()> {
    options.client.check()?;
    let given = named(rendezvous, options.connect.as_deref())?;
    let mut server = rendezvous.peer("server");
    if let Some(address) = &options.connect {
        server = format!("{server} --listen {address}");
    }
    let (socket, _) = connect_tcp(rendezvous, given, resolve(DEFAULT)?, &server)?;
    send_at_once(&socket)?;
    let link = StreamLink::new(socket, &options.client.stream);
    let link = link.step_by_step(look_at_the_end);
    converse(link, &options.client).advise(|error| {
        let cut = error.downcast_ref::<Truncated>()?;
        let once = if cut.bytes { cut.broken } else { cut.answered == 1 };
        once.then_some(
            "a server with --strategy once closes after one answer: \
             --strategy iterative answers all",
        )
    })
}
// ANCHOR_END: client

// ANCHOR: end
/// Looks at a socket of which poll(2) has reported that the peer is gone.
fn look_at_the_end(socket: &OwnedFd, events: PollFlags) {
    if !say::on() {
        return;
    }
    let state = tcp::info(socket).map_or("nothing", |info| info.state);
    if !events.contains(PollFlags::POLLERR) {
        say!("poll() = POLLHUP, TCP_INFO = TCP_{state}: the connection is over");
        return;
    }
    // recv(2) returned 0 before the reset came, and goes on returning 0: this end will never see
    // ECONNRESET. The next send(2) will fail, with EPIPE.
    say!(
        "poll() = POLLERR | POLLHUP: a reset (RST) has come back: nobody reads there"
    );
    say!("getsockopt(): TCP_INFO = TCP_{state}");
    let error = getsockopt(socket, SocketError).map(Errno::from_raw);
    let error = error.unwrap_or_else(|error| error);
    say!("getsockopt(): SO_ERROR = {error:?}; this call clears it");
    match recv(socket.as_raw_fd(), &mut [0], MsgFlags::MSG_DONTWAIT) {
        Ok(n) => say!("recv() = {n}, as before"),
        Err(error) => say!("recv() = {error:?}"),
    }
}
// ANCHOR_END: end
