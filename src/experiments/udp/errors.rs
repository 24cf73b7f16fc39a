//! What a sender is told: by ICMP, late, or not at all.

use std::net::UdpSocket;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::Ipv4RecvErr;

use super::{PATIENCE, bound, nobody, recv, send, send_to, unbound, until_error};
use crate::record::{Failure, Returned};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;

pub(super) const NOBODY_THERE: Experiment = Experiment {
    name: "nobody-there",
    title: "Sending where no process is",
    level: Level::First,
    question: "No socket has the port. A client calls connect(2) on a UDP socket, and then \
               send(2) twice, with a pause between the two. Which is the first of these calls \
               that returns -1?",
    answers: &[
        wrong(
            "the call of connect",
            "connect on a UDP socket sends nothing. It only notes the address.",
        ),
        wrong(
            "the first of the sends",
            "It hands the datagram over, and returns. What becomes of the datagram, it does not \
             wait for.",
        ),
        right(
            "the second of the sends",
            "The machine where no socket has the port answers with an ICMP message, port \
             unreachable. The kernel keeps it as the socket's error, and the next call on the \
             socket returns it: ECONNREFUSED.",
        ),
        wrong(
            "none of these three calls",
            "That is a socket that is not connected (udp/unconnected), or a firewall that \
             drops the ICMP message.",
        ),
    ],
    kind: Kind::Kernel,
    run: nobody_there,
    moral: "The result of send is about the datagrams before it, if it is an error. That the \
            other side has got something, only its answer shows.",
    see: "udp(7), connect(2), icmp(7)",
    file: file!(),
    shows: &["nobody-there"],
};

// ANCHOR: nobody-there
fn nobody_there(stage: &Stage) -> Result<usize> {
    let client = unbound()?;
    let connected = client.connect(nobody()?);
    stage.call("connect(where no socket is)", &connected);
    let first = send(stage, "client", &client, "one");
    if first.is_ok() {
        until_error(&client)?;
        stage.event("client", "poll() says that an error has come");
    }
    let second = send(stage, "client", &client, "two");
    stage.saw("connect", connected.shown());
    stage.saw("the first send", first.shown());
    stage.saw("the second send", second.shown());
    Ok(match (connected, first, second) {
        (Err(_), ..) => 1,
        (_, Err(_), _) => 2,
        (.., Err(_)) => 3,
        _ => 4,
    })
}
// ANCHOR_END: nobody-there

pub(super) const UNCONNECTED: Experiment = Experiment {
    name: "unconnected",
    title: "The same, without a connect",
    level: Level::Later,
    question: "No socket has the port. A client does not call connect(2): it calls sendto(2) \
               three times, and then recv(2), without blocking. An ICMP message has come back \
               for each datagram. What is the first call that tells of it?",
    answers: &[
        wrong(
            "the second sendto: ECONNREFUSED",
            "That is a connected socket. This one may send to many addresses, and an error \
             would not say which of them it is about.",
        ),
        wrong(
            "the fourth call: recv tells of it",
            "recv returns EAGAIN, as when nothing has come.",
        ),
        right(
            "none of these calls tells of it",
            "Linux gives ICMP's errors to connected sockets alone, unless the program asks for \
             them: with IP_RECVERR the next call fails, and recvmsg(MSG_ERRQUEUE) brings the \
             datagram and its address.",
        ),
    ],
    kind: Kind::Kernel,
    run: unconnected,
    moral: "A client with one server calls connect: it is told of errors, hears no strangers, and \
            may use send and recv. A server, with one socket for all clients, is told nothing.",
    see: "udp(7), ip(7)",
    file: file!(),
    shows: &["unconnected-broken", "unconnected-cured"],
};

// ANCHOR: unconnected-broken
fn unconnected(stage: &Stage) -> Result<usize> {
    let nobody = ("nobody", nobody()?);
    let client = unbound()?;
    let mut sent = Vec::new();
    for text in ["one", "two", "three"] {
        sent.push(send_to(stage, "client", &client, text, nobody).is_ok());
    }
    client.set_nonblocking(true)?;
    let got = recv(stage, "client", &client);
    let told = with_recverr(stage, nobody)?;
    stage.saw("the sends succeed", sent.clone());
    stage.saw("recv", got.as_ref().map(String::len).shown());
    stage.saw("with IP_RECVERR, the second send", told.shown());
    Ok(match (sent.contains(&false), got.map_err(|error| error.errno())) {
        (true, _) => 1,
        (_, Err(Errno::EAGAIN)) => 3,
        _ => 2,
    })
}
// ANCHOR_END: unconnected-broken

