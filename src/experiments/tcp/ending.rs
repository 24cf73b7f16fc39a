//! The end of a stream: who must bring it about, and who keeps it away.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use nix::sys::socket;
use syscalls::Sysno;

use super::{listen, recv, send};
use crate::experiments::child::Child;
use crate::experiments::row::{Experiment, Kind, right, wrong};
use crate::experiments::stage::Stage;

pub(super) const HALF_CLOSE: Experiment = Experiment {
    name: "half-close",
    title: "That was all; and now the answer",
    question: "A server adds up what a client sends, and answers with the sum when recv(2) \
               returns 0. The client has sent everything and wants the sum. It has only this \
               one connection. What should it do?",
    answers: &[
        right(
            "call shutdown(SHUT_WR), then recv",
            "A connection is two streams. This ends one of them: the server's recv returns \
             0, and its answer comes back by the other.",
        ),
        wrong(
            "call recv: the server sees that nothing more comes, and answers",
            "It cannot see that. A client that has no more to say looks like one that \
             thinks. Both sides sleep in recv, for ever.",
        ),
        wrong(
            "call close, and then read the answer",
            "close gives up both directions, and the descriptor. The answer would find \
             nobody, and be met by a reset.",
        ),
    ],
    kind: Kind::Kernel,
    run: half_close,
    moral: "shutdown(SHUT_WR) is how to say: that was all. It is also why a server that has \
            read 0 may still send, and why 0 does not mean that the peer has gone.",
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
/// Sends everything, says so, and waits for the sum.
fn send_end_and_wait(stage: &Stage, address: SocketAddr) -> Result<String> {
    let connection = TcpStream::connect(address)?;
    send(stage, &connection, "1 2 3 ")?;
    let ended = socket::shutdown(connection.as_raw_fd(), socket::Shutdown::Write);
    stage.call("shutdown(SHUT_WR)", &ended);
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
    client.until_asleep_in(&[Sysno::recvfrom])?;
    server.until_asleep_in(&[Sysno::recvfrom])?;
    stage.event("both", "sleep in recv()");
    stage.saw("without an end, asleep in recv", 2);
    client.kill(Signal::SIGKILL)?;
    server.kill(Signal::SIGKILL)?;
    client.end()?;
    server.end()?;

    let server = stage.fork("server", add_up)?;
    let client = stage.fork("client", |stage| send_end_and_wait(stage, address))?;
    let answer = client.join()?;
    server.join()?;
    stage.saw("after shutdown(SHUT_WR) the answer is", answer.as_str());

    // The third way: close. The server's answer finds nobody.
    let server = stage.fork("server", add_up)?;
    let closed = TcpStream::connect(address).context("connect")?;
    send(stage, &closed, "1 2 3 ").context("send")?;
    drop(closed);
    stage.event("main", "a client that closes has no descriptor to read from");
    server.join()?;
    Ok(if answer == "6" { 1 } else { 2 })
}
// ANCHOR_END: half-close

pub(super) const FORGOTTEN_CLOSE: Experiment = Experiment {
    name: "forgotten-close",
    title: "A server that forks and keeps the connection",
    question: "A server accepts a connection and forks a child to serve it. The child \
               answers, closes the connection and exits. The parent goes on accepting, and \
               never closes its own copy of the connection. What does the client see after \
               the answer?",
    answers: &[
        wrong(
            "the end of the stream: the process that served it has exited",
            "It has, and its descriptor is closed. But fork(2) had made two descriptors of \
             one connection, and the parent's is open.",
        ),
        right(
            "nothing: recv(2) sleeps for as long as the parent lives",
            "The kernel ends the stream when the last descriptor of it is closed. The \
             parent also loses one descriptor to every client, until accept fails with \
             EMFILE.",
        ),
        wrong(
            "a reset, as nobody serves the connection any more",
            "The kernel does not know who serves. It knows who has it open.",
        ),
    ],
    kind: Kind::Kernel,
    run: forgotten_close,
    moral: "After fork(2) the parent closes the connection and the child the listener. If the \
            end must come whoever else has it open, use shutdown(2): it acts on the \
            connection, not on the descriptor.",
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
    let waiting: Child<usize> = stage.fork("client", client)?;
    let mut kept = fork_and_keep(stage, &listener)?;
    answered.pass()?;
    let sleeps = waiting.until_asleep_in(&[Sysno::recvfrom]).is_ok();
    stage.event("client", "has read the answer, and sleeps in recv()");
    stage.event("main", "closes its copy");
    kept.take();
    let end = waiting.join()?;
    stage.saw("the client slept while the parent kept it", sleeps);
    stage.saw("once it was closed, recv", end);

    let cured: Child<usize> = stage.fork("client", client)?;
    fork_and_close(stage, &listener)?;
    let at_once = cured.join()?;
    stage.saw("with the parent's copy closed, recv", at_once);
    Ok(if sleeps { 2 } else { 1 })
}
// ANCHOR_END: forgotten-close
