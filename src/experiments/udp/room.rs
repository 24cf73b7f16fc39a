//! How much there is room for: in the receiver's buffer, in a call, in a datagram.

use std::io::IoSliceMut;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::socket::sockopt::RcvBuf;
use nix::sys::socket::{MsgFlags, SockaddrIn, getsockopt, recvmsg, setsockopt};
use rustix::io::ioctl_fionread;

use super::{bound, nobody, recv, send, unbound};
use crate::record::{Failure, Returned};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::tcp::dropped;

pub(super) const FULL_BUFFER: Experiment = Experiment {
    name: "full-buffer",
    title: "A receiver that does not read",
    level: Level::First,
    question: "A receiver has a small buffer (SO_RCVBUF) and does not read. A client, whose \
               socket is connected and blocking, calls send(2) a thousand times, with 100 \
               bytes each time. How does it learn that the buffer is full?",
    answers: &[
        wrong(
            "send sleeps until there is room again",
            "That is a stream, or a Unix datagram: they have flow control. UDP has none, \
             and the sender's kernel knows nothing of the receiver's buffer.",
        ),
        wrong(
            "send returns -1 with EAGAIN or ENOBUFS",
            "These are about the sender's own buffers. The datagrams have left them.",
        ),
        wrong(
            "send returns fewer bytes than it was given",
            "A datagram goes whole or not at all: there are no short sends.",
        ),
        right(
            "send returns 100 each time, to the end",
            "A datagram for which the receiver has no room is thrown away when it arrives. \
             Nobody is told: only a counter of the receiver's socket grows.",
        ),
    ],
    kind: Kind::Kernel,
    run: full_buffer,
    moral: "UDP has no back-pressure. A sender that must not lose anything waits for an answer \
            before it sends more. The receiver can ask how many were dropped: SO_MEMINFO, \
            SO_RXQ_OVFL, or the last column of /proc/net/udp.",
    see: "udp(7), socket(7), send(2)",
    file: file!(),
    shows: &["full-buffer"],
};

// ANCHOR: full-buffer
fn full_buffer(stage: &Stage) -> Result<usize> {
    let (receiver, address) = bound()?;
    setsockopt(&receiver, RcvBuf, &0).context("SO_RCVBUF")?; // the least there is
    let client = unbound()?;
    client.connect(address).context("connect")?;
    let mut returned = Vec::new();
    for _ in 0..1000 {
        returned.push(client.send(&[b'x'; 100]).map_err(|error| error.errno()));
    }
    let whole = returned.iter().filter(|it| **it == Ok(100)).count();
    stage.call("client: send(100 bytes), a thousand times: returned 100", &whole);
    let came = drain(&receiver, &client)?;
    let lost = dropped(&receiver).context("SO_MEMINFO")?;
    stage.event("receiver", format!("reads now, and gets {came}"));
    stage.call("receiver: getsockopt(SO_MEMINFO), drops", &lost);
    stage.saw("sends that returned 100", whole);
    stage.saw("datagrams received", came);
    stage.saw("some were dropped", lost > 0);
    let error = returned.into_iter().find_map(Result::err);
    Ok(match (whole, error) {
        (1000, _) if came < 1000 => 4,
        (_, Some(Errno::EAGAIN | Errno::ENOBUFS)) => 2,
        (_, None) => 3,
        (_, Some(error)) => bail!("send: {error}"),
    })
}

/// How many datagrams wait; and then there is room for one more, the last.
fn drain(receiver: &UdpSocket, client: &UdpSocket) -> Result<usize> {
    let mut room = [0; 200];
    receiver.set_nonblocking(true)?;
    let mut came = 0;
    while receiver.recv(&mut room).is_ok() {
        came += 1;
    }
    receiver.set_nonblocking(false)?;
    client.send(b"the last").context("send")?;
    while receiver.recv(&mut room).context("recv")? != 8 {
        came += 1;
    }
    Ok(came)
}
// ANCHOR_END: full-buffer

