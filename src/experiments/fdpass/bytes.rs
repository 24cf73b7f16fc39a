//! The bytes that a descriptor travels with.

use std::os::fd::AsFd;

use anyhow::{Context, Result, bail};
use nix::unistd::read;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketType, recv, send};
use rustix::pipe::{PipeFlags, pipe, pipe_with};

use super::{ONE, open_now, pair, pair_of, pass, take};
use crate::record::Returned;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;

pub(super) const PLAIN_READ: Experiment = Experiment {
    name: "plain-read",
    title: "Receiving with read",
    level: Level::First,
    question: "A process sends one byte and a descriptor over a Unix socket. The receiver \
               does not know of descriptors: it calls read(2), not recvmsg(2). What becomes \
               of the two?",
    answers: &[
        wrong(
            "read gives the byte; recvmsg the descriptor",
            "A descriptor belongs to its bytes. With the byte it leaves the socket, \
             and waits for no recvmsg(2).",
        ),
        wrong(
            "read gives an error; recvmsg gives the two",
            "It would be honest. But read has no place for such news, and is not \
             told.",
        ),
        right(
            "read gives the byte; the descriptor is lost",
            "There is no room for control messages in read(2), so the kernel closes \
             what it cannot deliver. No error, no flag, no trace.",
        ),
        wrong(
            "read gives the byte; the descriptor is there",
            "That is true of recvmsg and a program that does not look. With read \
             nothing is installed in the receiver's table.",
        ),
    ],
    kind: Kind::Kernel,
    run: plain_read,
    moral: "Where descriptors may come, every receive must be a recvmsg with room for them: \
            a buffered reader, or a library that calls read, loses them in silence.",
    see: "unix(7), cmsg(3)",
    file: file!(),
    shows: &["plain-read"],
};

