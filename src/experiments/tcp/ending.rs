//! The end of a stream: which process must make it, and which one keeps it away.

use std::net::{SocketAddr, TcpListener, TcpStream};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use nix::sys::socket::Shutdown;
use syscalls::Sysno;

use super::{listen, recv, send, shut_down};
use crate::child::Child;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;

pub(super) const HALF_CLOSE: Experiment = Experiment {
    name: "half-close",
    title: "That was all; and now the answer",
    level: Level::First,
    question: "A server adds up what a client sends, and answers with the sum when \
               recv(2) returns 0. The client has sent all its numbers, and calls recv \
               for the sum. What happens?",
    answers: &[
        right(
            "both sleep in recv, the client and the server",
            "The server cannot see that nothing more comes: a client that has sent all \
             looks like one that is slow. shutdown(SHUT_WR) tells it. A connection is \
             two streams, and this ends one of them: the server's recv returns 0, and \
             its answer comes back by the other.",
        ),
        wrong(
            "the server's recv returns 0, and the sum comes",
            "It returns 0 when the client has ended its stream, by shutdown(2), \
             close(2) or its exit. The client has not.",
        ),
        wrong(
            "the client's recv returns 0, and no sum comes",
            "0 would mean that the server has ended its stream. Before it has the sum, \
             it does not.",
        ),
    ],
    kind: Kind::Kernel,
    run: half_close,
    moral: "shutdown(SHUT_WR) says: that was all, now answer. (close(2) would give up \
            both directions.) It is also why a server that has read 0 may still send, \
            and why 0 does not mean that the peer has gone.",
    see: "shutdown(2), tcp(7)",
    file: file!(),
    shows: &["half-close-broken", "half-close-cured", "half-close"],
};

// ANCHOR: half-close-broken
/// Sends everything, and waits for the sum.
fn send_and_wait(stage: &Stage, address: SocketAddr) -> Result<String> {
    let connection = TcpStream::connect(address)?;
    send(stage, &connection, "1 2 3 ")?;
    Ok(recv(stage, &connection)?)
}
// ANCHOR_END: half-close-broken

// ANCHOR: half-close-cured
/// Sends everything, then the end of the stream, and waits for the sum.
fn send_end_and_wait(stage: &Stage, address: SocketAddr) -> Result<String> {
    let connection = TcpStream::connect(address)?;
    send(stage, &connection, "1 2 3 ")?;
    shut_down(stage, &connection, Shutdown::Write)?;
    Ok(recv(stage, &connection)?)
}
// ANCHOR_END: half-close-cured

// ANCHOR: half-close
fn half_close(stage: &Stage) -> Result<usize> {
    let (listener, address) = listen()?;
    let heard = stage.gate()?;
    let add_up = |stage: &Stage| {
        let (connection, _) = listener.accept()?;
        let mut text = String::new();
        loop {
            let more = recv(stage, &connection)?;
            if more.is_empty() {
                break;
            }
            text += &more;
            heard.open(1)?;
        }
        let sum: u32 = text.split(' ').filter_map(|n| n.parse::<u32>().ok()).sum();
        Ok(send(stage, &connection, &sum.to_string())?)
    };
    let server: Child<usize> = stage.fork("server", add_up)?;
    let client = stage.fork("client", |stage| send_and_wait(stage, address))?;
    heard.pass()?;
    let client_sleeps = client.until_asleep_in(&[Sysno::recvfrom]).is_ok();
    let server_sleeps = server.until_asleep_in(&[Sysno::recvfrom]).is_ok();
    let asleep = usize::from(client_sleeps) + usize::from(server_sleeps);
    stage.event("main", format!("without an end, {asleep} sleep in recv()"));
    stage.saw("without an end, asleep in recv", asleep);
    client.kill(Signal::SIGKILL)?;
    server.kill(Signal::SIGKILL)?;
    client.end()?;
    server.end()?;

    let server = stage.fork("server", add_up)?;
    let client = stage.fork("client", |stage| send_end_and_wait(stage, address))?;
    let answer = client.join()?;
    server.join()?;
    stage.saw("after shutdown(SHUT_WR) the answer is", answer.as_str());

    // The third way: close. The server's answer finds no socket.
    let server = stage.fork("server", add_up)?;
    let closed = TcpStream::connect(address).context("connect")?;
    send(stage, &closed, "1 2 3 ").context("send")?;
    drop(closed);
    stage.event("main", "a client that closes has no descriptor to read from");
    server.join()?;
    Ok(if asleep == 2 { 1 } else { 2 })
}
// ANCHOR_END: half-close