pub(super) const SHORT_BUFFER: Experiment = Experiment {
    name: "short-buffer",
    title: "A receive with little room",
    level: Level::First,
    question: "A client sends `hello world` and then `next`. The server calls recv(2) with \
               room for 5 bytes, and gets `hello`. It calls recv again, with the same room. \
               What does it get?",
    answers: &[
        wrong(
            "` worl`, the next five bytes",
            "That is a stream. A datagram is taken by one call, as much of it as there is \
             room for.",
        ),
        right(
            "`next`, the next datagram",
            "The rest of the first one is gone: ` world` is lost, and recv has not said so. \
             recvmsg(2) would have, by the flag MSG_TRUNC.",
        ),
        wrong(
            "-1, with the error EMSGSIZE",
            "Windows has such an error (WSAEMSGSIZE). Linux only sets a flag, which recv has \
             no place for.",
        ),
    ],
    kind: Kind::Kernel,
    run: short_buffer,
    moral: "Give recv room for the largest datagram of your protocol and one byte more, or \
            65,536. Where a cut one must be noticed, look at MSG_TRUNC, or put the length \
            into the message, as our role does.",
    see: "udp(7), recv(2), recvmsg(2)",
    file: file!(),
    shows: &["short-buffer"],
};

// ANCHOR: short-buffer
fn short_buffer(stage: &Stage) -> Result<usize> {
    let (server, address) = bound()?;
    let client = unbound()?;
    client.connect(address).context("connect")?;
    let _ = send(stage, "client", &client, "hello world");
    let _ = send(stage, "client", &client, "next");
    let mut got = Vec::new();
    for _ in 0..2 {
        let mut bytes = [0; 5];
        let mut room = [IoSliceMut::new(&mut bytes)];
        let (fd, flags) = (server.as_raw_fd(), MsgFlags::empty());
        let message = recvmsg::<SockaddrIn>(fd, &mut room, None, flags);
        let message = message.context("recvmsg")?;
        let (n, cut) = (message.bytes, message.flags.contains(MsgFlags::MSG_TRUNC));
        let text = String::from_utf8_lossy(&bytes[..n]).into_owned();
        let flag = if cut { ", MSG_TRUNC" } else { "" };
        stage.call("server: recvmsg(5 bytes)", &format!("{n}: {text:?}{flag}"));
        got.push((text, cut));
    }
    stage.saw("the first", got[0].0.as_str());
    stage.saw("MSG_TRUNC at the first", got[0].1);
    stage.saw("the second", got[1].0.as_str());
    match got[1].0.as_str() {
        " worl" => Ok(1),
        "next" => Ok(2),
        other => bail!("received {other:?}"),
    }
}
// ANCHOR_END: short-buffer

pub(super) const EMPTY_DATAGRAM: Experiment = Experiment {
    name: "empty-datagram",
    title: "Sending nothing at all",
    level: Level::Later,
    question: "A client calls send(2) with a length of 0, and then sends `after`. The server \
               calls recv(2) three times, the last time without blocking. What does it get?",
    answers: &[
        right(
            "0, then `after`, then EAGAIN",
            "An empty datagram is one: headers without data. recv returns 0 for it, and 0 \
             says nothing about the client, which may send more.",
        ),
        wrong(
            "0, then 0, then 0 again",
            "That is the end of a stream. UDP has no connection, and so no end of one.",
        ),
        wrong(
            "`after`, then EAGAIN, then EAGAIN",
            "On a stream, a send of 0 bytes does nothing. Here it makes a datagram.",
        ),
    ],
    kind: Kind::Kernel,
    run: empty_datagram,
    moral: "A loop `while recv() > 0` ends at an empty datagram, which anybody may send. A \
            protocol can use one as a goodbye, as this chapter's does, but only for the client \
            that sent it.",
    see: "udp(7), recv(2)",
    file: file!(),
    shows: &["empty-datagram"],
};

// ANCHOR: empty-datagram
fn empty_datagram(stage: &Stage) -> Result<usize> {
    let (server, address) = bound()?;
    let client = unbound()?;
    client.connect(address).context("connect")?;
    let _ = send(stage, "client", &client, "");
    let _ = send(stage, "client", &client, "after");
    let first = recv(stage, "server", &server).context("recv")?;
    let second = recv(stage, "server", &server).context("recv")?;
    server.set_nonblocking(true)?;
    let third = recv(stage, "server", &server);
    stage.saw("the first", first.len());
    stage.saw("the second", second.as_str());
    stage.saw("the third", third.as_ref().map(String::len).shown());
    Ok(match (first.as_str(), second.as_str()) {
        ("", "after") => 1,
        ("", "") => 2,
        _ => 3,
    })
}
// ANCHOR_END: empty-datagram

