//! Several sockets for one port, and one datagram for several.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::socket::sockopt::{Broadcast, ReusePort};
use nix::sys::socket::{self, SockaddrIn, setsockopt};
use rustix::net::sockopt::set_ip_multicast_if;

use super::{bound, recv, send_to, sharing, unbound};
use crate::record::{Failure, Returned};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::ip::set_option;

/// What waits in a socket, to the last.
fn all_of(socket: &UdpSocket) -> Result<Vec<String>> {
    let mut room = [0; 100];
    let mut all = Vec::new();
    while let Ok(n) = socket.recv(&mut room) {
        let text = String::from_utf8_lossy(&room[..n]).into_owned();
        if text == "the last" {
            break;
        }
        all.push(text);
    }
    Ok(all)
}

pub(super) const REUSEADDR: Experiment = Experiment {
    name: "reuseaddr",
    title: "Two servers at one port (SO_REUSEADDR)",
    level: Level::Later,
    question: "Two servers have set SO_REUSEADDR, which most TCP servers set, and have bound the \
               same UDP address, one after the other. Clients send six datagrams to it. Who gets \
               them?",
    answers: &[
        wrong(
            "the first server gets all six of them",
            "It did, until the second was bound.",
        ),
        right(
            "the second server gets all six of them",
            "For UDP the option means that several sockets may have one address. Of those that \
             fit alike, the kernel finds the one that was bound last: it has stolen the port, \
             and neither is told.",
        ),
        wrong(
            "each of the servers gets three of them",
            "SO_REUSEPORT divides them so. It is another option.",
        ),
        wrong(
            "both of the servers get all six of them",
            "That is multicast. A datagram to one machine goes to one socket.",
        ),
    ],
    kind: Kind::Kernel,
    run: reuseaddr,
    moral: "Do not set SO_REUSEADDR on a UDP server, but to share a multicast group: there is no \
            TIME_WAIT to get around. Without it, a second server is told: EADDRINUSE.",
    see: "socket(7), udp(7), bind(2)",
    file: file!(),
    shows: &["reuseaddr"],
};

// ANCHOR: reuseaddr
fn reuseaddr(stage: &Stage) -> Result<usize> {
    let first = sharing((Ipv4Addr::LOCALHOST, 0))?;
    let port = first.local_addr().context("getsockname")?.port();
    let address = (Ipv4Addr::LOCALHOST, port);
    let second = sharing(address);
    stage.call(
        "second: setsockopt(SO_REUSEADDR), bind(the same)",
        &second.as_ref().map_or("-1", |_| "0"),
    );
    let second = second?;
    let (client, _) = bound()?;
    for number in 1..=6 {
        client.send_to(format!("{number}").as_bytes(), address).context("sendto")?;
    }
    stage.event("client", "sends six datagrams");
    client.send_to(b"the last", address).context("sendto")?;
    let to_second = all_of(&second)?;
    first.set_nonblocking(true)?;
    let to_first = all_of(&first)?;
    stage.call("first: datagrams received", &to_first.len());
    stage.call("second: datagrams received", &to_second.len());
    let third = UdpSocket::bind(address).map_err(|error| error.errno());
    let third = third.map(|_| 0);
    stage.call("third: bind(the same), without the option", &third);
    stage.saw("received", vec![to_first.len(), to_second.len()]);
    stage.saw("without the option", third.shown());
    match (to_first.len(), to_second.len()) {
        (6, 0) => Ok(1),
        (0, 6) => Ok(2),
        (6, 6) => Ok(4),
        (1.., 1..) => Ok(3),
        other => bail!("received {other:?}"),
    }
}
// ANCHOR_END: reuseaddr

