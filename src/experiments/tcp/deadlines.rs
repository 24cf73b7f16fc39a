//! Calls that end after a time: what the time is for, and what was done by then.

use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::{SendTimeout, SocketError};
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, Shutdown, SockFlag, SockType, SockaddrIn,
    accept, bind, connect, getsockname, getsockopt, setsockopt, shutdown, socket,
};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::unistd::close;
use rustix::net::sockopt::{
    set_socket_recv_buffer_size, set_socket_send_buffer_size,
};

use super::listen;
use crate::record::Returned;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use crate::until::until;
use os::tcp::info;

pub(super) const NOW_AND_THEN: Experiment = Experiment {
    name: "now-and-then",
    title: "A timeout of two seconds, and a slow sender",
    level: Level::Later,
    question: "A client reads an answer of 12 bytes by recv(2), and has set SO_RCVTIMEO to two \
               seconds. The server sends a byte, waits for a fifth of a second, sends the next, \
               and so on. What does the client get?",
    answers: &[
        wrong(
            "EAGAIN, once two seconds are over",
            "The option is a limit for one call. Each call returns with a byte, and the next \
             one has two seconds of its own.",
        ),
        right(
            "all bytes, after more than two seconds",
            "SO_RCVTIMEO is for one recv: it ends a silence, not a conversation. A server that \
             sends a byte now and then, from malice or because it is overloaded, holds the client \
             for as long as it likes.",
        ),
        wrong(
            "the bytes of two seconds, and then 0",
            "0 is the end of the stream, and only the server can send that.",
        ),
    ],
    kind: Kind::Kernel,
    run: now_and_then,
    moral: "A deadline is a time, not a pause: note when it is, and give each call what is left \
            until then, by poll(2). The same holds for connect, and for send.",
    see: "socket(7), poll(2)",
    file: file!(),
    shows: &["now-and-then-broken", "now-and-then-cured", "now-and-then"],
};

const ANSWER: usize = 12;
const LIMIT: Duration = Duration::from_secs(2);

// ANCHOR: now-and-then-broken
/// Reads the answer; each recv may take as long as `LIMIT`.
fn read_with_timeout(socket: &TcpStream) -> nix::Result<usize> {
    let mut got = 0;
    while got < ANSWER {
        match receive(socket)? {
            0 => break,
            n => got += n,
        }
    }
    Ok(got)
}
// ANCHOR_END: now-and-then-broken

// ANCHOR: now-and-then-cured
/// Reads the answer; all of it may take until `deadline`.
fn read_by(socket: &TcpStream, deadline: Instant) -> nix::Result<usize> {
    let mut got = 0;
    while got < ANSWER {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        if left == PollTimeout::ZERO || poll(&mut fds, left)? == 0 {
            return Err(Errno::ETIMEDOUT);
        }
        match receive(socket)? {
            0 => break,
            n => got += n,
        }
    }
    Ok(got)
}
// ANCHOR_END: now-and-then-cured

fn receive(socket: &TcpStream) -> nix::Result<usize> {
    nix::sys::socket::recv(socket.as_raw_fd(), &mut [0; 100], MsgFlags::empty())
}

