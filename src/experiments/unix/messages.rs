//! What the three types carry, and whom they reach.

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, bind, connect,
    listen, recv, send, socket, socketpair,
};
use std::os::fd::AsFd;

use crate::experiments::record::Returned;
use crate::experiments::row::{Experiment, Kind, right, wrong};
use crate::experiments::stage::Stage;

pub(super) const BOUNDARIES: Experiment = Experiment {
    name: "boundaries",
    title: "Two sends, one receive, three types",
    question: "On a pair of Unix sockets one side sends `one` and `two`, by two calls of \
               send(2). Then the other side calls recv(2) once, with room for 100 bytes. \
               What does it get from a stream, a seqpacket and a datagram socket?",
    answers: &[
        wrong(
            "`one` from each: the kernel returns what one send sent",
            "A stream has no messages. The two sends have become six bytes.",
        ),
        right(
            "`onetwo` from the stream, `one` from the other two",
            "Seqpacket and datagram keep the boundary of each send. Seqpacket is connected \
             as well, so it has an end; a datagram socket has none.",
        ),
        wrong(
            "`onetwo` from stream and seqpacket, `one` from the datagram socket",
            "Seqpacket has its name from this: a sequence of packets, not of bytes.",
        ),
    ],
    kind: Kind::Kernel,
    run: boundaries,
    moral: "SOCK_SEQPACKET is the forgotten type: connected, in order, with boundaries. For \
            messages between two local processes it is the first choice.",
    see: "unix(7), socket(2)",
    file: file!(),
    shows: &["boundaries"],
};

// ANCHOR: boundaries
fn boundaries(stage: &Stage) -> Result<usize> {
    let mut got = Vec::new();
    for (name, kind) in [
        ("SOCK_STREAM", SockType::Stream),
        ("SOCK_SEQPACKET", SockType::SeqPacket),
        ("SOCK_DGRAM", SockType::Datagram),
    ] {
        let pair = socketpair(AddressFamily::Unix, kind, None, SockFlag::empty());
        let (here, there) = pair.context("socketpair")?;
        for word in ["one", "two"] {
            send(here.as_raw_fd(), word.as_bytes(), MsgFlags::empty())
                .context("send")?;
        }
        let mut room = [0; 100];
        let n =
            recv(there.as_raw_fd(), &mut room, MsgFlags::empty()).context("recv")?;
        let text = String::from_utf8_lossy(&room[..n]).into_owned();
        stage.call(
            format!("{name}: send, send, recv(100 bytes)"),
            &format!("{text:?}"),
        );
        stage.saw(name, text.as_str());
        got.push(text);
    }
    match [got[0].as_str(), got[1].as_str(), got[2].as_str()] {
        ["one", "one", "one"] => Ok(1),
        ["onetwo", "one", "one"] => Ok(2),
        ["onetwo", "onetwo", "one"] => Ok(3),
        other => bail!("received {other:?}"),
    }
}
// ANCHOR_END: boundaries

pub(super) const UNBOUND_CLIENT: Experiment = Experiment {
    name: "unbound-client",
    title: "Answering a datagram",
    question: "A client makes a datagram socket, and sends a question to the server's path \
               with sendto(2). It has not called bind(2). The server wants to answer the \
               address that recvfrom(2) gave it. What happens?",
    answers: &[
        wrong(
            "it works: the kernel gave the client an address, as it does for UDP",
            "UDP binds a sender to a free port by itself. A Unix socket stays nameless.",
        ),
        wrong(
            "the client's sendto fails: an unbound socket cannot send",
            "Sending needs no name of one's own. Getting answers does.",
        ),
        right(
            "there is no address to answer: the client has no name",
            "recvfrom returned an empty address, and sendto without one is ENOTCONN. The \
             question arrived; the answer has nowhere to go.",
        ),
    ],
    kind: Kind::Kernel,
    run: unbound_client,
    moral: "A datagram client that wants answers binds first: to a path of its own, which it \
            unlinks, or by an empty address to an abstract name of the kernel's choice.",
    see: "unix(7), recvfrom(2)",
    file: file!(),
    shows: &["unbound-client"],
};

