//! A peer that vanishes: no FIN comes, and no reset. A filter at both sockets drops all that
//! arrives there, as if the cable between two machines were cut.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::socket::MsgFlags;
use nix::unistd::pause;
use rustix::net::sockopt::{
    set_socket_keepalive, set_tcp_keepcnt, set_tcp_keepidle, set_tcp_keepintvl,
    set_tcp_user_timeout,
};
use syscalls::Sysno;

use super::{listen, recv, recv_with, send};
use crate::child::{Child, PAUSE};
use crate::record::Returned;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::{Gate, Stage};
use crate::until::until;
use os::siocoutq::unread;
use os::tcp::{accept_incoming, drop_incoming, info};

/// SO_KEEPALIVE with the shortest times that there are: a question after a second without a
/// segment, and the end a second after the first one that is not answered.
fn keep_alive(stage: &Stage, socket: &TcpStream) -> Result<()> {
    let second = Duration::from_secs(1);
    set_tcp_keepidle(socket, second)?; // the default is two hours
    set_tcp_keepintvl(socket, second)?; // and 75 seconds
    set_tcp_keepcnt(socket, 1)?; // and 9 questions
    stage.call("setsockopt(SO_KEEPALIVE)", &set_socket_keepalive(socket, true));
    Ok(())
}

pub(super) const VANISHED: Experiment = Experiment {
    name: "vanished",
    title: "A server that is gone, and no packet says so",
    level: Level::Later,
    question: "A client has its answer, and sleeps in recv(2) for more. Now the cable between \
               the two machines is cut, and the server is killed. The client has set no option \
               of its socket. What does its recv do?",
    answers: &[
        wrong(
            "it returns 0, the end of the stream",
            "0 is the server's FIN. Its kernel sends one for a process that is killed, but no \
             packet gets through.",
        ),
        wrong(
            "it returns ECONNRESET, a broken peer",
            "A reset is a packet, too. It would come from a machine that is there, and does not \
             know the connection: one that was started again, and is asked something.",
        ),
        wrong(
            "it returns ETIMEDOUT, a silent peer",
            "That is for one who waits for an acknowledgement. This client has sent nothing \
             that is not acknowledged, so its kernel expects no packet and misses none.",
        ),
        right(
            "it sleeps on, as before the cut",
            "A connection on which nothing is sent costs no packet. So none is missing: it looks \
             the same as a server that has nothing to say, for days. SO_KEEPALIVE has the kernel \
             ask, and an answer that does not come is ETIMEDOUT.",
        ),
    ],
    kind: Kind::Kernel,
    run: vanished,
    moral: "Who waits for a peer and sends nothing does not learn that it is gone. Set SO_KEEPALIVE \
            with times of your own (the default asks after two hours), or let the protocol have \
            a message that is sent now and then, and a deadline for it.",
    see: "tcp(7), socket(7)",
    file: file!(),
    shows: &["vanished-cured", "vanished"],
};

// ANCHOR: vanished-cured
/// A client that asks, and reads what comes after the answer.
fn ask_and_read_on(
    stage: &Stage,
    address: SocketAddr,
    (cut, heard): (bool, &Gate),
    keeps_alive: bool,
) -> Result<String> {
    let connection = TcpStream::connect(address)?;
    if keeps_alive {
        keep_alive(stage, &connection)?;
    }
    send(stage, &connection, "one")?;
    recv(stage, &connection)?;
    if cut {
        drop_incoming(&connection)?;
    }
    heard.open(1)?;
    Ok(recv(stage, &connection).map(|more| more.len()).shown())
}
// ANCHOR_END: vanished-cured

// ANCHOR: vanished
/// A server of so many clients, which keeps them all.
fn answer_all(
    stage: &Stage,
    listener: &TcpListener,
    (cut, clients): (bool, u32),
) -> Result<()> {
    let mut kept = Vec::new();
    for _ in 0..clients {
        let (connection, _) = listener.accept()?;
        recv(stage, &connection)?;
        send(stage, &connection, "answer")?;
        if cut {
            drop_incoming(&connection)?;
        }
        kept.push(connection);
    }
    pause();
    Ok(())
}