// ANCHOR: now-and-then
fn now_and_then(stage: &Stage) -> Result<usize> {
    let (listener, address) = listen()?;
    let server = stage.fork("server", |stage| {
        for _ in 0..2 {
            let (connection, _) = listener.accept()?;
            let byte = || {
                let (fd, flags) = (connection.as_raw_fd(), MsgFlags::MSG_NOSIGNAL);
                nix::sys::socket::send(fd, b".", flags)
            };
            let sent = (0..ANSWER).take_while(|_| {
                std::thread::sleep(LIMIT / 10); // for the slow sender that it is
                byte().is_ok()
            });
            let sent = sent.count();
            stage.event("server", format!("has sent {sent} times a byte"));
        }
        Ok(())
    })?;
    let began = Instant::now();
    let client = TcpStream::connect(address).context("connect")?;
    client.set_read_timeout(Some(LIMIT)).context("setsockopt")?;
    let got = read_with_timeout(&client);
    let longer = began.elapsed() > LIMIT;
    stage.call("SO_RCVTIMEO of 2 s: all recv() together", &got);
    drop(client);

    let began = Instant::now();
    let client = TcpStream::connect(address).context("connect")?;
    let by = read_by(&client, began + LIMIT / 2);
    stage.call("a deadline in 1 s: all poll(), recv() together", &by);
    drop(client);
    server.join()?;
    stage.saw("with SO_RCVTIMEO, bytes", got.shown());
    stage.saw("after more than its two seconds", longer);
    stage.saw("with a deadline", by.shown());
    match got {
        Err(Errno::EAGAIN) => Ok(1),
        Ok(ANSWER) => Ok(2),
        Ok(_) => Ok(3),
        Err(error) => bail!("recv: {error}"),
    }
}
// ANCHOR_END: now-and-then

pub(super) const TIMED_OUT_SEND: Experiment = Experiment {
    name: "timed-out-send",
    title: "A send that has run out of time",
    level: Level::Deep,
    question: "A server does not read. A client has set SO_SNDTIMEO to a fifth of a second, and \
               calls send(2) with 1,000,000 bytes, for which the sockets have no room. The time \
               runs out. What does this send return?",
    answers: &[
        wrong(
            "EAGAIN; no byte of it is sent",
            "EAGAIN is what the next send returns, for which there is no room at all. This one \
             has given a part of its bytes to the kernel.",
        ),
        wrong(
            "EAGAIN; a part of it is sent",
            "So it would be if send had two results. It has one, and as in read(2) and write(2) \
             a part that is done goes before an error.",
        ),
        right(
            "a number; a part of it is sent",
            "send has given a part of the bytes to the kernel, and returns how many. They cannot \
             be taken back, and will arrive if the server reads. The error comes by a later send.",
        ),
    ],
    kind: Kind::Kernel,
    run: timed_out_send,
    moral: "After a timeout a part of a message may be on its way. A library's write_all or sendall \
            does not say how much: close the connection then, for the next message would begin in \
            the middle of this one.",
    see: "send(2), socket(7)",
    file: file!(),
    shows: &["timed-out-send"],
};

// ANCHOR: timed-out-send
fn timed_out_send(stage: &Stage) -> Result<usize> {
    let (listener, address) = listen()?;
    // Little room: what a socket holds differs from machine to machine.
    set_socket_recv_buffer_size(&listener, 16 << 10)?;
    let client = TcpStream::connect(address).context("connect")?;
    set_socket_send_buffer_size(&client, 16 << 10)?;
    let (server, _) = listener.accept().context("accept")?;
    client.set_write_timeout(Some(Duration::from_millis(200)))?;
    let message = vec![b'x'; 1_000_000];
    let send = |bytes: &[u8]| {
        let (fd, flags) = (client.as_raw_fd(), MsgFlags::MSG_NOSIGNAL);
        nix::sys::socket::send(fd, bytes, flags)
    };
    let first = send(&message);
    stage.call("send(1,000,000 bytes)", &first);
    let mut sent = first.unwrap_or(0);
    let error = loop {
        let next = send(&message[sent..]);
        stage.call("send(the rest)", &next);
        match next {
            Ok(n) => sent += n,
            Err(error) => break error,
        }
    };
    shutdown(client.as_raw_fd(), Shutdown::Write)?;
    let arrived =
        std::io::copy(&mut &server, &mut std::io::sink()).context("recv")?;
    stage.call("the server: all recv() together", &arrived);
    let part = 0 < sent && sent < message.len();
    stage.saw("the first send returned a part", part);
    stage.saw("the last send", error.shown());
    stage.saw("what arrived is what they returned", arrived == sent as u64);
    Ok(match (first, arrived) {
        (Err(_), 0) => 1,
        (Err(_), _) => 2,
        (Ok(_), _) => 3,
    })
}
// ANCHOR_END: timed-out-send