// ANCHOR: unconnected-cured
fn with_recverr(
    stage: &Stage,
    nobody: (&str, std::net::SocketAddr),
) -> Result<std::io::Result<usize>> {
    let client = unbound()?;
    setsockopt(&client, Ipv4RecvErr, &true).context("IP_RECVERR")?;
    send_to(stage, "with IP_RECVERR", &client, "one", nobody)?;
    until_error(&client)?;
    Ok(send_to(stage, "with IP_RECVERR", &client, "two", nobody))
}
// ANCHOR_END: unconnected-cured

pub(super) const UNBOUND_CLIENT: Experiment = Experiment {
    name: "unbound-client",
    title: "Answering a client without an address",
    level: Level::Later,
    question: "A client makes a UDP socket and calls sendto(2) with the server's address. It has \
               called neither bind(2) nor connect(2). The server calls recvfrom(2), and then \
               sendto(2) with the address that it got. What does the client get?",
    answers: &[
        wrong(
            "nothing, and its own sendto fails",
            "Sending needs no address of one's own, with UDP as with Unix sockets.",
        ),
        right(
            "the answer, at a port that it never chose",
            "The first sendto binds the socket to a free port of the kernel's choice, by \
             itself. getsockname(2) shows it.",
        ),
        wrong(
            "nothing, and the server's sendto fails",
            "That is a Unix socket, which stays nameless: unix/unbound-client.",
        ),
    ],
    kind: Kind::Kernel,
    run: unbound_client,
    moral: "A client needs no bind. A server does: its port is how clients find it.",
    see: "udp(7), ip(7), bind(2)",
    file: file!(),
    shows: &["unbound-client"],
};

// ANCHOR: unbound-client
fn unbound_client(stage: &Stage) -> Result<usize> {
    let (server, address) = bound()?;
    let client = unbound()?;
    let before = client.local_addr().context("getsockname")?.port();
    stage.call("client: getsockname(), port", &usize::from(before));
    let asked = send_to(stage, "client", &client, "question", ("server", address));
    if asked.is_err() {
        return Ok(1);
    }
    let (_, from) = server.recv_from(&mut [0; 100]).context("recvfrom")?;
    let same = client.local_addr().context("getsockname")?.port() == from.port();
    let port = if same && from.port() != 0 { "a free one" } else { "another" };
    stage.call("client: getsockname(), port", &port);
    let answered = send_to(stage, "server", &server, "answer", ("client", from));
    if answered.is_err() {
        return Ok(3);
    }
    let got = recv(stage, "client", &client).context("recv")?;
    stage.saw("port before", before);
    stage.saw("the server sees the port that it has after", same);
    stage.saw("the client got", got.as_str());
    Ok(2)
}
// ANCHOR_END: unbound-client

pub(super) const SPENT_ERROR: Experiment = Experiment {
    name: "spent-error",
    title: "A server that comes a little late",
    level: Level::Deep,
    question: "A connected client sends `a`, while no socket has the port. An ICMP message comes \
               back. Now a server binds the port. The client sends `b`, and then `c`. What is \
               the first datagram that the server gets?",
    answers: &[
        wrong(
            "`a`, which the client's kernel still has",
            "No kernel keeps a datagram that was sent, to send it again.",
        ),
        wrong(
            "`b`, which is the first since it is there",
            "The send of `b` returned the error that `a` had caused, and did nothing else.",
        ),
        right(
            "`c`, which is the first after the error",
            "A call that returns the socket's error does not do its own work. The error is \
             cleared by that, and the next call works.",
        ),
    ],
    kind: Kind::Kernel,
    run: spent_error,
    moral: "After ECONNREFUSED from send, send the same datagram again: it has not been sent. An \
            earlier one is the one that was refused.",
    see: "udp(7), send(2), socket(7)",
    file: file!(),
    shows: &["spent-error"],
};

// ANCHOR: spent-error
fn spent_error(stage: &Stage) -> Result<usize> {
    let address = nobody()?;
    let client = unbound()?;
    client.connect(address).context("connect")?;
    send(stage, "client", &client, "a").context("send")?;
    until_error(&client)?;
    let server = UdpSocket::bind(address).context("bind")?;
    server.set_read_timeout(Some(PATIENCE))?;
    stage.event("server", "binds the port");
    let second = send(stage, "client", &client, "b");
    let third = send(stage, "client", &client, "c");
    let got = recv(stage, "server", &server).context("recv")?;
    stage.saw("send of b", second.shown());
    stage.saw("send of c", third.shown());
    stage.saw("the server gets", got.as_str());
    match got.as_str() {
        "a" => Ok(1),
        "b" => Ok(2),
        "c" => Ok(3),
        other => bail!("received {other:?}"),
    }
}
// ANCHOR_END: spent-error
