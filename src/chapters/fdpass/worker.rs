//! The worker: takes connections from the server, and serves all of them at once.
//!
//! One thread and one poll(2), so that a client who does not read its echo stops nobody
//! else. No descriptor is made non-blocking: O_NONBLOCK belongs to the open file, which
//! is the server's as well; MSG_DONTWAIT belongs to the call.

use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::descriptor::{Taken, known_peer, take};
use super::plain::acknowledge;
use super::wire::{Protocol, Wire};
use super::{connections, door, found_names, multiprocessing, named, plain};
use crate::errors::line;
use crate::say;
use crate::wire::frame::{Incoming, Stream};
use crate::wire::local::Name;
use crate::wire::meet::At;
use crate::wire::payload::{Payload, Printed, Style};
use crate::wire::say::{self, Tally};

/// The options of a worker.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Take N connections, and leave once they have ended
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    #[command(flatten)]
    wire: Wire,

    #[command(flatten)]
    printing: Printing,
}

/// How what clients send is printed. It is echoed byte by byte as it came.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Printing {
    #[command(flatten)]
    stream: Stream,

    /// Print exactly the bytes that came, without a newline after each message
    #[arg(long)]
    bytes: bool,

    /// Print one JSON object a message
    #[arg(long, conflicts_with = "bytes")]
    json: bool,
}

/// Plays the role.
pub(super) fn run(at: &At, options: &Options) -> Result<()> {
    let Options { count, wire, printing } = options;
    let (name, rules) = (Name::path(at)?, wire.rules()?);
    let mut place = at.arrive(None)?;
    place.open_to_all()?;
    let server = door::find(at, &name)?;
    found_names(&mut place)?;
    let pid = known_peer(&server).context("the server")?;
    if wire.protocol == Protocol::Multiprocessing {
        multiprocessing::meet(&server, rules.as_ref(), wire.handshake_timeout)
            .with_context(|| format!("the server, pid {pid}"))?;
        say!("send(our pid, as a pickle): we take connections");
    }
    at.ready(&name)?;
    serve(server, wire.protocol, printing, *count)
}

// ANCHOR: serve
/// Serves what `server` passes, until it has left and so has the last client.
pub(super) fn serve(
    server: OwnedFd,
    protocol: Protocol,
    printing: &Printing,
    count: Option<u64>,
) -> Result<()> {
    let mut server = Some(server);
    let mut clients: Vec<Client> = Vec::new();
    let mut desk = Desk::new(protocol, printing);
    let mut failure = None;
    loop {
        if count.is_some_and(|count| desk.taken >= count) {
            server = None;
        }
        if server.is_none() && clients.is_empty() {
            say!("done: {} taken, all have ended", connections(desk.taken));
            return failure.map_or(Ok(()), Err);
        }
        let mut fds: Vec<PollFd<'_>> = clients.iter().map(Client::poll_fd).collect();
        fds.extend(server.iter().map(|server| PollFd::new(server, PollFlags::IN)));
        match poll(&mut fds, None) {
            Err(Errno::INTR) => continue,
            result => result.context("poll")?,
        };
        let ready: Vec<bool> =
            fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let (clients_ready, server_ready) = ready.split_at(clients.len());

        // From the last, since the last takes the place of one that leaves.
        for place in (0..clients.len()).rev().filter(|place| clients_ready[*place]) {
            match desk.attend(&mut clients[place])? {
                Then::Stays => {}
                Then::Leaves => desk.part_with(clients.swap_remove(place)),
                Then::NobodyReads => return Ok(()),
            }
        }
        if let (Some(socket), [true]) = (&server, server_ready) {
            let room = count.map_or(AT_ONCE as u64, |count| count - desk.taken);
            let (new, left) = desk.take_from(socket, AT_ONCE.min(room as usize));
            if let Err(error) = &left {
                say!("{}: we take no more", line(error));
            }
            if !matches!(left, Ok(Left::Stays)) {
                (server, failure) = (None, left.err());
            }
            // What a client has to say has come by now, as a rule: ask at once.
            for mut client in new {
                match desk.attend(&mut client)? {
                    Then::Stays => clients.push(client),
                    Then::Leaves => desk.part_with(client),
                    Then::NobodyReads => return Ok(()),
                }
            }
        }
    }
}

/// How many connections are taken in one go, before any of them is served.
const AT_ONCE: usize = 16;

/// Whether there is more to be had of the server.
enum Left {
    Stays,
    Leaves,
}

/// A client whose connection we hold.
struct Client {
    socket: OwnedFd,
    incoming: Incoming,
    /// What has come, and how much of it has gone back.
    echo: Vec<u8>,
    sent: usize,
}

impl Client {
    /// Nothing more is read before all has gone back: so a client that does not read its
    /// echo costs us one buffer, and is itself stopped by TCP.
    fn poll_fd(&self) -> PollFd<'_> {
        let flags =
            if self.sent < self.echo.len() { PollFlags::OUT } else { PollFlags::IN };
        PollFd::new(&self.socket, flags)
    }
}

/// How it goes on with a client.
enum Then {
    Stays,
    Leaves,
    NobodyReads,
}

/// What all clients share: standard output, and the commentary.
struct Desk {
    protocol: Protocol,
    stream: Stream,
    /// Buffers of clients that have left, for those who come.
    spare: Vec<Incoming>,
    payload: Payload,
    message: Vec<u8>,
    taken: u64,
    recvmsgs: Tally,
    acknowledgements: Tally,
    recvs: Tally,
    sends: Tally,
}