fn vanished(stage: &Stage) -> Result<usize> {
    let (listener, address) = listen()?;
    let heard = stage.gate()?;
    let killed = |server: Child<()>, text: &str| -> Result<()> {
        server.until_asleep_in(&[PAUSE])?;
        server.kill(Signal::SIGKILL)?;
        server.end()?;
        stage.event("server", text);
        Ok(())
    };

    let serve = |stage: &Stage| answer_all(stage, &listener, (false, 1));
    let server = stage.fork("server", serve)?;
    let ask =
        |stage: &Stage| ask_and_read_on(stage, address, (false, &heard), false);
    let client = stage.fork("client", ask)?;
    heard.pass()?;
    killed(server, "is killed")?;
    stage.saw("without a cut, recv", client.join()?);

    let serve = |stage: &Stage| answer_all(stage, &listener, (true, 2));
    let server = stage.fork("server", serve)?;
    let ask = |stage: &Stage| ask_and_read_on(stage, address, (true, &heard), false);
    let client: Child<String> = stage.fork("cut off", ask)?;
    let ask = |stage: &Stage| ask_and_read_on(stage, address, (true, &heard), true);
    let asking = stage.fork("SO_KEEPALIVE", ask)?;
    heard.pass()?;
    heard.pass()?;
    killed(server, "is killed, and no packet gets through")?;
    let told = asking.join()?; // which takes two seconds
    let sleeps = client.until_asleep_in(&[Sysno::recvfrom]).is_ok();
    stage.saw("with SO_KEEPALIVE, recv", told);
    stage.saw("by then the other one sleeps in recv", sleeps);
    if sleeps {
        stage.event("cut off", "sleeps on in recv()");
        client.kill(Signal::SIGKILL)?;
        client.end()?;
        return Ok(4);
    }
    let returned = client.join()?;
    Ok(match returned.split(':').next() {
        Some("ECONNRESET") => 2,
        Some("ETIMEDOUT") => 3,
        _ => 1,
    })
}
// ANCHOR_END: vanished

pub(super) const KEEPALIVE_AND_DATA: Experiment = Experiment {
    name: "keepalive-and-data",
    title: "Keepalive, and a request that is on its way",
    level: Level::Deep,
    question: "A client has three connections to a machine that vanishes. A has SO_KEEPALIVE, and is \
               idle. B has SO_KEEPALIVE, and sends a request. C has TCP_USER_TIMEOUT, and sends \
               a request. All times are a few seconds. Which are at an end after these seconds?",
    answers: &[
        wrong(
            "A, B and C",
            "B is not. Its kernel sends the request again and again, with pauses that double, \
             and as long as data waits for an acknowledgement keepalive is not asked.",
        ),
        wrong(
            "A and B, but not C",
            "TCP_USER_TIMEOUT is meant for C: how long data may wait for its acknowledgement. \
             Keepalive does not end B while data waits.",
        ),
        right(
            "A and C, but not B",
            "While data waits for an acknowledgement, no keepalive is sent: the data asks for \
             itself. Then tcp_retries2 counts, which is a quarter of an hour. TCP_USER_TIMEOUT \
             makes it as short as you like, and holds for keepalive as well.",
        ),
        wrong(
            "B and C, but not A",
            "A is the case that keepalive is made for: tcp/vanished.",
        ),
    ],
    kind: Kind::Kernel,
    run: keepalive_and_data,
    moral: "Set both: SO_KEEPALIVE for a connection that is idle, TCP_USER_TIMEOUT for one with data \
            on its way. Neither says what the peer's program does: a machine that is up answers for \
            a program that hangs.",
    see: "tcp(7)",
    file: file!(),
    shows: &["keepalive-and-data"],
};

// ANCHOR: keepalive-and-data
/// Sleeps until poll(2) says that the connection is at an end; how it ended.
fn until_ended(stage: &Stage, name: &str, socket: &TcpStream) -> Result<String> {
    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::empty())];
    let most = PollTimeout::from(8000_u16);
    if poll(&mut fds, most).context("poll")? == 0 {
        return Ok("nothing".into());
    }
    let error = socket.take_error().context("getsockopt")?;
    let error = error.map_or("nothing".into(), |e| Err::<(), _>(e).shown());
    stage.call(format!("{name}: getsockopt(SO_ERROR)"), &error);
    Ok(error)
}