pub(super) const CONNECT_TIMEOUT: Experiment = Experiment {
    name: "connect-timeout",
    title: "A connect that has run out of time",
    level: Level::Deep,
    question: "The backlog of a server is full, and its kernel drops the request of a client. The \
               client has set SO_SNDTIMEO to a fifth of a second, and calls connect(2). The time \
               runs out. What does its connect return, and what becomes of the attempt?",
    answers: &[
        wrong(
            "ETIMEDOUT, and the attempt is at its end",
            "ETIMEDOUT comes when the kernel itself gives up, after some requests and a minute or \
             two (tcp_syn_retries).",
        ),
        right(
            "EINPROGRESS, and the attempt goes on",
            "It is as with O_NONBLOCK: the program no longer waits, the kernel does. It sends the \
             request again, and when the server has room the socket is connected. poll(2) with \
             POLLOUT tells of it, and SO_ERROR how it went.",
        ),
        wrong(
            "EAGAIN, and the attempt is over",
            "That is what a full backlog is for a Unix socket that does not block, and what a recv \
             or a send gets whose time runs out.",
        ),
    ],
    kind: Kind::Kernel,
    run: connect_timeout,
    moral: "To limit a connect, set O_NONBLOCK, call it, and wait in poll for what is left of the time; \
            then ask SO_ERROR. Who gives up closes the socket, or it may be connected yet, with nobody \
            who knows.",
    see: "connect(2), socket(7)",
    file: file!(),
    shows: &["connect-timeout"],
};

// ANCHOR: connect-timeout
fn connect_timeout(stage: &Stage) -> Result<usize> {
    let new = || -> Result<OwnedFd> {
        let flags = SockFlag::SOCK_CLOEXEC;
        socket(AddressFamily::Inet, SockType::Stream, flags, None).context("socket")
    };
    let server = new()?;
    bind(server.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).context("bind")?;
    let address: SockaddrIn =
        getsockname(server.as_raw_fd()).context("getsockname")?;
    nix::sys::socket::listen(&server, Backlog::new(0)?).context("listen")?;
    let first = new()?;
    connect(first.as_raw_fd(), &address).context("connect")?;
    let missing = || "the backlog does not fill".to_owned();
    until(missing, || Ok((info(&server)?.queued > 0).then_some(())))?;
    stage.event("main", "the backlog is full");

    let client = new()?;
    setsockopt(&client, SendTimeout, &TimeVal::milliseconds(200))?;
    let connected = connect(client.as_raw_fd(), &address);
    stage.call("connect(), with SO_SNDTIMEO of 200 ms", &connected);
    let state = info(&client)?.state;
    stage.event("main", format!("the socket is in {state}"));
    close(accept(server.as_raw_fd()).context("accept")?)?;
    stage.event("server", "accepts, and has room again");
    let mut fds = [PollFd::new(client.as_fd(), PollFlags::POLLOUT)];
    poll(&mut fds, PollTimeout::from(8000_u16)).context("poll")?;
    let error = Errno::from_raw(getsockopt(&client, SocketError)?);
    let later = info(&client)?.state;
    stage.event("main", format!("the socket is in {later}"));
    stage.saw("connect", connected.shown());
    stage.saw("the socket was in", state);
    stage.saw("SO_ERROR in the end is 0", error as i32 == 0);
    stage.saw("the socket is in", later);
    Ok(match connected {
        Err(Errno::ETIMEDOUT) => 1,
        Err(Errno::EINPROGRESS) => 2,
        Err(Errno::EAGAIN) => 3,
        other => bail!("connect: {other:?}"),
    })
}
// ANCHOR_END: connect-timeout
