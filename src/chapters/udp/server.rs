//! The server: one socket for all clients. It remembers of each client the last number and the
//! answer to it, so that a message that comes twice is printed once and answered twice.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, SockaddrStorage, recvfrom, sendto};

use super::ADDRESS;
use super::datagram::{self, pack, unpack};
use wire::address::udp::bind_udp;
use wire::address::{plain, publish, resolve};
use wire::dialogue;
use wire::meet::Rendezvous;
use wire::payload::Printed;
use wire::say;
use wire::say::Commentary;
use wire::shortage::{ErrorOf, Shortage, error_of};
use wire::standard;

/// The options of `udp server`.
#[derive(Debug, clap::Args)]
pub struct UdpServerOptions {
    /// The address to bind, 127.0.0.1:7777 if none is given; port 0 is any free one
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "at")]
    listen: Option<String>,

    #[command(flatten)]
    server: dialogue::Server,
}

// ANCHOR: server
/// Binds the address, and answers every message.
pub(super) fn serve(
    rendezvous: &Rendezvous,
    options: &UdpServerOptions,
) -> Result<()> {
    datagram::check(&options.server.stream)?;
    standard::output()?;
    let asked = rendezvous.given().or(options.listen.as_deref()).unwrap_or(ADDRESS);
    let asked = resolve(asked)?;
    let mut presence = rendezvous.arrive(None)?;
    let (socket, address) = bind_udp(&asked)?;
    publish(rendezvous, &mut presence, address)?;
    presence.admit_peers()?;
    rendezvous.ready(address)?;
    let named = options.listen.is_some() && asked.port() != 0;
    let connect =
        if named { format!(" --connect {address}") } else { String::new() };
    let client = rendezvous.peer_with("client", &connect);
    let sleeps = "recvfrom() sleeps until a datagram comes, from anybody";
    say::waiting_at(sleeps, &[(&socket, &client)]);
    answer_all(socket, &options.server)
}

fn answer_all(socket: OwnedFd, server: &dialogue::Server) -> Result<()> {
    let mut payload = server.payload()?;
    let (mut message, mut scratch) = (Vec::new(), Vec::new());
    let mut end = Answering::on(socket, server.stream.largest(), server.count);
    while end.next(&mut message)? {
        if payload.print(&message)? == Printed::NoReader {
            break;
        }
        if let Some(reply) = server.reply.to(&message, &mut scratch) {
            end.answer(reply);
        }
    }
    Ok(())
}

/// The server's end: one socket for all clients, and what is remembered of each.
pub struct Answering {
    socket: OwnedFd,
    largest: usize,
    /// How many clients are to leave, before there is no next message.
    count: Option<u64>,
    clients: Clients,
    data: Vec<u8>,
    /// The client whose message came last.
    asked: Option<SockaddrStorage>,
    shortage: Shortage,
}

impl Answering {
    /// An end that has a bound socket, and takes messages of so many bytes, until so many clients
    /// have left.
    pub fn on(socket: OwnedFd, largest: usize, count: Option<u64>) -> Answering {
        Answering {
            socket,
            largest,
            count,
            clients: Clients::default(),
            data: vec![0; datagram::ROOM],
            asked: None,
            shortage: Shortage::default(),
        }
    }

    /// Replaces `message` by the next one that is new; `false` once enough clients have left.
    ///
    /// # Errors
    /// As recvfrom(2), where no client has caused it.
    pub fn next(&mut self, message: &mut Vec<u8>) -> Result<bool> {
        while self.count.is_none_or(|most| self.clients.done < most) {
            let fd = self.socket.as_raw_fd();
            let came = recvfrom::<SockaddrStorage>(fd, &mut self.data);
            let (n, from) = match came {
                Ok((n, Some(from))) => (n, from),
                Ok((_, None)) => continue,
                Err(error) => match error_of(error) {
                    ErrorOf::Client => continue,
                    ErrorOf::Resources => {
                        let way_out = Shortage::OF_MEMORY;
                        self.shortage.rest(error, "recvfrom", way_out);
                        continue;
                    }
                    ErrorOf::Listener => return Err(error).context("recvfrom"),
                },
            };
            self.shortage.is_over();
            let (client, done) = self.clients.sender_of(plain(&from));
            if n == 0 {
                client
                    .recvs
                    .always(0, || "recvfrom() = 0: an empty datagram: goodbye");
                *done += u64::from(!std::mem::replace(&mut client.has_left, true));
                client.send(&self.socket, &from, b"");
                continue;
            }
            let bytes = &self.data[..n];
            client
                .recvs
                .call(n, || format!("recvfrom() = {n}: {}", say::bytes(bytes)));
            let (number, new) = match unpack(bytes) {
                Ok((_, message)) if message.len() > self.largest => {
                    say!("{}: dropped: it is over --max-message", client.name);
                    continue;
                }
                Ok(unpacked) => unpacked,
                Err(why) => {
                    say!("{}: dropped: {why}", client.name);
                    continue;
                }
            };
            match client.order(number) {
                Order::New(missing) => {
                    if missing > 0 {
                        say!("{}: {} before it did not come", client.name, missing);
                    }
                    client.answer.clear();
                    message.clear();
                    message.extend_from_slice(new);
                    self.asked = Some(from);
                    return Ok(true);
                }
                Order::Again => {
                    say!("{}: {number} again: it has its answer again", client.name);
                    client.answer(&self.socket, &from);
                }
                Order::Late => {
                    say!("{}: {number} comes late: dropped", client.name);
                }
            }
        }
        Ok(false)
    }