fn keepalive_and_data(stage: &Stage) -> Result<usize> {
    let (listener, address) = listen()?;
    let mut server = Vec::new();
    let mut connected = || -> Result<TcpStream> {
        let client = TcpStream::connect(address).context("connect")?;
        server.push(listener.accept().context("accept")?.0);
        Ok(client)
    };
    let [a, b, c] = [connected()?, connected()?, connected()?];
    keep_alive(stage, &a)?;
    keep_alive(stage, &b)?;
    stage
        .call("setsockopt(TCP_USER_TIMEOUT, 3000)", &set_tcp_user_timeout(&c, 3000));
    for end in server.iter().chain([&a, &b, &c]) {
        drop_incoming(end)?;
    }
    stage.event("server", "has vanished");
    send(stage, &b, "request")?;
    send(stage, &c, "request")?;
    let idle = until_ended(stage, "A", &a)?;
    let limited = until_ended(stage, "C", &c)?;
    // That was a second later. B has the times of A, and has not ended.
    let state = info(&b)?.state;
    let waiting = unread(&b).context("ioctl(SIOCOUTQ)")?;
    stage.event(
        "B",
        format!("is {state}; {waiting} bytes wait for an acknowledgement"),
    );
    stage.saw("A", idle.as_str());
    stage.saw("B", state);
    stage.saw("bytes of B that wait", waiting);
    stage.saw("C", limited.as_str());
    let ended = [&idle, &limited].map(|error| error.starts_with("ETIMEDOUT"));
    Ok(match (ended, state) {
        ([true, true], "ESTABLISHED") => 3,
        ([true, true], _) => 1,
        ([true, false], _) => 2,
        _ => 4,
    })
}
// ANCHOR_END: keepalive-and-data

pub(super) const MENDED_LINK: Experiment = Experiment {
    name: "mended-link",
    title: "A cable that is cut, and mended",
    level: Level::Deep,
    question: "A cable is cut. The client calls send(2), which returns, and its kernel sends \
               the bytes, in vain. Some time later the cable is mended. The client calls nothing \
               more but recv(2). What has become of its connection and of its bytes?",
    answers: &[
        right(
            "it goes on, and its bytes arrive",
            "The client's kernel keeps what is not acknowledged, and sends it again: after 0.2 \
             seconds, then twice as long each time, for a quarter of an hour. Neither program has \
             noticed anything.",
        ),
        wrong(
            "it goes on, but its bytes are lost",
            "That is UDP. A stream has no gaps: what is behind a lost byte is not handed to the \
             program before it.",
        ),
        wrong(
            "it is reset, and its bytes are lost",
            "The two kernels have the connection still, and it has not been cut: packets were \
             lost. A reset comes from a machine that has forgotten the connection.",
        ),
    ],
    kind: Kind::Kernel,
    run: mended_link,
    moral: "TCP outlives a pause of the network, and that is meant. Each timeout that you set also \
            ends connections which would have gone on: choose how long a peer may be away.",
    see: "tcp(7)",
    file: file!(),
    shows: &["mended-link"],
};

// ANCHOR: mended-link
fn mended_link(stage: &Stage) -> Result<usize> {
    let (listener, address) = listen()?;
    let client = TcpStream::connect(address).context("connect")?;
    let (server, _) = listener.accept().context("accept")?;
    let ends = [&client, &server];
    ends.map(drop_incoming).into_iter().collect::<nix::Result<()>>()?;
    stage.event("main", "the cable is cut");
    send(stage, &client, "one")?;
    let missing = || "the bytes are not sent again".to_owned();
    until(missing, || Ok((info(&client)?.data_segments_sent > 2).then_some(())))?;
    stage.event("client", "its kernel has sent the bytes again, and again");
    let at_first = recv_with(stage, &server, MsgFlags::MSG_DONTWAIT);
    ends.map(accept_incoming).into_iter().collect::<nix::Result<()>>()?;
    stage.event("main", "the cable is mended");
    let then = recv(stage, &server); // sleeps until the kernel sends it once more
    stage.saw("while it is cut, recv", at_first.shown());
    stage.saw("then recv", then.shown());
    Ok(match then.as_deref() {
        Ok("one") => 1,
        Ok(_) => 2,
        Err(_) => 3,
    })
}
// ANCHOR_END: mended-link
