//! Which answer is to which question, and how often a request is carried out.

use std::io::IoSliceMut;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg};
use nix::sys::time::{TimeSpec, TimeValLike};
use syscalls::Sysno;

use super::{bound, recv, send, send_to, unbound};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::proc::{Activity, activity};

pub(super) const TWICE: Experiment = Experiment {
    name: "twice",
    title: "An answer that is lost",
    level: Level::First,
    question: "A server keeps a balance, which is 0. A client asks it to `add 10`. The server \
               does, and its answer is lost on the way. The client waits in vain, as careful \
               clients do, asks again by the same datagram, and gets an answer. What is the \
               balance now?",
    answers: &[
        wrong(
            "0: a request without an answer is undone",
            "Nothing undoes it. The server does not know that its answer was lost.",
        ),
        wrong(
            "10: the kernel drops the second datagram",
            "UDP numbers nothing. For the kernel these are two datagrams, which happen to hold \
             the same.",
        ),
        right(
            "20: the server has carried it out twice",
            "The client cannot know which of the two was lost, its datagram or the answer. If it \
             asks again, a request may be carried out twice; if not, not at all.",
        ),
    ],
    kind: Kind::Kernel,
    run: twice,
    moral: "Give each request a number. The server remembers the last number of each client with \
            its answer, and answers the same number with the same answer: at most once. Or make \
            requests that may be carried out twice: `set 10`.",
    see: "udp(7)",
    file: file!(),
    shows: &["twice-broken", "twice-cured"],
};

// ANCHOR: twice-broken
fn twice(stage: &Stage) -> Result<usize> {
    let plain = ask_until_answered(stage, "add 10", |balance, _| {
        *balance += 10;
        balance.to_string()
    })?;
    let cured = numbered(stage)?;
    stage.saw("the balance", plain);
    stage.saw("with a number in each request", cured);
    match plain {
        0 => Ok(1),
        10 => Ok(2),
        20 => Ok(3),
        other => bail!("the balance is {other}"),
    }
}

/// A client sends `request` until it is answered; the network loses the first answer. Returns the
/// server's balance.
fn ask_until_answered(
    stage: &Stage,
    request: &str,
    mut carry_out: impl FnMut(&mut i64, &str) -> String,
) -> Result<i64> {
    let (server, address) = bound()?;
    let client = unbound()?;
    client.connect(address).context("connect")?;
    let mut balance = 0;
    for loses in [true, false] {
        send(stage, "client", &client, request)?;
        let mut room = [0; 100];
        let (n, from) = server.recv_from(&mut room).context("recvfrom")?;
        let text = String::from_utf8_lossy(&room[..n]).into_owned();
        let answer = carry_out(&mut balance, &text);
        stage.event("server", format!("got {text:?}, and answers {answer:?}"));
        match loses {
            true => stage.event("network", "loses the answer"),
            false => {
                drop(send_to(stage, "server", &server, &answer, ("client", from)))
            }
        }
    }
    recv(stage, "client", &client).context("recv")?;
    Ok(balance)
}
// ANCHOR_END: twice-broken

// ANCHOR: twice-cured
fn numbered(stage: &Stage) -> Result<i64> {
    // The last number of this client, and the answer to it.
    let mut last = (String::new(), String::new());
    ask_until_answered(stage, "7: add 10", |balance, request| {
        let (number, _) = request.split_once(": ").unwrap_or_default();
        if last.0 != number {
            *balance += 10;
            last = (number.to_owned(), format!("{number}: {balance}"));
        }
        last.1.clone()
    })
}
// ANCHOR_END: twice-cured

pub(super) const LATE_ANSWER: Experiment = Experiment {
    name: "late-answer",
    title: "A second question, after no answer came",
    level: Level::First,
    question: "A client asks for the price of `tea`. No answer comes in time: the server is slow. \
               The client gives up, and asks on the same socket for the price of `gold`. Now the \
               server answers both, in order. The client calls recv(2) once. Which price does it \
               take for that of gold?",
    answers: &[
        right(
            "the price of tea, which was late",
            "The socket gives what came first. Nothing in a datagram says which question it \
             answers, unless the program has put it there.",
        ),
        wrong(
            "the price of gold, asked last",
            "Giving up was the program's own affair. The socket knows nothing of it, and keeps \
             what comes.",
        ),
        wrong(
            "none, as two answers have come",
            "They wait in the buffer, one behind the other.",
        ),
    ],
    kind: Kind::Kernel,
    run: late_answer,
    moral: "Put a number into each question, have it sent back with the answer, and drop an answer \
            with another number. Or take a new socket for each question.",
    see: "udp(7), recv(2)",
    file: file!(),
    shows: &["late-answer-broken", "late-answer-cured"],
};

/// Answers what waits, in order: each question comes back with its price.
fn answer_all(stage: &Stage, server: &UdpSocket, count: usize) -> Result<()> {
    for _ in 0..count {
        let mut room = [0; 100];
        let (n, from): (usize, SocketAddr) =
            server.recv_from(&mut room).context("recvfrom")?;
        let text = String::from_utf8_lossy(&room[..n]).into_owned();
        let answer = match text.split_once(": ") {
            Some((number, what)) => format!("{number}: {}", price(what)),
            None => price(&text).to_owned(),
        };
        send_to(stage, "server", server, &answer, ("client", from))?;
    }
    Ok(())
}