// ANCHOR: plain-read
fn plain_read(stage: &Stage) -> Result<usize> {
    let (here, there) = pair()?;
    // The passed end is the pipe's only writer: the pipe shows when it is closed.
    let (reader, writer) = pipe_with(PipeFlags::NONBLOCK).context("pipe")?;
    let sent = pass(&here, b"x", &[writer.as_fd()]);
    stage.call("sendmsg(\"x\", SCM_RIGHTS {a pipe's write end})", &sent);
    drop(writer);
    let before = open_now()?;
    let got = read(&there, &mut [0; 100]);
    stage.call("read(socket, buffer, 100)", &got);
    let installed = open_now()? - before;
    let then = take(&there, 1, ONE, RecvFlags::DONTWAIT);
    stage.call("recvmsg(socket, &m, MSG_DONTWAIT)", &then);
    let pipe = read(&reader, &mut [0; 1]);
    stage.call("read(the pipe)", &pipe);
    stage.saw("read returned", got.shown());
    stage.saw("descriptors that it brought", installed);
    stage.saw("recvmsg after it", then.shown());
    stage.saw("the write end is closed", pipe == Ok(0));
    match (got, installed, then) {
        (Ok(1), 0, Ok(_)) => Ok(1),
        (Err(_), _, _) => Ok(2),
        (Ok(1), 0, Err(Errno::AGAIN)) => Ok(3),
        (Ok(1), 1.., _) => Ok(4),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: plain-read

pub(super) const BARRIER: Experiment = Experiment {
    name: "barrier",
    title: "Where in the stream is the descriptor?",
    level: Level::Later,
    question: "Over a Unix stream socket a process sends `one`, then `two` with a \
               descriptor, then `three`: three calls of sendmsg(2). Only then does the \
               receiver call recvmsg(2), with room for 100 bytes and a descriptor. What \
               does the first call bring?",
    answers: &[
        wrong(
            "`one`, with no descriptor",
            "That is true of seqpacket and datagram sockets. A stream keeps no \
             boundaries, and there is only half an exception for descriptors.",
        ),
        right(
            "`onetwo`, with the descriptor",
            "A read stops behind a message that had a descriptor, so that no two such \
             messages mix. It does not stop before one: bytes that came earlier are \
             joined to it.",
        ),
        wrong(
            "`onetwothree`, with the descriptor",
            "Then two descriptors, sent one after the other, would come as one \
             message. The kernel ends the read behind `two`.",
        ),
    ],
    kind: Kind::Kernel,
    run: barrier,
    moral: "The descriptor comes with the first byte of its own message, which may not be \
            the first byte of your read; and when it has come, the barrier has gone. Read \
            exactly the bytes that you expect, or use SOCK_SEQPACKET.",
    see: "unix(7)",
    file: file!(),
    shows: &["barrier"],
};

// ANCHOR: barrier
fn barrier(stage: &Stage) -> Result<usize> {
    let (reader, _writer) = pipe().context("pipe")?;
    // All messages, as recvmsg gives them with room for so many bytes.
    let received = |kind, room: usize| {
        let (here, there) = pair_of(kind)?;
        send(&here, b"one", SendFlags::empty()).context("send")?;
        pass(&here, b"two", &[reader.as_fd()]).context("sendmsg")?;
        send(&here, b"three", SendFlags::empty()).context("send")?;
        drop(here);
        let mut all = Vec::new();
        loop {
            let taken = take(&there, room, ONE, RecvFlags::empty());
            let name =
                if kind == SocketType::STREAM { "stream" } else { "seqpacket" };
            stage.call(format!("recvmsg({name}, room for {room})"), &taken);
            let taken = taken.context("recvmsg")?;
            if taken.text.is_empty() {
                return anyhow::Ok(all);
            }
            let with = if taken.descriptors.is_empty() { "" } else { " + fd" };
            all.push(taken.text + with);
        }
    };
    let stream = received(SocketType::STREAM, 100)?;
    stage.saw("a stream, 100 bytes at a time", stream.clone());
    let by_4 = received(SocketType::STREAM, 4)?;
    stage.saw("a stream, 4 bytes at a time", by_4);
    let packets = received(SocketType::SEQPACKET, 100)?;
    stage.saw("seqpacket", packets);
    match stream[0].as_str() {
        "one" => Ok(1),
        "onetwo + fd" => Ok(2),
        "onetwothree + fd" => Ok(3),
        other => bail!("first came {other}"),
    }
}
// ANCHOR_END: barrier

pub(super) const NO_BYTE: Experiment = Experiment {
    name: "no-byte",
    title: "A descriptor and nothing else",
    level: Level::First,
    question: "A process wants to pass a descriptor, and has nothing to say: it calls \
               sendmsg(2) with SCM_RIGHTS and 0 bytes of data, on a Unix stream socket. \
               What does it return, and what does the receiver get?",
    answers: &[
        wrong(
            "-1 with EINVAL; no descriptor",
            "One byte is needed, as unix(7) says. But the kernel does not check it.",
        ),
        wrong(
            "zero; the descriptor, with no byte",
            "That is true of seqpacket and datagram sockets, whose messages may be \
             empty. On a stream 0 means the end.",
        ),
        right(
            "zero; no descriptor and no byte",
            "Nothing of 0 bytes is queued in a stream, and the descriptor has nothing \
             to travel with. 0 is what was asked for, so it is no error.",
        ),
    ],
    kind: Kind::Kernel,
    run: no_byte,
    moral: "Send one byte with each descriptor, whatever it is: `x` or 0 is usual. It \
            also lets the receiver tell a message from the end of the stream.",
    see: "unix(7)",
    file: file!(),
    shows: &["no-byte"],
};

// ANCHOR: no-byte
fn no_byte(stage: &Stage) -> Result<usize> {
    let (reader, _writer) = pipe().context("pipe")?;
    let mut outcomes = Vec::new();
    for (kind, name) in
        [(SocketType::STREAM, "stream"), (SocketType::SEQPACKET, "seqpacket")]
    {
        let (here, there) = pair_of(kind)?;
        let sent = pass(&here, b"", &[reader.as_fd()]);
        stage.call(format!("sendmsg({name}, 0 bytes, SCM_RIGHTS)"), &sent);
        let taken = take(&there, 100, ONE, RecvFlags::DONTWAIT);
        stage.call(format!("recvmsg({name}, &m, MSG_DONTWAIT)"), &taken);
        stage.saw(&format!("{name}: sendmsg"), sent.shown());
        let arrived = taken.as_ref().is_ok_and(|taken| taken.descriptors.len() == 1);
        stage.saw(&format!("{name}: it arrived"), arrived);
        outcomes.push((sent, arrived));
    }
    match outcomes[0] {
        (Err(Errno::INVAL), _) => Ok(1),
        (Ok(0), true) => Ok(2),
        (Ok(0), false) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: no-byte

pub(super) const PEEK_LEAKS: Experiment = Experiment {
    name: "peek-leaks",
    title: "Looking at a message first",
    level: Level::Deep,
    question: "One byte and one descriptor wait in a Unix socket. A careful receiver looks \
               at the message three times with recvmsg(2) and MSG_PEEK, which takes nothing \
               out, and then receives it for good. It gave room for control messages each \
               time. How many descriptors does it have from this?",
    answers: &[
        right(
            "four descriptors",
            "Each peek installed one, and so did the last. Three of them leak, unless \
             the receiver knows and closes them. They keep the file open, the \
             connection alive, the pipe from ending.",
        ),
        wrong(
            "one descriptor",
            "A peek takes nothing out. It still delivers, bytes and descriptors \
             alike.",
        ),
        wrong(
            "two descriptors",
            "The peeks did not give the same number three times. Every recvmsg that \
             delivers a descriptor makes a new one, as dup(2) does. The kernel does not \
             remember which it has made for which receiver.",
        ),
    ],
    kind: Kind::Kernel,
    run: peek_leaks,
    moral: "Peek with recv(2), which has no room for descriptors and gets none, or close \
            what a peek brought.",
    see: "recv(2), unix(7)",
    file: file!(),
    shows: &["peek-leaks-broken", "peek-leaks-cured", "peek-leaks"],
};

// ANCHOR: peek-leaks-broken
/// Looks at the next message, and gets its descriptor each time.
fn peek_with_recvmsg(socket: impl AsFd) -> Result<Vec<std::os::fd::OwnedFd>, Errno> {
    Ok(take(socket, 100, ONE, RecvFlags::PEEK)?.descriptors)
}
// ANCHOR_END: peek-leaks-broken

// ANCHOR: peek-leaks-cured
/// Looks at the bytes of the next message alone.
fn peek_with_recv(socket: impl AsFd) -> Result<Vec<std::os::fd::OwnedFd>, Errno> {
    recv(socket, &mut [0_u8; 100][..], RecvFlags::PEEK).map(|_| Vec::new())
}
// ANCHOR_END: peek-leaks-cured

// ANCHOR: peek-leaks
fn peek_leaks(stage: &Stage) -> Result<usize> {
    let (reader, _writer) = pipe().context("pipe")?;
    let look = |call: &str, recvmsg: bool| {
        let (here, there) = pair()?;
        pass(&here, b"x", &[reader.as_fd()]).context("sendmsg")?;
        let before = open_now()?;
        let mut forgotten = Vec::new(); // as a C program that does not look
        for _ in 0..3 {
            let brought = match recvmsg {
                true => peek_with_recvmsg(&there),
                false => peek_with_recv(&there),
            };
            forgotten.extend(brought.context("peek")?);
            stage.call(call, &format!("{} open", open_now()?));
        }
        let taken = take(&there, 100, ONE, RecvFlags::empty());
        stage.call("recvmsg(socket, &m, 0)", &taken);
        let taken = taken.context("recvmsg")?;
        let in_all = open_now()? - before;
        anyhow::Ok((in_all, taken.descriptors.len()))
    };
    let (broken, last) = look("recvmsg(socket, &m, MSG_PEEK)", true)?;
    let (cured, last_cured) = look("recv(socket, buffer, 100, MSG_PEEK)", false)?;
    stage.saw("with recvmsg and MSG_PEEK", broken);
    stage.saw("with recv and MSG_PEEK", cured);
    stage.saw("the last recvmsg brought it", last == 1 && last_cured == 1);
    match broken {
        1 => Ok(2),
        2 => Ok(3),
        4 => Ok(1),
        other => bail!("{other} descriptors"),
    }
}
// ANCHOR_END: peek-leaks