pub(super) const TOO_LARGE: Experiment = Experiment {
    name: "too-large",
    title: "A datagram of 65,508 bytes",
    level: Level::Later,
    question: "The loopback interface carries packets of 65,536 bytes (its MTU). A client \
               calls send(2) with 65,508 bytes on a UDP socket of IPv4. What happens?",
    answers: &[
        wrong(
            "IP sends it in two fragments",
            "IP does that with a datagram that is larger than the MTU, and puts it together at \
             the other end. But this one is larger than any datagram of IP.",
        ),
        wrong("send returns 65,507 bytes", "A datagram goes whole or not at all."),
        right(
            "send returns -1, EMSGSIZE",
            "IP has 16 bits for the length of a packet with its headers: 65,535 less 20 bytes \
             for IP and 8 for UDP are 65,507. Nothing was sent.",
        ),
    ],
    kind: Kind::Kernel,
    run: too_large,
    moral: "65,507 bytes are the most, and far too many: on a network with an MTU of 1,500 that \
            is 45 fragments, and without one of them all is lost. Protocols keep to 1,200 bytes \
            or so.",
    see: "udp(7), send(2), ip(7)",
    file: file!(),
    shows: &["too-large"],
};

// ANCHOR: too-large
fn too_large(stage: &Stage) -> Result<usize> {
    let (server, address) = bound()?;
    let client = unbound()?;
    client.connect(address).context("connect")?;
    let mut returned = Vec::new();
    for size in [65_507, 65_508] {
        let sent = client.send(&vec![b'x'; size]);
        stage.call(format!("client: send({size} bytes)"), &sent);
        returned.push(sent.map_err(|error| error.errno()));
    }
    let came = server.recv(&mut vec![0; 70_000]);
    stage.call("server: recv()", &came);
    stage.saw("65,507 bytes: received", came?);
    stage.saw("65,508 bytes: send", returned[1].shown());
    Ok(match returned[1] {
        Err(Errno::EMSGSIZE) => 3,
        Ok(65_507) => 2,
        _ => 1,
    })
}
// ANCHOR_END: too-large

pub(super) const GAP: Experiment = Experiment {
    name: "gap",
    title: "Three datagrams, of which one is lost",
    level: Level::Later,
    question: "A client sends the datagrams `1`, `2` and `3`. The first is lost: it came before \
               the server had bound its port. Now the server calls recv(2). What does it get?",
    answers: &[
        right(
            "`2`, the first that has come",
            "What has come is there to be read. That is why voice and games take UDP: of an \
             old picture they want no second copy, but the next picture.",
        ),
        wrong(
            "nothing before `1` is sent again",
            "That is TCP: what comes after a gap waits in the kernel until the gap is filled, \
             however urgent it is (head-of-line blocking).",
        ),
        wrong(
            "an error, and after that `2`",
            "The receiver's kernel does not know that there was a first datagram: UDP numbers \
             nothing.",
        ),
    ],
    kind: Kind::Kernel,
    run: gap,
    moral: "UDP beats TCP where late is as bad as lost. If the receiver must know that something \
            is missing, number the messages.",
    see: "udp(7), tcp(7)",
    file: file!(),
    shows: &["gap"],
};

// ANCHOR: gap
fn gap(stage: &Stage) -> Result<usize> {
    let address = nobody()?;
    let (client, _) = bound()?;
    let send = |text: &str| {
        super::send_to(stage, "client", &client, text, ("server", address))
    };
    send("1").context("sendto")?;
    let server = UdpSocket::bind(address).context("bind")?;
    server.set_read_timeout(Some(super::PATIENCE))?;
    stage.event("server", "binds its port");
    send("2").context("sendto")?;
    send("3").context("sendto")?;
    let got = recv(stage, "server", &server);
    stage.saw("received first", got.as_deref().unwrap_or("nothing"));
    let next = recv(stage, "server", &server);
    stage.saw("received next", next.as_deref().unwrap_or("nothing"));
    Ok(match got.as_deref().map_err(Failure::errno) {
        Ok("2") => 1,
        Err(Errno::EAGAIN) => 2,
        _ => 3,
    })
}
// ANCHOR_END: gap

