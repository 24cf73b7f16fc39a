//! The clients of a worker: it takes their connections, prints what they send, and echoes it.

use std::ops::ControlFlow;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::Result;
use nix::errno::Errno;
use rustix::event::{PollFd, PollFlags};
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::super::descriptor::{ReceivedDescriptor, take};
use super::super::more::multiprocessing;
use super::super::options::{PrintingOptions, Protocol};
use super::super::plain::{self, acknowledge};
use os::calls::nix_errno;
use wire::errors::line;
use wire::frame::{FramingOptions, ReassemblyBuffer};
use wire::payload::{Payload, Printed, Style};
use wire::say;
use wire::say::Commentary;
use wire::say::count;

// ANCHOR: clients
/// How many connections are taken in one go, before any of them is served.
pub(super) const AT_ONCE: usize = 16;

/// A client whose connection this worker holds.
pub(super) struct WorkerClient {
    socket: OwnedFd,
    incoming: ReassemblyBuffer,
    /// The bytes received last, and how many of them are sent back.
    echo: Vec<u8>,
    sent: usize,
    /// Whether send(2) to the client has failed. What the client sends is still printed.
    send_failed: bool,
}

impl WorkerClient {
    /// Nothing more is read before all is sent back: so a client that does not read its echo
    /// costs one buffer, and TCP stops it.
    pub(super) fn poll_fd(&self) -> PollFd<'_> {
        let flags =
            if self.sent < self.echo.len() { PollFlags::OUT } else { PollFlags::IN };
        PollFd::new(&self.socket, flags)
    }
}

/// What the worker does next.
pub(super) enum NextStep {
    /// It keeps the client.
    Keep,
    /// It closes the client's connection.
    Close,
    /// It exits: nothing reads its standard output any more.
    Exit,
}

/// What all clients of a worker share: standard output, and the commentary.
pub(super) struct ClientHandler {
    protocol: Protocol,
    stream: FramingOptions,
    /// Buffers of clients that have left, for the next clients.
    spare: Vec<ReassemblyBuffer>,
    payload: Payload,
    message: Vec<u8>,
    pub(super) taken: u64,
    recvmsgs: Commentary,
    acknowledgements: Commentary,
    recvs: Commentary,
    sends: Commentary,
}

