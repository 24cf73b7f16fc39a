//! The exercises of the chapter udp.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use wire::say::bytes;

use super::partner::Partner;
use super::row::Exercise;

mod again;
mod both;
mod long;
mod once;

/// The exercises.
pub(super) const ALL: &[Exercise] = &[long::ROW, again::ROW, once::ROW, both::ROW];

/// Far longer than a program takes that is to do something now.
const PATIENCE: Duration = Duration::from_secs(6);

/// A socket of the partner's, connected to the learner's server.
fn connected(partner: &Partner) -> Result<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0").context("bind")?;
    let connected = socket.connect(partner.scene.place());
    partner.call("connect(PLACE): UDP", connected)?;
    socket.set_nonblocking(true).context("fcntl")?;
    Ok(socket)
}

/// A datagram, with its number and its length.
fn datagram(number: usize, message: &str) -> String {
    format!("{number} {} {message}", message.len())
}

/// Sends a datagram, and logs it.
fn send(partner: &Partner, socket: &UdpSocket, text: &str) -> Result<()> {
    let sent = socket.send(text.as_bytes());
    partner.call(&format!("send({})", bytes(text.as_bytes())), sent).map(drop)
}

/// Sleeps until the first datagram comes: the learner's client starts once the partner sleeps.
fn first(partner: &Partner, socket: &UdpSocket) -> Result<(Vec<u8>, SocketAddr)> {
    let mut data = vec![0; 1 << 16];
    let (n, from) = socket.recv_from(&mut data).context("recvfrom")?;
    socket.set_nonblocking(true).context("fcntl")?;
    data.truncate(n);
    partner.log(&format!("recvfrom() = {n}: {}", bytes(&data)));
    Ok((data, from))
}

/// Waits, awake, for the next datagram; `None` if none comes in a long time. Awake, since a
/// client that waits for an answer sleeps, and all would seem to sleep for good.
fn next(
    partner: &Partner,
    socket: &UdpSocket,
) -> Result<Option<(Vec<u8>, SocketAddr)>> {
    let until = Instant::now() + PATIENCE;
    let mut data = vec![0; 1 << 16];
    while Instant::now() < until {
        match socket.recv_from(&mut data) {
            Ok((n, from)) => {
                data.truncate(n);
                partner.log(&format!("recvfrom() = {n}: {}", bytes(&data)));
                return Ok(Some((data, from)));
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(5)); // which is no sleep for good
            }
            Err(error) => return Err(error).context("recvfrom"),
        }
    }
    Ok(None)
}

/// Wants this datagram to come back next.
fn answered(partner: &Partner, socket: &UdpSocket, text: &str) -> Result<()> {
    let shown = bytes(text.as_bytes());
    match next(partner, socket)? {
        Some((data, _)) if data == text.as_bytes() => Ok(()),
        Some((data, _)) => partner.wrong(&format!(
            "Your server sent {} where {shown} was due.",
            bytes(&data)
        )),
        None => partner.wrong(&format!("Your server did not send {shown} back.")),
    }
}

/// Sends a datagram that must come back.
fn ask(partner: &Partner, client: &UdpSocket, text: &str) -> Result<()> {
    send(partner, client, text)?;
    answered(partner, client, text)
}

/// Ends the server, which would serve for ever.
fn end(partner: &Partner) -> Result<()> {
    partner.signal(partner.learner("server")?, Signal::SIGTERM, "that was all")
}