pub(super) const NEXT_LENGTH: Experiment = Experiment {
    name: "next-length",
    title: "How much there is to read",
    level: Level::Deep,
    question: "Three datagrams of 3, 5 and 9 bytes wait in a socket. A program asks how much \
               there is to read: ioctl(FIONREAD). Of a pipe that is the number of all bytes. \
               What does it get here?",
    answers: &[
        wrong("17, the bytes of all three", "That is a pipe, or a stream socket."),
        right(
            "3, the bytes of the first",
            "udp(7): the size of the next pending datagram, which is what one call of recv \
             can bring. Of an empty one that is 0, as when there is none.",
        ),
        wrong("9, the bytes of the largest", "No call asks for that."),
        wrong("3, the number of datagrams", "No call counts them, either."),
    ],
    kind: Kind::Kernel,
    run: next_length,
    moral: "To make room for the next datagram and no more, ask by recv(MSG_PEEK | MSG_TRUNC), \
            which also tells an empty datagram from none.",
    see: "udp(7), recv(2)",
    file: file!(),
    shows: &["next-length"],
};

// ANCHOR: next-length
fn next_length(stage: &Stage) -> Result<usize> {
    let (server, address) = bound()?;
    let client = unbound()?;
    client.connect(address).context("connect")?;
    for text in ["one", "three", "seventeen"] {
        let _ = send(stage, "client", &client, text);
    }
    let pending = ioctl_fionread(&server);
    stage.call("server: ioctl(FIONREAD)", &pending);
    let pending = pending.context("ioctl")?;
    stage.saw("FIONREAD", pending);
    for _ in 0..3 {
        recv(stage, "server", &server).context("recv")?;
    }
    match pending {
        17 => Ok(1),
        3 => Ok(2),
        9 => Ok(3),
        other => bail!("FIONREAD said {other}"),
    }
}
// ANCHOR_END: next-length

pub(super) const LARGER_BUFFER: Experiment = Experiment {
    name: "larger-buffer",
    title: "Asking for a large receive buffer",
    level: Level::Deep,
    question: "The system allows receive buffers of R bytes (net.core.rmem_max). A server asks \
               for ten times as much: setsockopt(SO_RCVBUF, 10 R). What does it get?",
    answers: &[
        wrong("-1, by the error ENOBUFS", "Nothing is refused."),
        wrong(
            "0, and a buffer of 10 R bytes",
            "Only SO_RCVBUFFORCE goes over the limit, and needs CAP_NET_ADMIN.",
        ),
        right(
            "0, and a buffer of 2 R bytes",
            "The kernel takes R in place of 10 R, and doubles it, since it counts its own \
             structures, too. It does not say that this is not what was asked for.",
        ),
        wrong(
            "0, and the buffer it had before",
            "What is too much is cut down to the limit, and the rest is done.",
        ),
    ],
    kind: Kind::Kernel,
    run: larger_buffer,
    moral: "After setsockopt(SO_RCVBUF), read it back with getsockopt(2). And a datagram of 1 \
            byte takes hundreds of bytes of it.",
    see: "socket(7), udp(7)",
    file: file!(),
    shows: &["larger-buffer"],
};

// ANCHOR: larger-buffer
fn larger_buffer(stage: &Stage) -> Result<usize> {
    let most = std::fs::read_to_string("/proc/sys/net/core/rmem_max");
    let most: usize = most.context("read rmem_max")?.trim().parse()?;
    let (server, _) = bound()?;
    let before = getsockopt(&server, RcvBuf).context("SO_RCVBUF")?;
    let wanted = most.saturating_mul(10).min(i32::MAX as usize);
    let set = setsockopt(&server, RcvBuf, &wanted);
    stage.call("setsockopt(SO_RCVBUF, 10 R)", &set);
    let got = getsockopt(&server, RcvBuf).context("SO_RCVBUF")?;
    let shown = if got == 2 * most { "2 R" } else { "another number" };
    stage.call("getsockopt(SO_RCVBUF)", &shown);
    stage.saw("twice the limit", got == 2 * most);
    Ok(match (set, got) {
        (Err(_), _) => 1,
        (_, got) if got == 2 * most => 3,
        (_, got) if got == before => 4,
        _ => 2,
    })
}
// ANCHOR_END: larger-buffer
