//! From whom a socket takes datagrams, and from which address it sends.

use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, bail};
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg};

use super::{PATIENCE, bound, recv, send, send_to, unbound, until_error};
use crate::record::Returned;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;

pub(super) const THIRD_PARTY: Experiment = Experiment {
    name: "third-party",
    title: "A stranger sends to a connected socket",
    level: Level::Later,
    question: "A client has called connect(2) with the server's address. A stranger, which knows \
               the client's port, calls sendto(2) with it; and then the server answers. The \
               client calls recv(2). What does it get?",
    answers: &[
        right(
            "the server's answer, and nothing else of both",
            "A connected UDP socket is found only for datagrams from its peer's address and \
             port. For the stranger no socket has that port: if its socket is connected, it \
             gets ECONNREFUSED.",
        ),
        wrong(
            "the stranger's datagram, and then the answer",
            "That is a socket that is only bound: it takes what comes, from anybody.",
        ),
        wrong(
            "the stranger's datagram, since that was first",
            "The order decides among those that the socket takes. This one is none of them.",
        ),
    ],
    kind: Kind::Kernel,
    run: third_party,
    moral: "connect is UDP's filter. It is no proof: an address can be forged \
            (udp/forged-source).",
    see: "udp(7), connect(2)",
    file: file!(),
    shows: &["third-party"],
};

// ANCHOR: third-party
fn third_party(stage: &Stage) -> Result<usize> {
    let (server, address) = bound()?;
    let (client, its) = bound()?;
    client.connect(address).context("connect")?;
    let (stranger, _) = bound()?;
    let sent =
        send_to(stage, "stranger", &stranger, "of a stranger", ("client", its));
    send_to(stage, "server", &server, "the answer", ("client", its))?;
    let got = recv(stage, "client", &client).context("recv")?;
    client.set_nonblocking(true)?;
    let more = recv(stage, "client", &client);
    stage.saw("the stranger's sendto", sent.shown());
    stage.saw("the client got", got.as_str());
    stage.saw("and then", more.as_ref().map(String::len).shown());
    // Connected, the stranger is told what became of its datagram.
    stranger.connect(its).context("connect")?;
    send(stage, "stranger, connected", &stranger, "of a stranger")?;
    until_error(&stranger)?;
    let told = send(stage, "stranger, connected", &stranger, "again");
    stage.saw("the stranger, if connected, is told", told.shown());
    Ok(match (got.as_str(), more.is_ok()) {
        ("the answer", _) => 1,
        (_, true) => 2,
        _ => 3,
    })
}
// ANCHOR_END: third-party

pub(super) const QUEUED_BEFORE: Experiment = Experiment {
    name: "queued-before",
    title: "What came before the connect",
    level: Level::Deep,
    question: "A client is bound to a port. A stranger sends it `early`. Then the client calls \
               connect(2) with the server's address, and the server sends `answer`. The client \
               calls recv(2). What does it get?",
    answers: &[
        right(
            "`early`, from the stranger",
            "connect filters what comes from then on. What lies in the buffer stays there.",
        ),
        wrong("`answer`, from the server", "connect throws nothing away."),
        wrong(
            "-1, with the error EISCONN",
            "That is a TCP socket which is connected a second time.",
        ),
    ],
    kind: Kind::Kernel,
    run: queued_before,
    moral: "A client that is to hear one server alone does not bind first: connect on a new \
            socket takes the port and the peer in one call.",
    see: "udp(7), connect(2)",
    file: file!(),
    shows: &["queued-before"],
};

// ANCHOR: queued-before
fn queued_before(stage: &Stage) -> Result<usize> {
    let (server, address) = bound()?;
    let (stranger, _) = bound()?;
    let (client, its) = bound()?;
    send_to(stage, "stranger", &stranger, "early", ("client", its))?;
    client.peek(&mut [0]).context("recv(MSG_PEEK)")?; // it has come
    let connected = client.connect(address);
    stage.call("client: connect(server)", &connected);
    send_to(stage, "server", &server, "answer", ("client", its))?;
    let got = recv(stage, "client", &client).context("recv")?;
    stage.saw("received", got.as_str());
    match got.as_str() {
        "early" => Ok(1),
        "answer" => Ok(2),
        other => bail!("received {other:?}"),
    }
}
// ANCHOR_END: queued-before

