//! What a TCP connection, and a server that forks, do that people do not expect.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;

use anyhow::{Context, Result};
use nix::sys::socket::{MsgFlags, Shutdown};
use rustix::fs::{FlockOperation, flock};

use super::record::Returned;
use super::row::Experiment;
use super::stage::Stage;

mod closing;
mod connecting;
mod deadlines;
mod ending;
mod forking;
mod ports;
mod sharing;
mod stream;
mod vanishing;

/// The chapter's experiments, in the order of its page.
pub const ALL: &[Experiment] = &[
    stream::TWO_SENDS,
    connecting::SECOND_CLIENT,
    connecting::FULL_BACKLOG,
    ending::HALF_CLOSE,
    closing::ONCE_SERVER,
    closing::UNREAD_DATA,
    ending::FORGOTTEN_CLOSE,
    forking::ZOMBIES,
    forking::ORPHAN,
    ports::TIME_WAIT,
    ports::SELF_CONNECT,
    stream::NAGLE,
    vanishing::VANISHED,
    vanishing::KEEPALIVE_AND_DATA,
    vanishing::MENDED_LINK,
    deadlines::NOW_AND_THEN,
    deadlines::TIMED_OUT_SEND,
    deadlines::CONNECT_TIMEOUT,
    sharing::TWO_SERVERS,
    sharing::ENDED_SERVER,
    sharing::LENT_LISTENER,
];

/// `socket`, `bind`, `listen`: a server on loopback, at a port that the kernel chooses.
fn listen() -> Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("bind")?;
    let address = listener.local_addr().context("getsockname")?;
    Ok((listener, address))
}

/// Held while a send or a shutdown is made and reported, and while a recv is reported: so no
/// report of a recv comes before that of the call which it is the answer to. It goes when it
/// is dropped.
fn floor(stage: &Stage) -> Option<File> {
    let file = File::create(stage.path("floor")).ok()?;
    flock(&file, FlockOperation::LockExclusive).ok()?;
    Some(file)
}

/// send(2) of a text, reported.
fn send(stage: &Stage, socket: &impl AsRawFd, text: &str) -> nix::Result<usize> {
    let bytes = text.as_bytes();
    let _floor = floor(stage);
    let sent =
        nix::sys::socket::send(socket.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL);
    stage.call(format!("send({text:?})"), &sent);
    sent
}

/// shutdown(2), reported.
fn shut_down(
    stage: &Stage,
    socket: &impl AsRawFd,
    how: Shutdown,
) -> nix::Result<()> {
    let _floor = floor(stage);
    let ended = nix::sys::socket::shutdown(socket.as_raw_fd(), how);
    let direction = match how {
        Shutdown::Read => "SHUT_RD",
        Shutdown::Write => "SHUT_WR",
        Shutdown::Both => "SHUT_RDWR",
    };
    stage.call(format!("shutdown({direction})"), &ended);
    ended
}

/// recv(2) with room for 100 bytes, reported. A text that is empty is the end.
fn recv(stage: &Stage, socket: &impl AsRawFd) -> nix::Result<String> {
    recv_with(stage, socket, MsgFlags::empty())
}

/// The same, with flags.
fn recv_with(
    stage: &Stage,
    socket: &impl AsRawFd,
    flags: MsgFlags,
) -> nix::Result<String> {
    let mut room = [0; 100];
    let got = nix::sys::socket::recv(socket.as_raw_fd(), &mut room, flags);
    let _floor = floor(stage);
    let text = got.map(|n| String::from_utf8_lossy(&room[..n]).into_owned());
    let shown = match (&got, &text) {
        (Ok(n @ 1..), Ok(text)) => format!("{n}: {text:?}"),
        (Ok(n), _) => n.to_string(),
        (Err(error), _) => error.shown(),
    };
    let call = match flags.contains(MsgFlags::MSG_DONTWAIT) {
        true => "recv(MSG_DONTWAIT)",
        false => "recv()",
    };
    stage.call(call, &shown);
    text
}
