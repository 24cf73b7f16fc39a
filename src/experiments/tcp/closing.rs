//! What a client sees of a server that has closed.

use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::socket::sockopt::{RcvBuf, SocketError};
use nix::sys::socket::{self, MsgFlags, getsockopt, setsockopt};
use nix::unistd::read;

use super::{listen, recv, send};
use crate::child::End;
use crate::record::{Failure, Returned};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::signal::reset;
use os::tcp::info;

/// poll(2) until the connection is gone: POLLERR and POLLHUP need not be asked for.
fn until_gone(stage: &Stage, socket: &TcpStream) -> Result<String> {
    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::empty())];
    poll(&mut fds, PollTimeout::from(5000_u16)).context("poll")?;
    let events = fds[0].revents().unwrap_or(PollFlags::empty());
    stage.call("poll(), events", &events);
    Ok(events.shown())
}

pub(super) const ONCE_SERVER: Experiment = Experiment {
    name: "once-server",
    title: "A client that writes to a server which has closed",
    level: Level::Later,
    question: "A server answers one message and closes the connection. A C program, \
               its client, has read the answer and then 0. It never mentions signals. \
               It calls send(2) with no flags; the bytes reach the other side, and it \
               calls send again. What happens?",
    answers: &[
        wrong(
            "the first send kills it by a signal",
            "0 from recv says that the server will send no more. Whether it still \
             reads, TCP cannot tell: it would look the same after a shutdown(2) of one \
             direction. So the first send succeeds: the kernel has the bytes.",
        ),
        right(
            "the second send kills it by a signal",
            "The first send gives its bytes to the kernel, and that is all that its \
             result means. The other side answers them with a reset, since no process \
             has the connection open there. Only a later call can be told of it: by \
             EPIPE, and with EPIPE comes SIGPIPE, whose default action ends the \
             program.",
        ),
        wrong(
            "the second send returns ECONNRESET",
            "A reset is ECONNRESET if it comes first. Here the end of the stream came \
             before it, and then the kernel makes it EPIPE.",
        ),
        wrong(
            "the second send returns the bytes sent",
            "That would be a server that is slow: the bytes wait in its kernel. One \
             that has closed has no buffer.",
        ),
    ],
    kind: Kind::Kernel,
    run: once_server,
    moral: "Ignore SIGPIPE, or send with MSG_NOSIGNAL (Rust and Python ignore it for \
            you). After recv has returned 0, do not send unless your protocol says that \
            the peer still reads; and only an answer proves that a message was \
            received.",
    see: "tcp(7), send(2), signal(7)",
    file: file!(),
    shows: &["once-server"],
};

// ANCHOR: once-server
fn once_server(stage: &Stage) -> Result<usize> {
    let (listener, address) = listen()?;
    let answer_once = |stage: &Stage| {
        let (connection, _) = listener.accept()?;
        recv(stage, &connection)?;
        send(stage, &connection, "answer")?;
        stage.event("server", "closes the connection, and accepts no other");
        drop(connection);
        Ok(())
    };
    let server = stage.fork("server", answer_once)?;
    let client = stage.fork("client", |stage| {
        let connection = TcpStream::connect(address)?;
        send(stage, &connection, "one")?;
        recv(stage, &connection)?;
        let end = recv(stage, &connection)?;
        let after_end = info(&connection)?.state;
        stage.event("client", format!("its connection is in {after_end}"));

        let first = send(stage, &connection, "two");
        let events = until_gone(stage, &connection)?;
        let after_reset = info(&connection)?.state;
        stage.event("client", format!("its connection is in {after_reset}"));
        let error = Errno::from_raw(getsockopt(&connection, SocketError)?);
        stage.call("getsockopt(SO_ERROR)", &error);
        let still = recv(stage, &connection);
        let second = send(stage, &connection, "three");

        stage.saw("after the answer, recv", end.len());
        stage.saw("the first send", first.shown());
        stage.saw("poll then says", events);
        stage.saw("SO_ERROR is", error.shown());
        stage.saw("recv still says", still.map_or(-1, |text| text.len() as i64));
        stage.saw("the second send", second.shown());
        stage.saw("states", vec![after_end, after_reset]);
        Ok(())
    })?;
    server.join()?;
    client.join()?;

    let server = stage.fork("server", answer_once)?;
    let first = stage.path("the first send has returned");
    let client = stage.fork("C client", |stage| {
        reset(libc::SIGPIPE)?; // as it is when a C program's main begins
        let connection = TcpStream::connect(address)?;
        send(stage, &connection, "one")?;
        while !recv(stage, &connection)?.is_empty() {}
        let send = |text: &str| {
            let (fd, flags) = (connection.as_raw_fd(), MsgFlags::empty());
            let sent = socket::send(fd, text.as_bytes(), flags);
            stage.call(format!("send({text:?}), no flags"), &sent);
            sent
        };
        send("two")?;
        std::fs::write(&first, "")?;
        until_gone(stage, &connection)?;
        Ok(send("three").err().map(|error| error as i32))
    })?;
    server.join()?;
    let ended = client.end()?;
    let killed = ended == End::Killed(Signal::SIGPIPE);
    let how = if killed { "killed by SIGPIPE" } else { "goes on" };
    stage.event("C client", format!("send(\"three\"), no flags: {how}"));
    stage.saw("C, without flags, is killed by SIGPIPE", killed);
    stage.saw("by its second send", first.exists());
    match ended {
        End::Killed(Signal::SIGPIPE) if first.exists() => Ok(2),
        End::Killed(Signal::SIGPIPE) => Ok(1),
        End::Done(Some(error)) if error == Errno::ECONNRESET as i32 => Ok(3),
        End::Done(None) => Ok(4),
        other => bail!("the client: {other:?}"),
    }
}
// ANCHOR_END: once-server