pub(super) const FORGOTTEN_CLOSE: Experiment = Experiment {
    name: "forgotten-close",
    title: "A server that forks and keeps the connections",
    level: Level::Later,
    question: "A server forks a child for each client, and forgets to close its own \
               copies of the connections. One child answers client A, calls close(2) \
               and exits; another answers client B, calls shutdown(2) and exits. Which \
               client sees the end of the stream?",
    answers: &[
        wrong(
            "A sees it, and B does not",
            "A's child has closed its descriptor. But fork(2) had made two descriptors \
             of one connection, and the parent's is open: close ends the stream only \
             when it closes the last one.",
        ),
        right(
            "B sees it, and A does not",
            "shutdown acts on the connection, however many descriptors of it are open. \
             close acts on one descriptor, so A's recv(2) sleeps for as long as the \
             parent keeps its copy. The parent also loses a descriptor to every client, \
             until accept fails with EMFILE.",
        ),
        wrong(
            "A sees it, and so does B",
            "The exit of the process that served it does not end a connection. The \
             kernel does not know who serves; it knows who has it open.",
        ),
        wrong(
            "B sees nothing, nor does A",
            "That is true of A. shutdown ends the stream although the parent has the \
             connection open.",
        ),
    ],
    kind: Kind::Kernel,
    run: forgotten_close,
    moral: "After fork(2) the parent closes the connection and the child the listener. \
            If the end must come whichever process has a copy, use shutdown(2).",
    see: "fork(2), close(2), shutdown(2)",
    file: file!(),
    shows: &["forgotten-close-broken", "forgotten-close-cured", "forgotten-close"],
};

// ANCHOR: forgotten-close-broken
/// Lets a child serve; returns the connection, which is still open here.
fn fork_and_keep(
    stage: &Stage,
    listener: &TcpListener,
) -> Result<Option<TcpStream>> {
    let (connection, _) = listener.accept()?;
    let child =
        stage.fork("child", |stage| Ok(send(stage, &connection, "hello")?))?;
    child.join()?;
    stage.event("child", "has exited");
    Ok(Some(connection))
}
// ANCHOR_END: forgotten-close-broken

// ANCHOR: forgotten-close-cured
/// Lets a child serve, and closes the connection at once.
fn fork_and_close(
    stage: &Stage,
    listener: &TcpListener,
) -> Result<Option<TcpStream>> {
    let (connection, _) = listener.accept()?;
    let child =
        stage.fork("child", |stage| Ok(send(stage, &connection, "hello")?))?;
    drop(connection);
    child.join()?;
    stage.event("child", "has exited");
    Ok(None)
}
// ANCHOR_END: forgotten-close-cured

// ANCHOR: forgotten-close
fn forgotten_close(stage: &Stage) -> Result<usize> {
    let (listener, address) = listen()?;
    let answered = stage.gate()?;
    let client = |stage: &Stage| {
        let connection = TcpStream::connect(address)?;
        recv(stage, &connection)?;
        answered.open(1)?;
        Ok(recv(stage, &connection)?.len())
    };
    let waiting: Child<usize> = stage.fork("A", client)?;
    let mut kept = fork_and_keep(stage, &listener)?;
    answered.pass()?;
    let sleeps = waiting.until_asleep_in(&[Sysno::recvfrom]).is_ok();
    stage.event("A", "has read the answer, and sleeps in recv()");
    stage.event("main", "closes its copy");
    kept.take();
    let end = waiting.join()?;
    stage.saw("A slept while the parent kept it", sleeps);
    stage.saw("once it was closed, recv", end);

    // The parent keeps its copy again, and the child ends the stream itself.
    let ended: Child<usize> = stage.fork("B", client)?;
    let (connection, _) = listener.accept().context("accept")?;
    let child = stage.fork("child", |stage| {
        send(stage, &connection, "hello")?;
        Ok(shut_down(stage, &connection, Shutdown::Both)?)
    })?;
    child.join()?;
    let end = ended.join()?; // it would sleep on, if shutdown did not end the stream
    drop(connection);
    stage.saw("after shutdown in the child, recv", end);

    let cured: Child<usize> = stage.fork("client", client)?;
    fork_and_close(stage, &listener)?;
    let at_once = cured.join()?;
    stage.saw("with the parent's copy closed, recv", at_once);
    Ok(match (sleeps, end) {
        (true, 0) => 2,
        (false, 0) => 3,
        (true, _) => 4,
        (false, _) => 1,
    })
}
// ANCHOR_END: forgotten-close
