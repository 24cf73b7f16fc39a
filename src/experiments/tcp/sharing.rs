//! Servers that come and go, or are several at once, at one port.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::ReusePort;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, setsockopt, socket,
};

use super::{listen, recv, send};
use crate::child::Child;
use crate::record::Returned;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;

// ANCHOR: two-servers-listen
/// `socket`, `SO_REUSEPORT`, `bind`, `listen`. Each socket at the port must have the option.
fn listen_beside_others(port: u16) -> Result<TcpListener> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let new: OwnedFd = socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
    setsockopt(&new, ReusePort, &true).context("SO_REUSEPORT")?;
    bind(new.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, port)).context("bind")?;
    nix::sys::socket::listen(&new, Backlog::MAXCONN).context("listen")?;
    Ok(new.into())
}
// ANCHOR_END: two-servers-listen

/// Two servers at one port, and its address.
fn two_at_one_port() -> Result<([TcpListener; 2], SocketAddr)> {
    let first = listen_beside_others(0)?;
    let address = first.local_addr().context("getsockname")?;
    Ok(([first, listen_beside_others(address.port())?], address))
}

/// In whose backlog a new client is: poll(2) returns once it is in one.
fn whose(servers: [&TcpListener; 2]) -> Result<usize> {
    let mut fds = servers.map(|one| PollFd::new(one.as_fd(), PollFlags::POLLIN));
    poll(&mut fds, PollTimeout::from(5000_u16)).context("poll")?;
    fds.iter().position(|one| one.any() == Some(true)).context("a client")
}

pub(super) const TWO_SERVERS: Experiment = Experiment {
    name: "two-servers",
    title: "Two servers at one port",
    level: Level::Deep,
    question: "Two servers have set SO_REUSEPORT, and listen at the same address and port. 64 \
               clients connect, one after the other. Both servers accept as fast as they \
               can. Which clients does each server get?",
    answers: &[
        wrong(
            "the first gets all, until it ends",
            "That is how it is in some other systems. In Linux the option shares the load.",
        ),
        wrong(
            "they get one each, turn and turn about",
            "The kernel does not count. It does not look at how busy the servers are, either.",
        ),
        wrong(
            "the one that calls accept first gets it",
            "That is one listening socket that two processes share. Here are two sockets with a \
             backlog each, and the kernel chooses one when the client connects.",
        ),
        right(
            "each gets those that a hash gives to it",
            "The kernel computes a hash of the four numbers of a connection, and takes the server \
             by that. So each gets about a half of many clients, by chance, and the clients of a \
             server that is slow wait for it though the other one is idle.",
        ),
    ],
    kind: Kind::Kernel,
    run: two_servers,
    moral: "SO_REUSEPORT spares many threads or processes the lock of one backlog, and with it the \
            herd (multiplex). It suits servers that are alike and never slow. All of them must be of \
            one user.",
    see: "socket(7), ip(7)",
    file: file!(),
    shows: &["two-servers-listen", "two-servers"],
};

// ANCHOR: two-servers
fn two_servers(stage: &Stage) -> Result<usize> {
    let ([a, b], address) = two_at_one_port()?;
    let mut who = String::new();
    for _ in 0..64 {
        let _client = TcpStream::connect(address).context("connect")?;
        let server = whose([&a, &b])?;
        [&a, &b][server].accept().context("accept")?;
        who.push(['A', 'B'][server]);
    }
    let of_a = who.matches('A').count();
    for line in [&who[..32], &who[32..]] {
        stage.event("main", format!("whose clients: {line}"));
    }
    let in_turn = !who.contains("AA") && !who.contains("BB");
    stage.saw("of 64 clients, A and B got", vec![of_a, 64 - of_a]);
    stage.saw("turn and turn about", in_turn);
    Ok(match of_a {
        0 | 64 => 1,
        _ if in_turn => 2,
        _ => 4,
    })
}
// ANCHOR_END: two-servers

pub(super) const ENDED_SERVER: Experiment = Experiment {
    name: "ended-server",
    title: "Two servers at one port, and one ends",
    level: Level::Deep,
    question: "Two servers have set SO_REUSEPORT, and listen at the same port. A client has \
               connected, and has sent its request; it is in the backlog of server A. A ends, \
               before it has accepted the client. B runs on. What becomes of this client?",
    answers: &[
        wrong(
            "B gets it, with its request",
            "So one would wish it, and net.ipv4.tcp_migrate_req (Linux 5.14) does it. It is 0 as \
             a rule.",
        ),
        right(
            "it is reset: ECONNRESET",
            "The two listening sockets share the port and nothing else. When the last descriptor \
             of one is closed, the kernel resets all connections of its backlog, though they were \
             ESTABLISHED for their clients.",
        ),
        wrong(
            "it waits for a next server A",
            "A backlog belongs to a socket, and the socket of A is gone with its last \
             descriptor.",
        ),
    ],
    kind: Kind::Kernel,
    run: ended_server,
    moral: "A restart behind SO_REUSEPORT loses the clients that wait. For one without a loss let \
            the listening socket live on: another process keeps it, or passes it (tcp/lent-listener, \
            fdpass).",
    see: "socket(7), listen(2)",
    file: file!(),
    shows: &["ended-server"],
};

