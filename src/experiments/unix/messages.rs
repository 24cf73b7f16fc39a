//! What the three types carry, and which sockets they reach.

use std::io::IoSliceMut;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, bind, connect,
    listen, recvmsg, send, socket, socketpair,
};
use std::os::fd::AsFd;

use crate::record::{Failure, Returned};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;

pub(super) const BOUNDARIES: Experiment = Experiment {
    name: "boundaries",
    title: "Two sends, and a receive with little room",
    level: Level::First,
    question: "On a pair of Unix sockets one side sends `one` and `two`, by two calls \
               of send(2). Then the other side calls recv(2) twice, each time with room \
               for 2 bytes. What does the second recv return from a stream, a seqpacket \
               and a datagram socket?",
    answers: &[
        wrong(
            "`et` from each of the three types",
            "That is true of a stream, where the two sends have become six bytes. The \
             other two never join what two sends sent.",
        ),
        right(
            "`et` from the stream, `tw` from the two others",
            "A packet is received by one call. What has no room is thrown away: the \
             `e` of `one` is lost, and recv does not say so. recvmsg(2) does, by the \
             flag MSG_TRUNC.",
        ),
        wrong(
            "`et` from the stream, `e` from the two others",
            "The rest of a packet does not wait for the next call. That call begins \
             with the next packet.",
        ),
    ],
    kind: Kind::Kernel,
    run: boundaries,
    moral: "SOCK_SEQPACKET is connected, in order, and keeps boundaries: on Linux the \
            first choice for messages between two local processes (macOS has none). \
            Give recv room for the longest packet, or ask for the length first \
            (MSG_PEEK | MSG_TRUNC).",
    see: "unix(7), recv(2), socket(2)",
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
        let (first, cut) = two_bytes(&there).context("recvmsg")?;
        let (second, _) = two_bytes(&there).context("recvmsg")?;
        let flags = if cut { ", MSG_TRUNC" } else { "" };
        stage.call(format!("{name}: the first recv"), &format!("{first:?}{flags}"));
        stage.call(format!("{name}: the second recv"), &format!("{second:?}"));
        stage.saw(&format!("{name}: the second"), second.as_str());
        stage.saw(&format!("{name}: MSG_TRUNC at the first"), cut);
        got.push(second);
    }
    match [got[0].as_str(), got[1].as_str(), got[2].as_str()] {
        ["et", "et", "et"] => Ok(1),
        ["et", "tw", "tw"] => Ok(2),
        ["et", "e", "e"] => Ok(3),
        other => bail!("received {other:?}"),
    }
}

/// What the next receive brings into 2 bytes, and whether more was thrown away.
fn two_bytes(socket: &impl AsRawFd) -> nix::Result<(String, bool)> {
    let mut bytes = [0; 2];
    let mut room = [IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::empty();
    let got = recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut room, None, flags)?;
    let (n, cut) = (got.bytes, got.flags.contains(MsgFlags::MSG_TRUNC));
    Ok((String::from_utf8_lossy(&bytes[..n]).into_owned(), cut))
}
// ANCHOR_END: boundaries

pub(super) const UNBOUND_CLIENT: Experiment = Experiment {
    name: "unbound-client",
    title: "Answering a datagram",
    level: Level::First,
    question: "A client makes a datagram socket and calls sendto(2) with the server's \
               path. It has called neither bind(2) nor connect(2). The server calls \
               recvfrom(2), and then sendto(2) with the address that it got. Which is \
               the first call that returns -1?",
    answers: &[
        wrong(
            "the client's sendto(2)",
            "Sending needs no name of one's own. Getting answers does.",
        ),
        wrong(
            "the server's recvfrom(2)",
            "The question arrives, with an address of length 0.",
        ),
        right(
            "the server's sendto(2)",
            "The client has no name, so there is no address to answer, and sendto \
             without one is ENOTCONN.",
        ),
        wrong(
            "none of these calls",
            "That is true of UDP, which binds a sender to a free port by itself. A \
             Unix socket stays nameless.",
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
        let received = server.recv_from(&mut [0; 64]);
        let length = received.as_ref().map(|(n, _)| *n);
        stage.call("server: recvfrom()", &length.map_err(|error| error.errno()));
        let Ok((_, from)) = received else { return Ok(2) };
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
        (false, _) => 1,
        (true, false) => 3,
        (true, true) => 4,
    })
}
// ANCHOR_END: unbound-client

pub(super) const FULL_BACKLOG: Experiment = Experiment {
    name: "full-backlog",
    title: "Connecting where no server accepts",
    level: Level::Later,
    question: "A server called listen(fd, 1) and never calls accept(2). Clients connect one \
               after the other without blocking (O_NONBLOCK). You may have read that a full \
               backlog refuses them. How many get through, and what does the next one get?",
    answers: &[
        wrong(
            "one gets through; the next gets ECONNREFUSED",
            "The number is how many may wait besides the first. And ECONNREFUSED means \
             that no socket listens at all.",
        ),
        wrong(
            "two get through; the next gets EINPROGRESS",
            "That is true of TCP, where poll(2) tells later that it is through. A Unix \
             connect is not in progress: it is done, or it is not.",
        ),
        right(
            "two get through; the next gets EAGAIN",
            "listen(n) queues n + 1. EAGAIN means: try again later. A blocking connect \
             would sleep here.",
        ),
    ],
    kind: Kind::Kernel,
    run: full_backlog,
    moral: "On EAGAIN from a Unix connect, call connect again a little later. poll(2) \
            is no help: it says at once that the unconnected socket is writable and \
            hung up.",
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