pub(super) const WILDCARD_ANSWER: Experiment = Experiment {
    name: "wildcard-answer",
    title: "The address that an answer comes from",
    level: Level::Later,
    question: "A server is bound to 0.0.0.0, all addresses of its machine. A client connects to \
               127.0.0.2, which is one of them, and sends a question. The server calls \
               recvfrom(2), and answers by sendto(2) with the address that it got. What happens?",
    answers: &[
        wrong(
            "the answer comes from 127.0.0.2, and the client reads it",
            "sendto knows where to send, and not where the question was sent to.",
        ),
        right(
            "the answer comes from 127.0.0.1, and the client has none",
            "The socket has no address of its own, so the kernel takes the one that the route \
             has. The client is connected to another, and the answer is dropped.",
        ),
        wrong(
            "the answer comes from 0.0.0.0, and the client has none",
            "No datagram leaves with that address: the kernel chooses one.",
        ),
    ],
    kind: Kind::Kernel,
    run: wildcard_answer,
    moral: "On a machine of several addresses, bind a socket to each; or ask for IP_PKTINFO, and \
            give it back with the answer.",
    see: "ip(7), udp(7), recvmsg(2)",
    file: file!(),
    shows: &["wildcard-answer-broken", "wildcard-answer-cured"],
};

// ANCHOR: wildcard-answer-broken
fn wildcard_answer(stage: &Stage) -> Result<usize> {
    let server = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).context("bind")?;
    server.set_read_timeout(Some(PATIENCE))?;
    let port = server.local_addr().context("getsockname")?.port();
    let second = Ipv4Addr::new(127, 0, 0, 2);
    let client = unbound()?;
    client.connect((second, port)).context("connect")?;
    send(stage, "client", &client, "question")?;
    let (_, from) = server.recv_from(&mut [0; 100]).context("recvfrom")?;
    // A socket of the same port that takes all shows where the answer comes from.
    let watcher = unbound()?;
    send_to(
        stage,
        "watcher",
        &watcher,
        "question",
        ("127.0.0.2", (second, port).into()),
    )?;
    let (_, his) = server.recv_from(&mut [0; 100]).context("recvfrom")?;
    send_to(stage, "server", &server, "plain", ("watcher", his))?;
    let (_, source) = watcher.recv_from(&mut [0; 100]).context("recvfrom")?;
    stage.call("watcher: recvfrom(), address", &source.ip().to_string());

    send_to(stage, "server", &server, "plain", ("client", from))?;
    answer_from(stage, &server, second, from)?;
    let got = recv(stage, "client", &client).context("recv")?;
    stage.saw("the answer comes from", source.ip().to_string());
    stage.saw("the client reads first", got.as_str());
    Ok(match (got.as_str(), source.ip().is_unspecified()) {
        ("plain", _) => 1,
        (_, false) => 2,
        _ => 3,
    })
}
// ANCHOR_END: wildcard-answer-broken

// ANCHOR: wildcard-answer-cured
/// sendmsg(2) with IP_PKTINFO: the address that the answer is to come from.
fn answer_from(
    stage: &Stage,
    server: &UdpSocket,
    own: Ipv4Addr,
    to: SocketAddr,
) -> Result<()> {
    let info = libc::in_pktinfo {
        ipi_ifindex: 0,
        ipi_spec_dst: libc::in_addr { s_addr: u32::from(own).to_be() },
        ipi_addr: libc::in_addr { s_addr: 0 },
    };
    let (text, control) = (
        [IoSlice::new(b"with IP_PKTINFO")],
        [ControlMessage::Ipv4PacketInfo(&info)],
    );
    let (fd, none) = (server.as_raw_fd(), MsgFlags::empty());
    let to = SockaddrStorage::from(to);
    let sent = sendmsg(fd, &text, &control, none, Some(&to));
    stage.call("server: sendmsg(IP_PKTINFO 127.0.0.2)", &sent);
    sent.context("sendmsg").map(drop)
}
// ANCHOR_END: wildcard-answer-cured