pub(super) const REUSEPORT: Experiment = Experiment {
    name: "reuseport",
    title: "Two servers at one port (SO_REUSEPORT)",
    level: Level::Later,
    question: "Two servers have set SO_REUSEPORT and bound the same UDP address. Forty clients, \
               each from a port of its own, send two datagrams each. Who gets them?",
    answers: &[
        right(
            "one of the servers gets both of a client",
            "The kernel chooses by a hash of the four numbers of a datagram: both addresses \
             and both ports. So a client stays with its server, and the clients are shared \
             out, about evenly.",
        ),
        wrong(
            "each of the servers gets one of a client",
            "There are no turns: the choice looks at the addresses alone.",
        ),
        wrong(
            "both of the servers get both of a client",
            "That is multicast. A datagram to one machine goes to one socket.",
        ),
        wrong(
            "the server bound last gets all of them",
            "That is SO_REUSEADDR (udp/reuseaddr).",
        ),
    ],
    kind: Kind::Kernel,
    run: reuseport,
    moral: "SO_REUSEPORT gives each worker process a socket of its own. When one is closed or \
            added, some clients change to another worker: what it must remember of them belongs \
            elsewhere.",
    see: "socket(7)",
    file: file!(),
    shows: &["reuseport"],
};

// ANCHOR: reuseport
fn reuseport(stage: &Stage) -> Result<usize> {
    let mut servers = Vec::new();
    let mut port = 0;
    for _ in 0..2 {
        let server = unbound()?;
        setsockopt(&server, ReusePort, &true).context("SO_REUSEPORT")?;
        let address = SockaddrIn::new(127, 0, 0, 1, port);
        socket::bind(server.as_raw_fd(), &address).context("bind")?;
        port = server.local_addr().context("getsockname")?.port();
        servers.push(server);
    }
    let mut clients = Vec::new();
    for number in 1..=40 {
        let (client, _) = bound()?;
        for _ in 0..2 {
            let text = format!("{number}");
            client.send_to(text.as_bytes(), (Ipv4Addr::LOCALHOST, port))?;
        }
        clients.push(client);
    }
    stage.event("clients", "forty of them send two datagrams each");
    let mut got = Vec::new();
    for server in &servers {
        server.set_nonblocking(true)?;
        got.push(all_of(server)?);
    }
    let [one, other] = &got[..] else { bail!("two servers") };
    let all = one.len() + other.len();
    let set = |all: &[String]| all.iter().cloned().collect::<BTreeSet<_>>();
    let split = set(one).intersection(&set(other)).count();
    stage.call("the clients that both servers have heard", &split);
    stage.call("datagrams received by both servers together", &all);
    stage.saw("clients heard by both", split);
    stage.saw("each server has some", !one.is_empty() && !other.is_empty());
    stage.saw("datagrams in all", all);
    Ok(match (split, all) {
        (_, 160) => 3,
        (0, _) if one.is_empty() || other.is_empty() => 4,
        (0, _) => 1,
        _ => 2,
    })
}
// ANCHOR_END: reuseport

pub(super) const BROADCAST_FLAG: Experiment = Experiment {
    name: "broadcast-flag",
    title: "Sending to all of a network",
    level: Level::Later,
    question: "A client calls sendto(2) with the address 127.255.255.255: all machines of the \
               network 127.0.0.0/8. Its socket is as socket(2) made it. What does it get?",
    answers: &[
        right(
            "-1, with the error EACCES",
            "A socket must be allowed to broadcast, by SO_BROADCAST: no privilege, but nobody \
             shall do it by mistake, when an address was mistyped.",
        ),
        wrong(
            "0, since all are addressed",
            "No sendto returns 0 for data that was sent.",
        ),
        wrong(
            "-1, with ENETUNREACH",
            "The network is there: lo has the address 127.0.0.1/8.",
        ),
    ],
    kind: Kind::Kernel,
    run: broadcast_flag,
    moral: "Broadcast stays within one network, and bothers each machine of it. Multicast goes to \
            those that have asked for it; IPv6 has it alone.",
    see: "socket(7), ip(7)",
    file: file!(),
    shows: &["broadcast-flag"],
};

/// All of 127.0.0.0/8.
const BROADCAST: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 255);

