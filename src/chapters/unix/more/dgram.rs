//! Messages without a connection: one socket serves all clients, and each datagram brings the
//! address of its sender, if the sender has one. Unlike UDP's they are never lost or reordered
//! on the way, and a full queue makes the sender sleep. With no connection there is no end of
//! one: an empty datagram says goodbye, and the server answers it with one.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::socket::sockopt::SendTimeout;
use nix::sys::socket::{MsgFlags, UnixAddr, bind, setsockopt};
use nix::sys::time::{TimeVal, TimeValLike};

use super::packet::{PacketLimit, receive};
use os::packet::{Address, Packet, Sender, sendto};
use wire::dialogue::Server;
use wire::payload::Printed;
use wire::say;
use wire::say::Commentary;
use wire::shortage::{ErrorOf, Shortage, error_of};

// ANCHOR: autobind
/// bind(2) to no name at all: the kernel chooses an abstract one. A client without a name
/// of its own can send, and never be answered.
///
/// # Errors
/// As bind(2).
pub fn bind_to_any_name(socket: &OwnedFd) -> Result<()> {
    bind(socket.as_raw_fd(), &UnixAddr::new_unnamed())
        .context("bind to any name")?;
    say!("bind() to no name: the kernel chose one, for the answers");
    Ok(())
}
// ANCHOR_END: autobind

// ANCHOR: serve
/// Answers every datagram, until `--count` clients have said goodbye.
///
/// # Errors
/// As recvmsg(2), or standard output.
pub fn serve(
    socket: &OwnedFd,
    send_buffer: Option<u32>,
    server: &Server,
) -> Result<()> {
    PacketLimit::of(socket, send_buffer, &server.stream)?;
    // A client that does not read its answers must not keep all the others waiting.
    setsockopt(socket, SendTimeout, &TimeVal::seconds(1)).context("SO_SNDTIMEO")?;
    let mut payload = server.payload()?;
    let mut clients = DgramClients::default();
    let (largest, mut shortage) = (server.stream.largest(), Shortage::default());
    let (mut message, mut scratch) = (Vec::new(), Vec::new());
    while server.count.is_none_or(|most| clients.done < most) {
        let packet = match receive(socket, &mut message, largest, MsgFlags::empty())
        {
            Ok(packet) => packet,
            Err(error) => match error_of(error) {
                ErrorOf::Client => continue,
                ErrorOf::Resources => {
                    let way_out = "a smaller datagram may fit";
                    shortage.rest(error, "recvmsg", way_out);
                    continue;
                }
                ErrorOf::Listener => return Err(error).context("recvmsg"),
            },
        };
        shortage.is_over();
        let client = clients.sender_of(&packet);
        let n = packet.length;
        if n > largest {
            say!(
                "{}: a datagram of {} is over --max-message",
                client.name,
                say::size(n)
            );
            continue;
        }
        if n == 0 {
            say!("{}: recvmsg() = 0: the empty datagram, its goodbye", client.name);
            client.answer(socket, b"");
            clients.leave(&packet);
            continue;
        }
        client
            .recvs
            .call(n, || format!("recvmsg() = {n}: {}", say::bytes(&message)));
        if payload.print(&message)? == Printed::NoReader {
            break;
        }
        if let Some(reply) = server.reply.to(&message, &mut scratch)
            && !client.answer(socket, reply)
        {
            clients.known.remove(&packet.from);
        }
    }
    Ok(())
}
// ANCHOR_END: serve

/// The clients that have sent something and not said goodbye, by their addresses.
#[derive(Default)]
struct DgramClients {
    known: HashMap<Option<Address>, DgramClient>,
    seen: u64,
    done: u64,
}

struct DgramClient {
    name: String,
    address: Option<Address>,
    /// It has kept the server waiting once, with answers that it does not read.
    reads_nothing: bool,
    recvs: Commentary,
    sends: Commentary,
}

impl DgramClients {
    /// The client that sent `packet`.
    fn sender_of(&mut self, packet: &Packet) -> &mut DgramClient {
        self.known.entry(packet.from.clone()).or_insert_with(|| {
            self.seen += 1;
            let name = format!("client {}", self.seen);
            if let Some(sender) = packet.sender {
                let Sender { pid, uid, gid } = sender;
                say!("{name} is pid {pid}, uid {uid}, gid {gid} (SCM_CREDENTIALS)");
            }
            let (recvs, sends) =
                (Commentary::of("recvmsg"), Commentary::of("sendto"));
            let (recvs, sends) = (recvs.with(&name), sends.with(&name));
            DgramClient {
                name,
                address: packet.from.clone(),
                reads_nothing: false,
                recvs,
                sends,
            }
        })
    }

    fn leave(&mut self, packet: &Packet) {
        self.known.remove(&packet.from);
        self.done += 1;
    }
}

impl DgramClient {
    /// sendto(2) the client; `false` once the client is gone.
    fn answer(&mut self, socket: &OwnedFd, reply: &[u8]) -> bool {
        let name = &self.name;
        let Some(address) = &self.address else {
            say!("{name} has no address: it cannot be answered");
            return true;
        };
        self.sends.call(reply.len(), || format!("sendto({})", say::data(reply)));
        let flags = if self.reads_nothing { libc::MSG_DONTWAIT } else { 0 };
        // The client waits for an answer that is not sent; for the goodbye it waits for ever.
        let send = || sendto(socket, reply, flags, address);
        match Shortage::default().retry("sendto", send) {
            Ok(()) => true,
            Err(Errno::EAGAIN) => {
                if !self.reads_nothing {
                    say!("{name} has read no answer for a second: they are dropped");
                }
                self.reads_nothing = true;
                true
            }
            Err(error) => {
                say!("{name} is lost: sendto: {error}");
                false
            }
        }
    }
}
