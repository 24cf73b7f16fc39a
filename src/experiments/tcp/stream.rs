//! A stream of bytes: what the calls of one side are to the other.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::socket::sockopt::{RcvBuf, SndBuf};
use nix::sys::socket::{MsgFlags, recv, setsockopt};

use super::{listen, send};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::tcp::info;

pub(super) const TWO_SENDS: Experiment = Experiment {
    name: "two-sends",
    title: "Two sends, one recv; one send, many",
    level: Level::First,
    question: "A client sends `one\\n` and `two\\n` by two calls of send(2). When both \
               have come, the server calls recv(2) with room for 100 bytes. Then the \
               client sends 100,000 bytes by one call, and the server calls recv with \
               room for all. What do its two calls get?",
    answers: &[
        wrong(
            "`one\\n`; then all of the 100,000 bytes",
            "That would be messages. TCP carries bytes in order, and forgets by which \
             calls they were sent.",
        ),
        right(
            "`one\\ntwo\\n`; then some of the 100,000 bytes",
            "recv takes what is there, up to the room that it is given, and does not \
             wait for more. What is there depends on buffers, windows and chance.",
        ),
        wrong(
            "`one\\ntwo\\n`; then all of the 100,000 bytes",
            "recv waits until there is something, not until there is everything. \
             MSG_WAITALL asks for that, and even then a signal or the end makes it \
             less.",
        ),
    ],
    kind: Kind::Kernel,
    run: two_sends,
    moral: "Say where a message ends: by a newline, by its length before it, or by the end of \
            the stream. And read in a loop. A program that treats one recv as one message \
            works on loopback with short messages, until the day it does not.",
    see: "tcp(7), recv(2)",
    file: file!(),
    shows: &["two-sends-broken", "two-sends-cured", "two-sends"],
};

// ANCHOR: two-sends-broken
/// Takes one recv(2) for one message.
fn message_by_recv(connection: &TcpStream) -> Result<Vec<u8>> {
    let mut room = vec![0; 200_000];
    let n = recv(connection.as_raw_fd(), &mut room, MsgFlags::empty())?;
    room.truncate(n);
    Ok(room)
}
// ANCHOR_END: two-sends-broken

// ANCHOR: two-sends-cured
/// Calls recv(2) until a newline has come, and keeps what came after it for the next.
fn message_by_newline(connection: &mut BufReader<TcpStream>) -> Result<Vec<u8>> {
    let mut message = Vec::new();
    connection.read_until(b'\n', &mut message)?;
    Ok(message)
}
// ANCHOR_END: two-sends-cured

// ANCHOR: two-sends
fn two_sends(stage: &Stage) -> Result<usize> {
    let (listener, address) = listen()?;
    // A small buffer, so that 100,000 bytes are never there all at once.
    setsockopt(&listener, RcvBuf, &4096).context("setsockopt")?;
    let mut lengths = Vec::new();
    for framed in [false, true] {
        let client = TcpStream::connect(address).context("connect")?;
        setsockopt(&client, SndBuf, &200_000).context("setsockopt")?;
        let (connection, _) = listener.accept().context("accept")?;
        send(stage, &client, "one\n").context("send")?;
        send(stage, &client, "two\n").context("send")?;
        until_there(&connection, 8)?;
        let mut lines = BufReader::new(connection.try_clone().context("dup")?);
        let mut receive = || match framed {
            false => message_by_recv(&connection),
            true => message_by_newline(&mut lines),
        };
        let first = String::from_utf8_lossy(&receive()?).into_owned();
        let how = if framed { "until a newline" } else { "one recv()" };
        stage.call(format!("{how}, after two sends"), &format!("{first:?}"));
        if framed {
            receive()?; // `two`
        }
        let mut long = vec![b'.'; 100_000];
        long[99_999] = b'\n';
        // The kernel takes it all: it has room to send, and little to receive.
        let flags = MsgFlags::MSG_DONTWAIT;
        let sent = nix::sys::socket::send(client.as_raw_fd(), &long, flags);
        stage.call("send(100,000 bytes)", &sent);
        ensure!(sent.context("send")? == long.len(), "a send buffer too small");
        until_there(&connection, 1)?;
        let got = receive()?.len();
        stage.call(format!("{how}, after one send: bytes"), &got);
        stage.saw(&format!("{how}: after two sends"), first.as_str());
        stage.saw(&format!("{how}: of 100,000"), got);
        lengths.push((first.len(), got));
    }
    Ok(match lengths[0] {
        (4, _) => 1,
        (_, 100_000) => 3,
        _ => 2,
    })
}