// ANCHOR: broadcast-flag
fn broadcast_flag(stage: &Stage) -> Result<usize> {
    let server = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).context("bind")?;
    let port = server.local_addr().context("getsockname")?.port();
    let to = ("127.255.255.255", (BROADCAST, port).into());
    let client = unbound()?;
    let plain = send_to(stage, "client", &client, "to all", to);
    let set = setsockopt(&client, Broadcast, &true);
    stage.call("client: setsockopt(SO_BROADCAST)", &set);
    let allowed = send_to(stage, "client", &client, "to all", to);
    let got = recv(stage, "server", &server).context("recv")?;
    stage.saw("as it was made", plain.shown());
    stage.saw("with SO_BROADCAST", allowed.shown());
    stage.saw("the server got", got.as_str());
    Ok(match plain.map_err(|error| error.errno()) {
        Err(Errno::EACCES) => 1,
        Ok(_) => 2,
        Err(_) => 3,
    })
}
// ANCHOR_END: broadcast-flag

pub(super) const BROADCAST_BOUND: Experiment = Experiment {
    name: "broadcast-bound",
    title: "Who hears a broadcast",
    level: Level::Deep,
    question: "Three sockets of one machine share a port: one is bound to 127.0.0.1, one to \
               0.0.0.0, one to 127.255.255.255. A datagram comes for 127.255.255.255 and that \
               port. Which of them get it?",
    answers: &[
        wrong("the first one, and no other", "It is bound to another address."),
        wrong(
            "the third one, and no other",
            "It gets one. But 0.0.0.0 stands for each address that a datagram can have here.",
        ),
        wrong(
            "the first one and the third one",
            "A socket that is bound to 127.0.0.1 takes what is addressed to 127.0.0.1.",
        ),
        right(
            "the second one and the third one",
            "bind compares the address that a datagram is for. Of a broadcast, each socket \
             that fits gets a copy.",
        ),
    ],
    kind: Kind::Kernel,
    run: broadcast_bound,
    moral: "A program that is to hear broadcasts, or multicasts, binds to 0.0.0.0 or to the very \
            address, and not to the address of its machine.",
    see: "ip(7), bind(2)",
    file: file!(),
    shows: &["broadcast-bound"],
};

// ANCHOR: broadcast-bound
fn broadcast_bound(stage: &Stage) -> Result<usize> {
    let any = sharing((Ipv4Addr::UNSPECIFIED, 0))?;
    let port = any.local_addr().context("getsockname")?.port();
    let own = sharing((Ipv4Addr::LOCALHOST, port))?;
    let all = sharing((BROADCAST, port))?;
    let client = unbound()?;
    setsockopt(&client, Broadcast, &true).context("SO_BROADCAST")?;
    let to = ("127.255.255.255", (BROADCAST, port).into());
    send_to(stage, "client", &client, "to all", to)?;
    // The copies are made one after the other: after the last, nothing more can come.
    let mut heard = vec![false; 3];
    heard[2] = recv(stage, "bound to 127.255.255.255", &all).is_ok();
    heard[1] = recv(stage, "bound to 0.0.0.0", &any).is_ok();
    own.set_nonblocking(true)?;
    heard[0] = recv(stage, "bound to 127.0.0.1", &own).is_ok();
    stage.saw("heard", heard.clone());
    Ok(match heard[..] {
        [true, false, false] => 1,
        [false, false, true] => 2,
        [true, false, true] => 3,
        [false, true, true] => 4,
        _ => bail!("heard {heard:?}"),
    })
}
// ANCHOR_END: broadcast-bound

/// A group of those that an organisation may use as it likes (RFC 2365), and loopback's address.
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 77, 88);

/// A socket that sends to groups by way of the loopback interface alone.
fn multicaster() -> Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("bind")?;
    set_ip_multicast_if(&socket, &Ipv4Addr::LOCALHOST).context("IP_MULTICAST_IF")?;
    Ok(socket)
}

pub(super) const MULTICAST_COPIES: Experiment = Experiment {
    name: "multicast-copies",
    title: "One datagram for a group",
    level: Level::Later,
    question: "Two programs of one machine have bound the same port, with SO_REUSEADDR, and both \
               have joined the group 239.255.77.88 (IP_ADD_MEMBERSHIP). A third sends one datagram \
               to the group and that port. Who gets it?",
    answers: &[
        wrong(
            "the one that was bound last gets it",
            "That is a datagram to one address (udp/reuseaddr).",
        ),
        right(
            "each of them gets a copy of its own",
            "The kernel makes a copy for each socket that fits: this is what SO_REUSEADDR is \
             for in UDP.",
        ),
        wrong(
            "the one that has joined first gets it",
            "The order of joining decides nothing.",
        ),
    ],
    kind: Kind::Kernel,
    run: multicast_copies,
    moral: "Multicast is the one-to-many of networks. Nobody knows who has joined, and each member \
            may miss something that the others got.",
    see: "ip(7), socket(7)",
    file: file!(),
    shows: &["multicast-copies"],
};

