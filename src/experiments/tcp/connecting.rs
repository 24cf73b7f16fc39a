//! What connects a client: the kernel, long before the server's program knows of it.

use std::net::TcpStream;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, SockaddrIn, bind, connect,
    getsockname, listen, socket,
};
use syscalls::Sysno;

use super::{recv, recv_with, send};
use crate::record::Returned;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use crate::until::until;
use os::tcp::{dropped, info};

pub(super) const SECOND_CLIENT: Experiment = Experiment {
    name: "second-client",
    title: "A second client of a server that serves one at a time",
    level: Level::First,
    question: "A server accepts a client and serves it until it leaves; then it accepts the \
               next. While it serves the first, a second client calls connect(2), send(2) \
               and recv(2). Which of its calls is the first that has to wait?",
    answers: &[
        wrong(
            "its connect(2)",
            "connect does not wait until the server has called accept(2): that takes a \
             connection which is made already. The two kernels make it, in three \
             packets, and ask no program.",
        ),
        wrong(
            "its send(2)",
            "The server's kernel receives them, and keeps them for the program that \
             will accept the connection.",
        ),
        right(
            "its recv(2)",
            "The answer is the first thing that needs the server's program. The \
             connection is ESTABLISHED and holds the message. When the first client \
             leaves, accept returns at once, and the message is there.",
        ),
        wrong(
            "none of them",
            "connect would have to be refused for that, and ECONNREFUSED means that no \
             socket listens at the address. A busy server listens.",
        ),
    ],
    kind: Kind::Kernel,
    run: second_client,
    moral: "Connected does not mean served: it means that the server's kernel had room in \
            the queue of listen(2). Only an answer shows that the program is alive.",
    see: "listen(2), accept(2)",
    file: file!(),
    shows: &["second-client"],
};

// ANCHOR: second-client
fn second_client(stage: &Stage) -> Result<usize> {
    let (listener, address) = super::listen()?;
    let server = stage.fork("server", |stage| {
        for _ in 0..2 {
            let (connection, _) = listener.accept()?;
            stage.event("server", "accept() has returned");
            while !recv(stage, &connection)?.is_empty() {
                send(stage, &connection, "answer")?;
            }
        }
        Ok(())
    })?;
    let connected = TcpStream::connect(address).context("connect")?;
    send(stage, &connected, "first").context("send")?;
    recv(stage, &connected).context("recv")?;
    let mut first = Some(connected);

    let second = stage.fork("second", |stage| {
        first = None; // its copy, or the first client could not leave
        let connection = TcpStream::connect(address);
        stage.call("connect()", &connection);
        let Ok(connection) = connection else { return Ok((4, String::new())) };
        let state = info(&connection)?.state;
        stage.event("second", format!("its connection is {state}"));
        stage.saw("state before accept", state);
        let sent = send(stage, &connection, "second");
        stage.saw("sent before accept", sent.is_ok());
        let at_once = recv_with(stage, &connection, MsgFlags::MSG_DONTWAIT);
        stage.saw("answer before accept", at_once.shown());
        let waits = at_once == Err(Errno::EAGAIN);
        let answer = recv(stage, &connection)?; // waits for the server's program
        Ok((if waits { 3 } else { 0 }, answer))
    })?;
    let call = [Sysno::connect, Sysno::sendto, Sysno::recvfrom];
    let sleeps_in = second.until_asleep_in(&call)?;
    stage.event("second", format!("sleeps in {sleeps_in}()"));
    let busy = server.until_asleep_in(&[Sysno::recvfrom]).is_ok();
    stage.saw("meanwhile the server waits for the first", busy);
    stage.event("main", "the first client leaves");
    drop(first);
    let (answer, text) = second.join()?;
    stage.saw("then the second gets", text);
    server.join()?;
    Ok(match sleeps_in {
        Sysno::connect => 1,
        Sysno::sendto => 2,
        _ => answer,
    })
}
// ANCHOR_END: second-client