fn price(what: &str) -> &'static str {
    if what == "tea" { "3 euros" } else { "90 euros" }
}

// ANCHOR: late-answer-broken
fn late_answer(stage: &Stage) -> Result<usize> {
    let (server, address) = bound()?;
    let client = unbound()?;
    client.connect(address).context("connect")?;
    send(stage, "client", &client, "tea")?;
    stage.event("client", "waits, and gives up");
    send(stage, "client", &client, "gold")?;
    answer_all(stage, &server, 2)?;
    let taken = recv(stage, "client", &client).context("recv")?;
    let cured = numbered_questions(stage, &server, address)?;
    stage.saw("taken for the price of gold", taken.as_str());
    stage.saw("with numbers", cured.as_str());
    match taken.as_str() {
        "3 euros" => Ok(1),
        "90 euros" => Ok(2),
        other => bail!("received {other:?}"),
    }
}
// ANCHOR_END: late-answer-broken

// ANCHOR: late-answer-cured
fn numbered_questions(
    stage: &Stage,
    server: &UdpSocket,
    address: SocketAddr,
) -> Result<String> {
    let client = unbound()?;
    client.connect(address).context("connect")?;
    send(stage, "client", &client, "1: tea")?;
    send(stage, "client", &client, "2: gold")?;
    answer_all(stage, server, 2)?;
    loop {
        let answer = recv(stage, "client", &client).context("recv")?;
        if let Some(price) = answer.strip_prefix("2: ") {
            return Ok(price.to_owned());
        }
    }
}
// ANCHOR_END: late-answer-cured

pub(super) const MMSG_TIMEOUT: Experiment = Experiment {
    name: "mmsg-timeout",
    title: "Many datagrams by one call, and a timeout",
    level: Level::Deep,
    question: "recvmmsg(2) takes many datagrams by one call, and has a timeout of its own. A \
               program calls it with room for 8 datagrams and a timeout of 10 milliseconds. No \
               datagram comes for a long time; then one does. When does the call return, and \
               with what?",
    answers: &[
        wrong(
            "after 10 ms, with 0 datagrams",
            "So it should be, and is not: BUGS in recvmmsg(2).",
        ),
        wrong(
            "after 10 ms, by the error EAGAIN",
            "That is the socket's own timeout, SO_RCVTIMEO, which does work here.",
        ),
        right(
            "when that one comes, with it alone",
            "The timeout is looked at after each datagram that was received, and at no other \
             time. Until the first one comes, the call sleeps as recv does.",
        ),
    ],
    kind: Kind::Kernel,
    run: mmsg_timeout,
    moral: "Use MSG_WAITFORONE: sleep for the first datagram, then take what is there. A timeout \
            belongs to poll(2), or to SO_RCVTIMEO.",
    see: "recvmmsg(2), socket(7)",
    file: file!(),
    shows: &["mmsg-timeout"],
};

// ANCHOR: mmsg-timeout
fn mmsg_timeout(stage: &Stage) -> Result<usize> {
    let (server, address) = bound()?;
    server.set_read_timeout(None)?; // no SO_RCVTIMEO
    let receiver = stage.fork("server", |stage| {
        let mut bytes = [[0; 100]; 8];
        let mut rooms: Vec<_> =
            bytes.iter_mut().map(|room| [IoSliceMut::new(room)]).collect();
        let mut headers = MultiHeaders::<SockaddrIn>::preallocate(8, None);
        let (fd, none) = (server.as_raw_fd(), MsgFlags::empty());
        let timeout = Some(TimeSpec::milliseconds(10));
        let got = recvmmsg(fd, &mut headers, rooms.iter_mut(), none, timeout);
        let got = got.map(Iterator::count);
        stage.call("recvmmsg(8 datagrams, 10 ms)", &got);
        Ok(got.map_err(|error| error as i32))
    })?;
    receiver.until_asleep_in(&[Sysno::recvmmsg])?;
    // However slow the machine is, this is longer than 10 ms.
    std::thread::sleep(Duration::from_millis(100));
    let sleeps = matches!(activity(receiver.pid()), Activity::Asleep(_))
        || matches!(activity(receiver.pid()), Activity::AsleepSomewhere);
    let state = if sleeps { "still sleeps" } else { "has returned" };
    stage.event("server", format!("100 ms later, it {state}"));
    let (client, _) = bound()?;
    // Said before it is done: the server wakes by it.
    stage.event("client", "sends one datagram");
    client.send_to(b"one", address).context("sendto")?;
    let got = receiver.join()?;
    stage.saw("it slept over its timeout", sleeps);
    stage.saw("datagrams", got.map_or(-1, |count| count as i64));
    Ok(match (sleeps, got) {
        (true, _) => 3,
        (false, Ok(_)) => 1,
        (false, Err(_)) => 2,
    })
}
// ANCHOR_END: mmsg-timeout
