//! A call whose reply is late, or whose server dies: what the caller can know.

use std::collections::HashMap;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use super::link::{Bus, DbusConnection};
use super::message::{BUS, Message};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use doctor::probes::needs;

/// How long the impatient clients wait. They are never answered before it is over.
const SHORT: Option<Duration> = Some(Duration::from_millis(50));

pub(super) const LATE_REPLY: Experiment = Experiment {
    name: "late-reply",
    title: "A call that has timed out",
    level: Level::First,
    question: "A client sends a call, Post, to an object of a server that is busy. \
               The client waits for the reply as long as its timeout allows, and \
               gives up; its connection stays open. Then the server comes to the \
               call. What happens?",
    answers: &[
        right(
            "the method runs, and its reply is delivered",
            "The call lay in the socket's buffer all the time. The reply carries \
             the serial of the call, which the client's library no longer knows, \
             and is thrown away there.",
        ),
        wrong(
            "the method does not run; the call is gone",
            "D-Bus has no message that takes a call back. The timeout is a clock \
             in the client's library, and nobody else hears of it.",
        ),
        wrong(
            "the method runs, and its reply cannot be sent",
            "The connection is open, and send(2) succeeds. Whether anybody still \
             wants the reply is not known to the socket.",
        ),
    ],
    kind: Kind::Kernel,
    run: late_reply,
    moral: "A timeout says how long the caller waited, and nothing about what the callee \
            did or will do. After one, ask the object for its state before you do \
            anything again.",
    see: "socket(7), the D-Bus specification (Message Protocol)",
    file: file!(),
    shows: &["late-reply"],
};

// ANCHOR: late-reply
fn late_reply(stage: &Stage) -> Result<usize> {
    let (ours, theirs) = UnixStream::pair().context("socketpair")?;
    let busy = stage.gate()?;
    let server = stage.fork("server", |stage| {
        let mut client = DbusConnection::server(theirs)?;
        busy.pass()?;
        let mut posts = 0;
        let call = client.must_hear(stage)?;
        posts += 1;
        client.send(stage, call.reply().number(posts))?;
        Ok(posts)
    })?;
    let mut link = DbusConnection::client(ours)?;
    let serial = link.send(stage, Message::call("Post").text("hello"))?;
    link.wait_at_most(SHORT)?;
    let in_time = link.hear(stage)?.is_some();
    stage.event("main", "gives up");
    busy.open(1)?;
    let posts = server.join()?;
    link.wait_at_most(None)?;
    let late = link.hear(stage)?;
    let answers_it = late.is_some_and(|reply| reply.reply_to == serial);
    stage.saw("a reply in time", in_time);
    stage.saw("messages posted after the client gave up", posts);
    stage.saw("the late reply came", answers_it);
    Ok(match (posts, answers_it) {
        (_, true) => 1,
        (0, _) => 2,
        (_, false) => 3,
    })
}
// ANCHOR_END: late-reply

pub(super) const AT_MOST_ONCE: Experiment = Experiment {
    name: "at-most-once",
    title: "A call that is made again",
    level: Level::Later,
    question: "A client calls Post(\"hello\") and gets no reply in time, because \
               the server is busy. It makes the same call again on the same \
               connection, and waits long enough. You may have read that D-Bus \
               delivers a message at most once. How often does the server run \
               Post?",
    answers: &[
        wrong(
            "exactly once",
            "Nobody told the server that the first call has timed out. Both lie in \
             its socket, one behind the other. The second has a serial of its own \
             and is another call; even with the same serial nothing would compare \
             them.",
        ),
        right(
            "twice",
            "At most once is true of a message. A call that is made again is a \
             second message, with the same words in it.",
        ),
        wrong(
            "not at all",
            "A timeout takes nothing back. The first call waits in the server's \
             socket, and so does the second.",
        ),
    ],
    kind: Kind::Kernel,
    run: at_most_once,
    moral: "Only call again what may run twice: reading, or setting to a value. For what \
            may not, give each request a key that the client chooses, and let the server \
            remember the answers by it.",
    see: "the D-Bus specification (Message Protocol)",
    file: file!(),
    shows: &["at-most-once-broken", "at-most-once-cured", "at-most-once"],
};

// ANCHOR: at-most-once-broken
/// Answers each call by doing it. Returns how many posts that made.
fn post_each(
    stage: &Stage,
    client: &mut DbusConnection,
    calls: usize,
) -> Result<u32> {
    let mut posts = 0;
    for _ in 0..calls {
        let call = client.must_hear(stage)?;
        posts += 1;
        client.send(stage, call.reply().number(posts))?;
    }
    Ok(posts)
}
// ANCHOR_END: at-most-once-broken

// ANCHOR: at-most-once-cured
/// Answers a call by doing it, unless it has answered one with this key before.
fn post_once(
    stage: &Stage,
    client: &mut DbusConnection,
    calls: usize,
) -> Result<u32> {
    let (mut posts, mut answered) = (0, HashMap::new());
    for _ in 0..calls {
        let call = client.must_hear(stage)?;
        let key = call.first();
        let number = *answered.entry(key).or_insert_with(|| {
            posts += 1;
            posts
        });
        client.send(stage, call.reply().number(number))?;
    }
    Ok(posts)
}
// ANCHOR_END: at-most-once-cured