impl ClientHandler {
    pub(super) fn new(
        protocol: Protocol,
        printing: &PrintingOptions,
    ) -> Result<ClientHandler> {
        let style = match (printing.bytes, printing.json) {
            (true, _) => Style::Bytes,
            (_, true) => Style::Json,
            _ => Style::Lines,
        };
        Ok(ClientHandler {
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

    /// Takes up to `most` connections that the server has passed, and acknowledges them if
    /// that is the protocol; no byte of a connection is read before. Then says whether the
    /// server may pass more.
    pub(super) fn take_connections(
        &mut self,
        server: &OwnedFd,
        most: usize,
    ) -> (Vec<WorkerClient>, Result<ControlFlow<()>>) {
        let (mut new, mut more) = (Vec::new(), Ok(ControlFlow::Continue(())));
        let byte = match self.protocol {
            Protocol::Plain => plain::BYTE,
            Protocol::Multiprocessing => multiprocessing::BYTE,
        };
        while new.len() < most {
            match take(server, byte) {
                Ok(ReceivedDescriptor::Descriptor(socket)) => {
                    let fd = socket.as_raw_fd();
                    self.recvmsgs.call(1, || {
                        let byte = say::bytes(&[byte]);
                        format!("recvmsg() = {byte} + descriptor {fd}: a client's connection")
                    });
                    new.push(self.new_client(socket));
                }
                Ok(ReceivedDescriptor::Nothing) => break,
                Ok(ReceivedDescriptor::EndOfFile) => {
                    match self.taken + new.len() as u64 {
                        0 => say!(
                            "recvmsg() = 0: the server has left, or its --protocol is another"
                        ),
                        _ => say!("recvmsg() = 0: the server has left"),
                    }
                    more = Ok(ControlFlow::Break(()));
                    break;
                }
                Err(error) => {
                    more = Err(error);
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
            // Without the `OK` the server passes them to another worker: we close them.
            if let Err(error) = acknowledge(server, held) {
                say!(
                    "send(\"OK\"): {}: the server has given up on us: {} closed",
                    error,
                    count(held as u64, "connection")
                );
                return (Vec::new(), Ok(ControlFlow::Break(())));
            }
        }
        self.taken += new.len() as u64;
        (new, more)
    }

    fn new_client(&mut self, socket: OwnedFd) -> WorkerClient {
        let incoming = self.spare.pop();
        let incoming =
            incoming.unwrap_or_else(|| ReassemblyBuffer::new(&self.stream));
        WorkerClient {
            socket,
            incoming,
            echo: Vec::new(),
            sent: 0,
            send_failed: false,
        }
    }

    /// Closes the client's connection, and keeps its buffer: a new one costs a page fault.
    pub(super) fn close_client(&mut self, client: WorkerClient) {
        if self.spare.len() < AT_ONCE {
            let mut incoming = client.incoming;
            incoming.reset();
            self.spare.push(incoming);
        }
    }

    /// Reads what a client sent, prints it and sends it back; never waits for the client.
    pub(super) fn serve(&mut self, client: &mut WorkerClient) -> Result<NextStep> {
        let fd = client.socket.as_raw_fd();
        if client.sent == client.echo.len() {
            let space = match client.incoming.space() {
                Ok(space) => space,
                Err(error) => return Ok(refused(&client.socket, &error.into())),
            };
            let received = recv(&client.socket, space, RecvFlags::DONTWAIT);
            let n = match received.map_err(nix_errno) {
                Ok((0, _)) => {
                    self.recvs.always(0, || {
                        format!(
                            "recv({fd}) = 0: the client has said all; close({fd})"
                        )
                    });
                    return self.print_last(client);
                }
                Ok((n, _)) => n,
                Err(Errno::EAGAIN | Errno::EINTR) => return Ok(NextStep::Keep),
                Err(error) => {
                    gone(fd, "recv", error);
                    return Ok(NextStep::Close);
                }
            };
            let newest = client.incoming.newest(n);
            self.recvs
                .call(n, || format!("recv({fd}) = {n}: {}", say::bytes(newest)));
            if !client.send_failed {
                client.echo.clear();
                client.echo.extend_from_slice(newest);
                client.sent = 0;
            }
            if let Some(step) = self.print_complete(client)? {
                return Ok(step);
            }
        }
        if client.send_failed {
            return Ok(NextStep::Keep);
        }
        let rest = &client.echo[client.sent..];
        self.sends.call(0, || format!("send({fd}, {})", say::data(rest)));
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match send(&client.socket, rest, flags).map_err(nix_errno) {
            Ok(n) => {
                client.sent += n;
                self.sends.moved(n);
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(error) => {
                gone(fd, "send", error);
                (client.send_failed, client.sent) = (true, client.echo.len());
            }
        }
        Ok(NextStep::Keep)
    }

    /// Prints the messages that are complete, so that no message is torn by one of another
    /// client.
    fn print_complete(
        &mut self,
        client: &mut WorkerClient,
    ) -> Result<Option<NextStep>> {
        loop {
            match client.incoming.next(&mut self.message) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(error) => return Ok(Some(refused(&client.socket, &error))),
            }
            if self.payload.print(&self.message)? == Printed::NoReader {
                return Ok(Some(NextStep::Exit));
            }
        }
    }

    /// Prints the message that the end of the stream completes, if there is one.
    fn print_last(&mut self, client: &mut WorkerClient) -> Result<NextStep> {
        match client.incoming.at_end(&mut self.message) {
            Ok(true) => {}
            Ok(false) => return Ok(NextStep::Close),
            Err(error) => return Ok(refused(&client.socket, &error)),
        }
        match self.payload.print(&self.message)? {
            Printed::Yes => Ok(NextStep::Close),
            Printed::NoReader => Ok(NextStep::Exit),
        }
    }
}
// ANCHOR_END: clients

fn gone(fd: i32, call: &str, error: Errno) {
    say!("{call}({fd}): {error}: the client is gone");
}

fn refused(socket: &OwnedFd, error: &anyhow::Error) -> NextStep {
    let (fd, error) = (socket.as_raw_fd(), line(error));
    say!("{error}: the client is refused; close({fd})");
    NextStep::Close
}