pub(super) const UNREAD_DATA: Experiment = Experiment {
    name: "unread-data",
    title: "Answered, but not read to the end",
    level: Level::Later,
    question: "A server reads the first line of a request, sends its answer of 1 MB, as much \
               as send(2) takes at once, and calls close(2). The rest of the request lies \
               unread in its socket. The client reads slowly. What does it get?",
    answers: &[
        right(
            "a part of the answer, then ECONNRESET",
            "The reset goes out at once, and what still waited on the server's side is \
             thrown away. send had said that it was taken.",
        ),
        wrong(
            "the whole answer, then the end of the stream",
            "That is true if everything was read: close sends what is waiting. With \
             data unread the kernel must tell the client that its request was not \
             taken, and it does so by a reset.",
        ),
        wrong(
            "ECONNRESET, and no byte of the answer",
            "A reset does not take back what was sent before it, on Linux: what the \
             client's kernel has received can still be read. Other systems, and a \
             busier network, may lose it too.",
        ),
    ],
    kind: Kind::Kernel,
    run: unread_data,
    moral: "Before close(2): shutdown(SHUT_WR), then read until 0. A server that \
            answers an early error and closes may cut off its own answer.",
    see: "close(2), shutdown(2), tcp(7)",
    file: file!(),
    shows: &["unread-data-broken", "unread-data-cured", "unread-data"],
};

// ANCHOR: unread-data-broken
/// Closes, whatever is left to read.
fn close_at_once(connection: TcpStream) -> Result<()> {
    drop(connection);
    Ok(())
}
// ANCHOR_END: unread-data-broken

// ANCHOR: unread-data-cured
/// Ends the answer by shutdown(2), reads what is left, and closes then.
fn close_in_peace(connection: TcpStream) -> Result<()> {
    connection.shutdown(std::net::Shutdown::Write)?;
    while read(&connection, &mut [0; 4096])? > 0 {}
    drop(connection);
    Ok(())
}
// ANCHOR_END: unread-data-cured

// ANCHOR: unread-data
fn unread_data(stage: &Stage) -> Result<usize> {
    let (taken, got, ended) = ask_one_that(stage, "closes", close_at_once, true)?;
    stage.saw("bytes that send took", taken);
    stage.saw("bytes that came", got);
    stage.saw("and the last recv", ended.as_str());
    let cured = ask_one_that(stage, "reads on", close_in_peace, false)?;
    stage.saw("read to the end, all came", cured.0 == cured.1);
    stage.saw("and then the last recv", cured.2);
    Ok(match (got, ended == "the end") {
        (n, true) if n == taken => 2,
        (0, false) => 3,
        _ => 1,
    })
}

/// Asks a server that answers after the first line and then ends the connection as `close`
/// does; the client reads at once, or late: when the server is gone. Returns how much of
/// the answer was sent, how much came, and how it ended.
fn ask_one_that(
    stage: &Stage,
    server: &'static str,
    close: fn(TcpStream) -> Result<()>,
    late: bool,
) -> Result<(usize, usize, String)> {
    let (listener, address) = listen()?;
    let client = TcpStream::connect(address).context("connect")?;
    setsockopt(&client, RcvBuf, &65_536).context("setsockopt")?;
    send(stage, &client, "first line\nand the rest\n").context("send")?;
    let (gone, ready) = (stage.gate()?, stage.gate()?);
    let serving = stage.fork(server, |stage| {
        let (connection, _) = listener.accept()?;
        let n = read(&connection, &mut [0; 11])?;
        stage.call("recv(), with room for the first line", &n);
        let answer = vec![b'.'; 1_000_000];
        let flags = MsgFlags::MSG_DONTWAIT;
        let taken = socket::send(connection.as_raw_fd(), &answer, flags);
        stage.call("send(1,000,000 bytes, MSG_DONTWAIT)", &taken);
        ready.open(1)?;
        close(connection)?;
        gone.open(1)?;
        Ok(taken?)
    })?;
    ready.pass()?;
    if late {
        gone.pass()?;
        stage.event(server, "has closed");
        until_gone(stage, &client)?;
    } else {
        client.shutdown(std::net::Shutdown::Write).context("shutdown")?;
    }
    let mut got = 0;
    let ended = loop {
        match read(&client, &mut [0; 65_536]) {
            Ok(0) => break "the end".to_owned(),
            Ok(n) => got += n,
            Err(error) => break error.errno().shown(),
        }
    };
    stage.call("recv(), again and again: bytes", &got);
    stage.call("recv(), the last", &ended);
    Ok((serving.join()?, got, ended))
}
// ANCHOR_END: unread-data