// ANCHOR: multicast-copies
fn multicast_copies(stage: &Stage) -> Result<usize> {
    let mut members = Vec::new();
    let mut port = 0;
    for name in ["first", "second"] {
        let member = sharing((Ipv4Addr::UNSPECIFIED, port))?;
        port = member.local_addr().context("getsockname")?.port();
        let joined = member.join_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST);
        stage.call(format!("{name}: setsockopt(IP_ADD_MEMBERSHIP)"), &joined);
        joined?;
        members.push((name, member));
    }
    let client = multicaster()?;
    let to = ("239.255.77.88", (GROUP, port).into());
    send_to(stage, "client", &client, "to the group", to)?;
    let heard = |(name, member): &(&str, _)| recv(stage, name, member).is_ok();
    let got: Vec<_> = members.iter().map(heard).collect();
    stage.saw("got", got.clone());
    Ok(match got[..] {
        [false, true] => 1,
        [true, true] => 2,
        _ => 3,
    })
}
// ANCHOR_END: multicast-copies

pub(super) const UNINVITED: Experiment = Experiment {
    name: "uninvited",
    title: "A group that was never joined",
    level: Level::Deep,
    question: "One program has joined the group 239.255.77.88 at a port. Another program of the \
               machine shares the port: it is bound to 0.0.0.0, and has joined no group. A \
               datagram is sent to the group and that port. Does the other program get it?",
    answers: &[
        right(
            "yes, although it has joined no group",
            "On Linux, joining tells the machine's interface to take the group. What comes in \
             goes to each socket whose address and port fit: 0.0.0.0 fits all \
             (IP_MULTICAST_ALL is 1 in a new socket).",
        ),
        wrong(
            "no, as it has never joined any group",
            "That is what IP_MULTICAST_ALL = 0 makes of it, or a bind to the address of a group.",
        ),
        wrong(
            "yes, if it was bound before the other",
            "The order of the binds decides nothing here.",
        ),
    ],
    kind: Kind::Kernel,
    run: uninvited,
    moral: "Set IP_MULTICAST_ALL to 0, or bind to the group's own address: otherwise you hear the \
            groups of your neighbours at the same port.",
    see: "ip(7)",
    file: file!(),
    shows: &["uninvited"],
};

// ANCHOR: uninvited
fn uninvited(stage: &Stage) -> Result<usize> {
    let first = sharing((Ipv4Addr::UNSPECIFIED, 0))?;
    let port = first.local_addr().context("getsockname")?.port();
    let member = sharing((Ipv4Addr::UNSPECIFIED, port))?;
    let after = sharing((Ipv4Addr::UNSPECIFIED, port))?;
    let joined = member.join_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST);
    stage.call("member: setsockopt(IP_ADD_MEMBERSHIP)", &joined);
    joined?;
    let client = multicaster()?;
    let to = ("239.255.77.88", (GROUP, port).into());
    let mut heard = Vec::new();
    for asks in [true, false] {
        if !asks {
            for other in [&first, &after] {
                set_option(other, libc::IP_MULTICAST_ALL, 0)
                    .context("setsockopt")?;
                other.set_nonblocking(true)?;
            }
            stage.event("the others", "setsockopt(IP_MULTICAST_ALL, 0)");
        }
        send_to(stage, "client", &client, "to the group", to)?;
        recv(stage, "member", &member).context("recv")?;
        heard.push(recv(stage, "bound before it", &first).is_ok());
        heard.push(recv(stage, "bound after it", &after).is_ok());
    }
    stage.saw("heard", heard.clone());
    Ok(match heard[..2] {
        [true, true] => 1,
        [true, false] => 3,
        _ => 2,
    })
}
// ANCHOR_END: uninvited