pub(super) const FULL_BACKLOG: Experiment = Experiment {
    name: "full-backlog",
    title: "Connecting where no server accepts, over TCP",
    level: Level::Later,
    question: "A server called listen(fd, 1), and never calls accept(2). Clients call \
               connect(2) one after the other, without blocking (O_NONBLOCK). How many are \
               connected, and what becomes of the next one?",
    answers: &[
        right(
            "two; the next is left in SYN_SENT",
            "The server's kernel has no room, and drops the request without a word. \
             The client's kernel believes that the packet was lost, and sends it again, \
             after one second for the first time.",
        ),
        wrong(
            "one; the next gets ECONNREFUSED",
            "The number says how many may wait besides the first. And a full queue is \
             no refusal: there may be room in a moment.",
        ),
        wrong(
            "two; the next gets EAGAIN at once",
            "That is true of a Unix socket, where the kernel can look into the \
             server's queue. A TCP client must ask by a packet, and wait for one that \
             answers.",
        ),
    ],
    kind: Kind::Kernel,
    run: full_backlog,
    moral: "A TCP server that is too slow looks like a network that loses packets: connects \
            that take a second, or two, or seven. Count the drops (nstat: ListenDrops), \
            and give listen a larger number.",
    see: "listen(2), tcp(7)",
    file: file!(),
    shows: &["full-backlog"],
};

// ANCHOR: full-backlog
fn full_backlog(stage: &Stage) -> Result<usize> {
    let new = |flags| -> Result<OwnedFd> {
        socket(AddressFamily::Inet, SockType::Stream, flags, None).context("socket")
    };
    let server = new(SockFlag::empty())?;
    bind(server.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).context("bind")?;
    let address: SockaddrIn =
        getsockname(server.as_raw_fd()).context("getsockname")?;
    let queue = Backlog::new(1).context("a backlog")?;
    stage.call("listen(sock, 1)", &listen(&server, queue));

    let mut clients: Vec<OwnedFd> = Vec::new();
    let mut refused = None;
    while dropped(&server)? == 0 && refused.is_none() && clients.len() < 10 {
        let client = new(SockFlag::SOCK_NONBLOCK)?;
        let connected = connect(client.as_raw_fd(), &address);
        let number = clients.len() + 1;
        stage.call(format!("client {number}: connect()"), &connected);
        match connected {
            Ok(()) | Err(Errno::EINPROGRESS) => until_decided(&server, number)?,
            Err(error) => refused = Some(error),
        }
        let state = info(&client)?.state;
        stage.event("main", format!("client {number} is {state}"));
        clients.push(client);
    }
    let next = clients.last().context("a client")?;
    let state = info(next)?.state;
    let (queued, drops) = (info(&server)?.queued, dropped(&server)?);
    stage.event(
        "main",
        format!(
            "the server's socket: {queued} in its queue, {drops} request dropped"
        ),
    );
    stage.saw("connected", queued);
    stage.saw("the next one is", state);
    stage.saw("the server's kernel dropped its request", drops > 0);
    stage.note(format!(
        "listen(2) calls its number the length of the queue, and was given 1: {queued} waited"
    ));
    let retries = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_syn_retries");
    stage.note(format!(
        "a connect that blocks sends its request {} times more, then says ETIMEDOUT \
         (net.ipv4.tcp_syn_retries)",
        retries.context("read tcp_syn_retries")?.trim()
    ));
    let linear =
        std::fs::read_to_string("/proc/sys/net/ipv4/tcp_syn_linear_timeouts");
    stage.note(match linear {
        Ok(times) => format!(
            "it waits a second before each of the first {} or so, and from then on twice as \
             long as before (net.ipv4.tcp_syn_linear_timeouts, new in Linux 6.5)",
            times.trim()
        ),
        Err(_) => "it waits one second, then two, then four, and so on".into(),
    });
    Ok(match (refused, state) {
        (Some(Errno::EAGAIN), _) => 3,
        (None, "SYN_SENT") => 1,
        _ => 2,
    })
}

/// Waits until so many are in the server's backlog, or it has dropped a request.
fn until_decided(server: &OwnedFd, number: usize) -> Result<()> {
    let missing = || "neither connected nor dropped".to_owned();
    until(missing, || {
        let decided = info(server)?.queued >= number as u32 || dropped(server)? != 0;
        Ok(decided.then_some(()))
    })
}
// ANCHOR_END: full-backlog