// ANCHOR: ended-server
fn ended_server(stage: &Stage) -> Result<usize> {
    let ([a, b], address) = two_at_one_port()?;
    // Which server a client gets is chance: most often one of the first two gets A.
    let client = loop {
        let client = TcpStream::connect(address).context("connect")?;
        if whose([&a, &b])? == 0 {
            break client;
        }
        b.accept().context("accept")?;
    };
    send(stage, &client, "request")?;
    stage.event("A", "has the client in its backlog, and ends");
    drop(a);
    let answer = recv(stage, &client);
    let next = TcpStream::connect(address);
    stage.event("a next client", "connects, and B gets it");
    let accepted = next.is_ok() && b.accept().is_ok();
    let setting = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_migrate_req");
    if let Ok(setting) = setting {
        stage.note(format!("net.ipv4.tcp_migrate_req is {} here", setting.trim()));
    }
    stage.saw("the client's recv", answer.shown());
    stage.saw("B serves the next one", accepted);
    Ok(if answer.is_err() { 2 } else { 1 })
}
// ANCHOR_END: ended-server

pub(super) const LENT_LISTENER: Experiment = Experiment {
    name: "lent-listener",
    title: "A restart, and the clients that come meanwhile",
    level: Level::Later,
    question: "A service manager has made a listening socket. It starts a server, which inherits \
               the descriptor, answers one client, and ends. While no server runs, two clients \
               call connect(2) and send(2). Then the manager starts the next server. What \
               have the two clients got?",
    answers: &[
        wrong(
            "from connect ECONNREFUSED",
            "A connect is refused where no socket listens. The manager has the socket open, and \
             the kernel asks no program before it connects a client.",
        ),
        wrong(
            "from recv ECONNRESET",
            "The kernel resets the clients of a backlog when the last descriptor of the listening \
             socket is closed. The manager's is open.",
        ),
        right(
            "from recv their answers",
            "The listening socket and its backlog belong to no server. The clients are connected, \
             their requests wait, and the next server finds them. It is called socket activation; \
             systemd, inetd and launchd do it.",
        ),
    ],
    kind: Kind::Kernel,
    run: lent_listener,
    moral: "Who owns the listening socket decides how long clients can wait. systemd passes it as \
            descriptor 3, with LISTEN_FDS and LISTEN_PID in the environment: then a server may crash, \
            or be replaced, and no client is refused.",
    see: "sd_listen_fds(3), systemd.socket(5), listen(2)",
    file: file!(),
    shows: &["lent-listener"],
};

// ANCHOR: lent-listener
/// A server of so many clients. The listening socket is the manager's.
fn serve(stage: &Stage, listener: &TcpListener, clients: usize) -> Result<()> {
    for _ in 0..clients {
        let (connection, _) = listener.accept()?;
        recv(stage, &connection)?;
        send(stage, &connection, "answer")?;
    }
    Ok(())
}

fn lent_listener(stage: &Stage) -> Result<usize> {
    let (listener, address) = listen()?;
    let ask = |text: &str| -> Result<TcpStream> {
        let client = TcpStream::connect(address).context("connect")?;
        send(stage, &client, text).context("send")?;
        Ok(client)
    };
    let start = |who, clients| -> Result<Child<()>> {
        stage.fork(who, |stage| serve(stage, &listener, clients))
    };
    let first = ask("one")?;
    start("server 1", 1)?.join()?;
    recv(stage, &first).context("recv")?;
    stage.event("server 1", "has ended");
    let waiting = [ask("two")?, ask("three")?];
    start("server 2", 2)?.join()?;
    let answers = waiting.map(|client| recv(stage, &client).shown());
    stage.saw("the two get", answers.to_vec());

    // The same with a server that has made the socket itself.
    let (own, address) = listen()?;
    let waiting = TcpStream::connect(address).context("connect")?;
    drop(own);
    stage.event("server with a socket of its own", "has ended");
    let reset = recv(stage, &waiting).shown();
    let refused = TcpStream::connect(address).map(drop);
    stage.call("connect()", &refused);
    stage.saw("without a manager, the one who waited gets", reset);
    stage.saw("and the next one", refused.shown());
    let answered = answers.iter().all(|answer| answer == "answer");
    Ok(if answered { 3 } else { 2 })
}
// ANCHOR_END: lent-listener