impl Desk {
    fn new(protocol: Protocol, printing: &Printing) -> Desk {
        let style = match (printing.bytes, printing.json) {
            (true, _) => Style::Bytes,
            (_, true) => Style::Json,
            _ => Style::Lines,
        };
        Desk {
            protocol,
            stream: printing.stream,
            spare: Vec::new(),
            payload: Payload::new(style),
            message: Vec::new(),
            taken: 0,
            recvmsgs: Tally::of("recvmsg"),
            acknowledgements: Tally::of("send OK"),
            recvs: Tally::of("recv"),
            sends: Tally::of("send"),
        }
    }

    /// Takes up to `most` connections that have come, and acknowledges them if that is the
    /// protocol. None is read from before.
    fn take_from(
        &mut self,
        server: &OwnedFd,
        most: usize,
    ) -> (Vec<Client>, Result<Left>) {
        let (mut new, mut left) = (Vec::new(), Ok(Left::Stays));
        let byte = match self.protocol {
            Protocol::Plain => plain::BYTE,
            Protocol::Multiprocessing => multiprocessing::BYTE,
        };
        while new.len() < most {
            match take(server, byte) {
                Ok(Taken::Connection(socket)) => {
                    let fd = socket.as_raw_fd();
                    self.recvmsgs.call(1, || {
                        let byte = say::bytes(&[byte]);
                        format!("recvmsg() = {byte} + descriptor {fd}: a client's connection")
                    });
                    new.push(self.client(socket));
                }
                Ok(Taken::Nothing) => break,
                Ok(Taken::End) => {
                    say!("recvmsg() = 0: the server has left");
                    left = Ok(Left::Leaves);
                    break;
                }
                Err(error) => {
                    left = Err(error);
                    break;
                }
            }
        }
        if self.protocol == Protocol::Plain && !new.is_empty() {
            let held = new.len();
            self.acknowledgements.call(2 * held, || match held {
                1 => "send(\"OK\"): we hold it, and have read nothing yet".to_owned(),
                _ => format!("send({held} times \"OK\"): we hold them, and have read nothing yet"),
            });
            // Not told that we hold them, the server gives them to others: not ours then.
            if let Err(error) = acknowledge(server, held) {
                say!(
                    "send(\"OK\"): {}: the server has given up on us: {} closed",
                    named(error),
                    connections(held as u64)
                );
                return (Vec::new(), Ok(Left::Leaves));
            }
        }
        self.taken += new.len() as u64;
        (new, left)
    }

    fn client(&mut self, socket: OwnedFd) -> Client {
        let incoming = self.spare.pop();
        let incoming = incoming.unwrap_or_else(|| Incoming::new(&self.stream));
        Client { socket, incoming, echo: Vec::new(), sent: 0 }
    }

    /// Closes its connection, and keeps the buffer: a new one costs a page fault at least.
    fn part_with(&mut self, client: Client) {
        if self.spare.len() < AT_ONCE {
            let mut incoming = client.incoming;
            incoming.reset();
            self.spare.push(incoming);
        }
    }

    /// Reads what a client sent, prints it and sends it back, as far as that goes now.
    fn attend(&mut self, client: &mut Client) -> Result<Then> {
        let fd = client.socket.as_raw_fd();
        if client.sent == client.echo.len() {
            let space = client.incoming.space();
            let n = match recv(&client.socket, &mut *space, RecvFlags::DONTWAIT) {
                Ok((0, _)) => {
                    self.recvs.call(0, || {
                        format!(
                            "recv({fd}) = 0: the client has said all; close({fd})"
                        )
                    });
                    return self.print_last(client);
                }
                Ok((n, _)) => n,
                Err(Errno::AGAIN | Errno::INTR) => return Ok(Then::Stays),
                Err(error) => return Ok(gone(fd, "recv", error)),
            };
            self.recvs.call(n, || {
                format!("recv({fd}) = {n}: {}", say::bytes(&space[..n]))
            });
            client.echo.clear();
            client.echo.extend_from_slice(&space[..n]);
            client.sent = 0;
            client.incoming.filled(n);
            if let Some(then) = self.print_whole(client)? {
                return Ok(then);
            }
        }
        let rest = &client.echo[client.sent..];
        self.sends
            .call(0, || format!("send({fd}, {}, {})", say::bytes(rest), rest.len()));
        match send(&client.socket, rest, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(n) => {
                client.sent += n;
                self.sends.moved(n);
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Ok(gone(fd, "send", error)),
        }
        Ok(Then::Stays)
    }

    /// Prints the messages that are whole, so that two clients never mix within one.
    fn print_whole(&mut self, client: &mut Client) -> Result<Option<Then>> {
        loop {
            match client.incoming.next(&mut self.message) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(error) => return Ok(Some(refused(&client.socket, &error))),
            }
            if self.payload.print(&self.message)? == Printed::NobodyReads {
                return Ok(Some(Then::NobodyReads));
            }
        }
    }

    fn print_last(&mut self, client: &mut Client) -> Result<Then> {
        match client.incoming.at_end(&mut self.message) {
            Ok(true) => {}
            Ok(false) => return Ok(Then::Leaves),
            Err(error) => return Ok(refused(&client.socket, &error)),
        }
        match self.payload.print(&self.message)? {
            Printed::Yes => Ok(Then::Leaves),
            Printed::NobodyReads => Ok(Then::NobodyReads),
        }
    }
}
// ANCHOR_END: serve

fn gone(fd: i32, call: &str, error: Errno) -> Then {
    say!("{call}({fd}): {}: the client is gone; close({fd})", named(error));
    Then::Leaves
}

fn refused(socket: &OwnedFd, error: &anyhow::Error) -> Then {
    let (fd, error) = (socket.as_raw_fd(), line(error));
    say!("{error}: the client is refused; close({fd})");
    Then::Leaves
}