type Serve = fn(&Stage, &mut DbusConnection, usize) -> Result<u32>;

// ANCHOR: at-most-once
fn at_most_once(stage: &Stage) -> Result<usize> {
    let post = Message::call("Post").text("hello");
    let posts = call_again(stage, &post, post_each)?;
    stage.saw("posts, of a call that was made again", posts);
    let keyed = Message::call("PostOnce").text("key 17").text("hello");
    let cured = call_again(stage, &keyed, post_once)?;
    stage.saw("posts, with a key", cured);
    Ok(match posts {
        0 => 3,
        1 => 1,
        _ => 2,
    })
}

fn call_again(stage: &Stage, call: &Message, serve: Serve) -> Result<u32> {
    let (ours, theirs) = UnixStream::pair().context("socketpair")?;
    let busy = stage.gate()?;
    let server = stage.fork("server", |stage| {
        let mut client = DbusConnection::server(theirs)?;
        busy.pass()?;
        serve(stage, &mut client, 2)
    })?;
    let mut link = DbusConnection::client(ours)?;
    link.send(stage, call.clone())?;
    link.wait_at_most(SHORT)?;
    link.hear(stage)?;
    link.wait_at_most(None)?;
    let again = link.send(stage, call.clone())?;
    busy.open(1)?;
    let posts = server.join()?;
    while link.must_hear(stage)?.reply_to != again {}
    Ok(posts)
}
// ANCHOR_END: at-most-once

pub(super) const SERVER_DIES: Experiment = Experiment {
    name: "server-dies",
    title: "The server is killed in the middle of a call",
    level: Level::Later,
    question: "On a bus, a client has made a call and sleeps in recv(2), with a timeout of \
               25 seconds. The server has received the call, and SIGKILL ends it before \
               it replies. What does the client get, and when?",
    answers: &[
        wrong(
            "nothing, until its timeout is over",
            "The server cannot say anything any more. But the bus knows which \
             calls it has passed on without seeing a reply, and it sees the \
             connection end.",
        ),
        wrong(
            "the end of the stream, at once",
            "That is true without a bus, as the run shows. On a bus the client's \
             stream leads to the bus, which lives.",
        ),
        right(
            "an error that the bus sends, at once",
            "The error is called NoReply; the bus answers in the server's place. \
             It says the same whether the server died before it did the work or \
             after: it cannot know.",
        ),
    ],
    kind: Kind::Needs(&needs::DBUS_DAEMON),
    run: server_dies,
    moral: "NoReply means: there will be no answer. It does not mean that nothing was \
            done. A caller that must know has to ask the next server what it finds.",
    see: "dbus-daemon(1), unix(7), the D-Bus specification (NoReply)",
    file: file!(),
    shows: &["server-dies"],
};

// ANCHOR: server-dies
fn server_dies(stage: &Stage) -> Result<usize> {
    let bus = Bus::start(stage, "")?;
    let before = killed_on_bus(stage, &bus, false)?;
    let after = killed_on_bus(stage, &bus, true)?;

    let (ours, theirs) = UnixStream::pair().context("socketpair")?;
    let mut ours = Some(ours);
    let has_it = stage.gate()?;
    let server = stage.fork("server", |stage| {
        ours = None; // or the stream would have a third holder
        let mut client = DbusConnection::server(theirs)?;
        client.must_hear(stage)?;
        has_it.open(1)?;
        client.must_hear(stage).map(|_| ()) // sleeps: there is no second call
    })?;
    let mut link = DbusConnection::client(ours.take().context("taken")?)?;
    link.send(stage, Message::call("Post").text("hello"))?;
    has_it.pass()?;
    server.kill(Signal::SIGKILL)?;
    server.end()?;
    stage.event("server", "killed by SIGKILL");
    let alone = link.hear(stage)?;

    stage.saw("on a bus, killed before the work", before.error.clone());
    stage.saw("on a bus, killed after the work", after.error.clone());
    stage.saw("who sent that", before.sender.clone());
    stage.saw("without a bus, the end of the stream", alone.is_none());
    Ok(if before.sender == BUS { 3 } else { 2 })
}

/// Calls a server that does the work or not, and is killed then.
fn killed_on_bus(stage: &Stage, bus: &Bus, works: bool) -> Result<Message> {
    let mut link = bus.join()?;
    let (ready, has_it) = (stage.gate()?, stage.gate()?);
    let server = stage.fork("server", |stage| {
        let mut link = bus.join()?;
        link.ask(Message::to_bus("RequestName").text("org.ipclab.Board").number(4))?;
        ready.open(1)?;
        link.must_hear(stage)?;
        if works {
            stage.event("server", "does the work");
        }
        has_it.open(1)?;
        link.must_hear(stage).map(|_| ()) // sleeps: there is no second call
    })?;
    ready.pass()?;
    link.send(stage, Message::call("Post").to("org.ipclab.Board").text("hello"))?;
    has_it.pass()?;
    server.kill(Signal::SIGKILL)?;
    server.end()?;
    stage.event("server", "killed by SIGKILL");
    link.must_hear(stage)
}
// ANCHOR_END: server-dies
