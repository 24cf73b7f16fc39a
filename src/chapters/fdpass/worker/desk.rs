//! What a worker does with the connections that it takes: its clients.

use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::Result;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::super::descriptor::{Taken, take};
use super::super::plain::{self, acknowledge};
use super::super::wire::Protocol;
use super::super::{connections, multiprocessing, named};
use super::Printing;
use wire::errors::line;
use wire::frame::{FramingOptions, ReassemblyBuffer};
use wire::payload::{Payload, Printed, Style};
use wire::say;
use wire::say::Commentary;

// ANCHOR: desk
/// How many connections are taken in one go, before any of them is served.
pub(super) const AT_ONCE: usize = 16;

/// Whether there is more to be had of the server.
pub(super) enum Left {
    Stays,
    Leaves,
}

/// A client whose connection we hold.
pub(super) struct Client {
    socket: OwnedFd,
    incoming: ReassemblyBuffer,
    /// What has come, and how much of it has gone back.
    echo: Vec<u8>,
    sent: usize,
    /// Whether it takes no echo any more. What it has said, or still says, is printed.
    deaf: bool,
}

impl Client {
    /// Nothing more is read before all has gone back: so a client that does not read its
    /// echo costs us one buffer, and is itself stopped by TCP.
    pub(super) fn poll_fd(&self) -> PollFd<'_> {
        let flags =
            if self.sent < self.echo.len() { PollFlags::OUT } else { PollFlags::IN };
        PollFd::new(&self.socket, flags)
    }
}

/// How it goes on with a client.
pub(super) enum Then {
    Stays,
    Leaves,
    NobodyReads,
}

/// What all clients share: standard output, and the commentary.
pub(super) struct Desk {
    protocol: Protocol,
    stream: FramingOptions,
    /// Buffers of clients that have left, for those who come.
    spare: Vec<ReassemblyBuffer>,
    payload: Payload,
    message: Vec<u8>,
    pub(super) taken: u64,
    recvmsgs: Commentary,
    acknowledgements: Commentary,
    recvs: Commentary,
    sends: Commentary,
}

impl Desk {
    pub(super) fn new(protocol: Protocol, printing: &Printing) -> Result<Desk> {
        let style = match (printing.bytes, printing.json) {
            (true, _) => Style::Bytes,
            (_, true) => Style::Json,
            _ => Style::Lines,
        };
        Ok(Desk {
            protocol,
            stream: printing.stream,
            spare: Vec::new(),
            payload: Payload::new(style)?,
            message: Vec::new(),
            taken: 0,
            recvmsgs: Commentary::of("recvmsg"),
            acknowledgements: Commentary::of("send OK"),
            recvs: Commentary::of("recv"),
            sends: Commentary::of("send"),
        })
    }

    /// Takes up to `most` connections that have come, and acknowledges them if that is the
    /// protocol. None is read from before.
    pub(super) fn take_from(
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
                    match self.taken + new.len() as u64 {
                        0 => say!(
                            "recvmsg() = 0: the server has left, or its --protocol is another"
                        ),
                        _ => say!("recvmsg() = 0: the server has left"),
                    }
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
                    error,
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
        let incoming =
            incoming.unwrap_or_else(|| ReassemblyBuffer::new(&self.stream));
        Client { socket, incoming, echo: Vec::new(), sent: 0, deaf: false }
    }

    /// Closes its connection, and keeps the buffer: a new one costs a page fault at least.
    pub(super) fn part_with(&mut self, client: Client) {
        if self.spare.len() < AT_ONCE {
            let mut incoming = client.incoming;
            incoming.reset();
            self.spare.push(incoming);
        }
    }

    /// Reads what a client sent, prints it and sends it back, as far as that goes now.
    pub(super) fn attend(&mut self, client: &mut Client) -> Result<Then> {
        let fd = client.socket.as_raw_fd();
        if client.sent == client.echo.len() {
            let space = match client.incoming.space() {
                Ok(space) => space,
                Err(error) => return Ok(refused(&client.socket, &error.into())),
            };
            let n = match recv(&client.socket, space, RecvFlags::DONTWAIT) {
                Ok((0, _)) => {
                    self.recvs.always(0, || {
                        format!(
                            "recv({fd}) = 0: the client has said all; close({fd})"
                        )
                    });
                    return self.print_last(client);
                }
                Ok((n, _)) => n,
                Err(Errno::AGAIN | Errno::INTR) => return Ok(Then::Stays),
                Err(error) => {
                    gone(fd, "recv", error);
                    return Ok(Then::Leaves);
                }
            };
            let newest = client.incoming.newest(n);
            self.recvs
                .call(n, || format!("recv({fd}) = {n}: {}", say::bytes(newest)));
            if !client.deaf {
                client.echo.clear();
                client.echo.extend_from_slice(newest);
                client.sent = 0;
            }
            if let Some(then) = self.print_whole(client)? {
                return Ok(then);
            }
        }
        if client.deaf {
            return Ok(Then::Stays);
        }
        let rest = &client.echo[client.sent..];
        self.sends.call(0, || format!("send({fd}, {})", say::data(rest)));
        match send(&client.socket, rest, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(n) => {
                client.sent += n;
                self.sends.moved(n);
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => {
                gone(fd, "send", error);
                (client.deaf, client.sent) = (true, client.echo.len());
            }
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
// ANCHOR_END: desk

fn gone(fd: i32, call: &str, error: Errno) {
    say!("{call}({fd}): {}: the client is gone", named(error));
}

fn refused(socket: &OwnedFd, error: &anyhow::Error) -> Then {
    let (fd, error) = (socket.as_raw_fd(), line(error));
    say!("{error}: the client is refused; close({fd})");
    Then::Leaves
}