/// Looks, without taking, until so many bytes are there.
fn until_there(connection: &TcpStream, bytes: usize) -> Result<()> {
    let mut room = [0; 8];
    let deadline = Instant::now() + Duration::from_secs(5);
    while recv(connection.as_raw_fd(), &mut room, MsgFlags::MSG_PEEK)? < bytes {
        ensure!(Instant::now() < deadline, "the bytes have not come");
    }
    Ok(())
}
// ANCHOR_END: two-sends

pub(super) const NAGLE: Experiment = Experiment {
    name: "nagle",
    title: "Three small sends in a row",
    level: Level::Deep,
    question: "A client and a server have exchanged a few messages. Now the client sends a \
               request in three pieces, by three calls of send(2) of one byte each, and \
               waits for the answer. In how many packets do the three bytes travel, if \
               nobody has set an option?",
    answers: &[
        wrong(
            "in three packets",
            "With TCP_NODELAY each send makes a packet. Without it, Nagle's algorithm \
             holds a small packet back while an earlier one is not acknowledged.",
        ),
        right(
            "in two packets",
            "The first byte goes alone, and the rest when that was acknowledged. The \
             server's kernel delays its acknowledgement, to send it along with an \
             answer, and the server cannot answer before it has the rest. So each waits \
             for the other, until the delay runs out: the times below show it.",
        ),
        wrong(
            "in one packet",
            "TCP_CORK and MSG_MORE make the kernel wait a moment for more. By default \
             the first packet goes at once.",
        ),
    ],
    kind: Kind::Kernel,
    run: nagle,
    moral: "Write a request by one call (writev(2) joins pieces). If you must write little \
            by little, and wait for answers in between, set TCP_NODELAY.",
    see: "tcp(7), send(2)",
    file: file!(),
    shows: &["nagle"],
};

// ANCHOR: nagle
fn nagle(stage: &Stage) -> Result<usize> {
    // The delay runs out whether or not this process gets to run, so a run on a busy
    // machine may come too late to see anything held back: repeat until it is seen.
    let (packets, took) = until_seen(stage, false, 2)?;
    let (at_once, took_at_once) = until_seen(stage, true, 3)?;
    stage.event("default", format!("the three bytes went in {packets} packets"));
    stage.event("TCP_NODELAY", format!("they went in {at_once}"));
    stage.saw("packets", packets);
    stage.saw("packets with TCP_NODELAY", at_once);
    stage.note(format!(
        "the answer came after {took:.2} ms by default, and after {took_at_once:.2} ms \
         with TCP_NODELAY"
    ));
    Ok(match packets {
        3 => 1,
        2 => 2,
        _ => 3,
    })
}

fn until_seen(stage: &Stage, nodelay: bool, packets: u32) -> Result<(u32, f64)> {
    let mut seen = (0, 0.0);
    for _ in 0..20 {
        seen = three_sends(stage, nodelay)?;
        if seen.0 == packets {
            break;
        }
    }
    Ok(seen)
}

/// Returns how many packets with data three sends of a byte made, and the milliseconds
/// until the answer.
fn three_sends(stage: &Stage, nodelay: bool) -> Result<(u32, f64)> {
    let (listener, address) = listen()?;
    let server = stage.fork("server", |_| {
        let (connection, _) = listener.accept()?;
        let fd = connection.as_raw_fd();
        let answer = || nix::sys::socket::send(fd, b"!", MsgFlags::empty());
        for _ in 0..4 {
            recv(fd, &mut [0; 1], MsgFlags::MSG_WAITALL)?;
            answer()?;
        }
        recv(fd, &mut [0; 3], MsgFlags::MSG_WAITALL)?;
        Ok(answer()?)
    })?;
    let client = TcpStream::connect(address).context("connect")?;
    client.set_nodelay(nodelay).context("setsockopt")?;
    let fd = client.as_raw_fd();
    let send_byte = || nix::sys::socket::send(fd, b"?", MsgFlags::empty());
    // In its first exchanges a connection is acknowledged at once.
    for _ in 0..4 {
        send_byte().context("send")?;
        recv(fd, &mut [0; 1], MsgFlags::empty()).context("recv")?;
    }
    let before = info(&client)?.data_segments_sent;
    let start = Instant::now();
    for _ in 0..3 {
        send_byte().context("send")?;
    }
    recv(fd, &mut [0; 1], MsgFlags::empty()).context("recv")?;
    let took = start.elapsed().as_secs_f64() * 1000.0;
    let packets = info(&client)?.data_segments_sent - before;
    server.join()?;
    Ok((packets, took))
}
// ANCHOR_END: nagle