    /// Answers the last message, which has not been answered.
    pub fn answer(&mut self, reply: &[u8]) {
        let Some(from) = self.asked.take() else { return };
        let (client, _) = self.clients.sender_of(plain(&from));
        let Some(number) = client.last else { return };
        pack(number, reply, &mut client.answer);
        client.answer(&self.socket, &from);
    }
}
// ANCHOR_END: server

// ANCHOR: order
/// How a number stands to the last one of the same client.
#[derive(Debug, PartialEq, Eq)]
enum Order {
    /// It is to be printed and answered; so many between the two have not come.
    New(u32),
    /// It is the last one again: our answer was lost, or the network has doubled the message.
    Again,
    /// It was overtaken by a later one.
    Late,
}

/// Numbers that are further apart are those of two clients that had the same address.
const WINDOW: i32 = 100_000;

impl Order {
    fn of(last: Option<u32>, number: u32) -> Order {
        let Some(last) = last else { return Order::New(0) };
        match number.wrapping_sub(last).cast_signed() {
            0 => Order::Again,
            step @ 1..=WINDOW => Order::New(step.cast_unsigned() - 1),
            step if (-WINDOW..0).contains(&step) => Order::Late,
            _ => Order::New(0),
        }
    }
}
// ANCHOR_END: order

/// So many clients are remembered, at most: anybody can send from any number of ports.
const MOST: usize = 1024;

/// What is remembered of the clients, by their addresses. One that has said goodbye stays: its
/// last datagram may still come again, as in TCP's state TIME_WAIT.
#[derive(Default)]
struct Clients {
    known: HashMap<SocketAddr, Client>,
    seen: u64,
    done: u64,
    turn: u64,
}

struct Client {
    name: String,
    /// When it last sent something.
    turn: u64,
    last: Option<u32>,
    /// The datagram that the last one was answered with; empty under `--reply none`.
    answer: Vec<u8>,
    has_left: bool,
    recvs: Commentary,
    sends: Commentary,
}

impl Clients {
    /// The client with this address, and how many have left.
    fn sender_of(&mut self, address: SocketAddr) -> (&mut Client, &mut u64) {
        self.turn += 1;
        if self.known.len() == MOST && !self.known.contains_key(&address) {
            let silent = self.known.iter().min_by_key(|(_, client)| client.turn);
            let silent = silent.map(|(address, _)| *address);
            silent.and_then(|address| self.known.remove(&address));
        }
        let client = self.known.entry(address).or_insert_with(|| {
            self.seen += 1;
            let name = format!("client {}", self.seen);
            say!("{name} is at {address}");
            let (recvs, sends) =
                (Commentary::of("recvfrom"), Commentary::of("sendto"));
            let (recvs, sends) = (recvs.with(&name), sends.with(&name));
            let (last, answer, turn) = (None, Vec::new(), 0);
            Client { name, turn, last, answer, has_left: false, recvs, sends }
        });
        client.turn = self.turn;
        (client, &mut self.done)
    }
}

impl Client {
    fn order(&mut self, number: u32) -> Order {
        let order = Order::of(self.last, number);
        if let Order::New(_) = order {
            (self.last, self.has_left) = (Some(number), false);
        }
        order
    }

    /// Sends the answer to its last message, if there is one.
    fn answer(&mut self, socket: &OwnedFd, to: &SockaddrStorage) {
        if !self.answer.is_empty() {
            let answer = std::mem::take(&mut self.answer);
            self.send(socket, to, &answer);
            self.answer = answer;
        }
    }

    /// sendto(2) the client. Whether it is there, and gets it, no return value tells.
    fn send(&mut self, socket: &OwnedFd, to: &SockaddrStorage, datagram: &[u8]) {
        let n = datagram.len();
        self.sends.call(n, || format!("sendto({})", say::data(datagram)));
        let fd = socket.as_raw_fd();
        let send = || sendto(fd, datagram, to, MsgFlags::empty());
        let sent = Shortage::default().retry("sendto", send);
        let _: Result<_, Errno> = self.sends.returned(sent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_new_again_or_late() {
        for (last, number, order) in [
            (None, 7, Order::New(0)),
            (Some(7), 7, Order::Again),
            (Some(7), 8, Order::New(0)),
            (Some(7), 11, Order::New(3)),
            (Some(7), 6, Order::Late),
            (Some(u32::MAX), 0, Order::New(0)),
            (Some(0), u32::MAX, Order::Late),
            (Some(1_000_001), 3_000_001, Order::New(0)),
            (Some(3_000_001), 1_000_001, Order::New(0)),
            (Some(0), 1 << 31, Order::New(0)),
        ] {
            assert_eq!(Order::of(last, number), order, "{last:?}, {number}");
        }
    }

    #[test]
    fn no_number_of_strangers_takes_more_memory_than_there_is_room_for() {
        let mut clients = Clients::default();
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        clients.sender_of(at(1)).0.order(5);
        for port in 2..=3000 {
            clients.sender_of(at(port));
            clients.sender_of(at(1));
        }
        assert_eq!(clients.known.len(), MOST);
        assert_eq!(clients.sender_of(at(1)).0.order(5), Order::Again);
        assert!(!clients.known.contains_key(&at(2)), "it was silent the longest");
    }
}