// ANCHOR: unbound-client
fn unbound_client(stage: &Stage) -> Result<usize> {
    let path = stage.path("server");
    let server = UnixDatagram::bind(&path).context("bind")?;
    let mut outcomes = Vec::new();
    for binds in [false, true] {
        let client = match binds {
            false => UnixDatagram::unbound(),
            true => UnixDatagram::bind(stage.path("client")),
        };
        let client = client.context("socket")?;
        let asked = client.send_to(b"question", &path);
        stage.call("client: sendto(\"question\", \"server\")", &asked);
        let (_, from) = server.recv_from(&mut [0; 64]).context("recvfrom")?;
        let answered = match from.as_pathname() {
            Some(name) => server.send_to(b"answer", name),
            None => server.send(b"answer"), // no address to give to sendto
        };
        let whom = if binds { "\"client\"" } else { "no address" };
        stage.call(format!("server: sendto(\"answer\", {whom})"), &answered);
        let how = if binds { "bound" } else { "unbound" };
        stage.saw(&format!("answer to the {how} client"), answered.shown());
        outcomes.push((asked.is_ok(), answered.is_ok()));
    }
    Ok(match outcomes[0] {
        (true, true) => 1,
        (true, false) => 3,
        (false, _) => 2,
    })
}
// ANCHOR_END: unbound-client

pub(super) const FULL_BACKLOG: Experiment = Experiment {
    name: "full-backlog",
    title: "Knocking where nobody accepts",
    question: "A server called listen(fd, 1) and never calls accept(2). Clients connect one \
               after the other without blocking (O_NONBLOCK). You may have read that a full \
               backlog refuses them. How many get through, and what does the next one get?",
    answers: &[
        wrong(
            "one; the next gets ECONNREFUSED",
            "The number is how many may wait besides the first. And ECONNREFUSED means \
             that nobody listens at all.",
        ),
        wrong(
            "one; the next gets EINPROGRESS, and poll tells when it is through",
            "So it is for TCP. A Unix connect is not in progress: it is done, or it is not.",
        ),
        right(
            "two; the next gets EAGAIN",
            "listen(n) queues n + 1. EAGAIN means: try again later. A blocking connect \
             would sleep here.",
        ),
    ],
    kind: Kind::Kernel,
    run: full_backlog,
    moral: "On EAGAIN from a Unix connect, call connect again after a while. poll(2) is no \
            help: it says at once that the unconnected socket is writable and hung up.",
    see: "listen(2), connect(2), unix(7)",
    file: file!(),
    shows: &["full-backlog"],
};

// ANCHOR: full-backlog
fn full_backlog(stage: &Stage) -> Result<usize> {
    let address = UnixAddr::new(&stage.path("sock")).context("a path too long")?;
    let new = |flags| socket(AddressFamily::Unix, SockType::Stream, flags, None);
    let server = new(SockFlag::empty()).context("socket")?;
    bind(server.as_raw_fd(), &address).context("bind")?;
    let queue = Backlog::new(1).context("listen")?;
    stage.call("listen(sock, 1)", &listen(&server, queue));
    let mut clients = Vec::new();
    let last = loop {
        let client = new(SockFlag::SOCK_NONBLOCK).context("socket")?;
        let connected = connect(client.as_raw_fd(), &address);
        let number = clients.len() + 1;
        stage.call(format!("client {number}: connect(\"sock\")"), &connected);
        clients.push(client);
        if connected.is_err() || clients.len() > 10 {
            break connected;
        }
    };
    let through = clients.len() - 1;
    let mut fds = [PollFd::new(clients[through].as_fd(), PollFlags::POLLOUT)];
    poll(&mut fds, PollTimeout::ZERO).context("poll")?;
    let events = fds[0].revents().unwrap_or(PollFlags::empty());
    let events: Vec<_> = events.iter_names().map(|(name, _)| name).collect();
    stage.call("poll(the refused client), events", &events.join(" | "));
    stage.saw("got through", through);
    stage.saw("the next one", last.shown());
    stage.saw("poll said", events);
    Ok(match (through, last) {
        (_, Err(Errno::EAGAIN)) => 3,
        (_, Err(Errno::EINPROGRESS)) => 2,
        _ => 1,
    })
}
// ANCHOR_END: full-backlog
