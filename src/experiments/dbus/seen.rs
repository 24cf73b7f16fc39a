//! What other clients see of a message, and what they believe of its sender.

use std::os::unix::net::UnixStream;

use anyhow::{Context, Result};

use super::link::{Bus, DbusConnection};
use super::message::{BUS, Message};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use doctor::probes::needs;

/// The name that the servers of these runs own.
const NAME: &str = "org.ipclab.Board";

pub(super) const FORGED_SENDER: Experiment = Experiment {
    name: "forged-sender",
    title: "A sender that is not true",
    level: Level::Later,
    question: "A message has a header field SENDER. A client on a bus makes its messages \
               by hand, and writes org.freedesktop.DBus there, the name of the bus. What \
               does the server find in the field?",
    answers: &[
        wrong(
            "the name that the client wrote",
            "That is true without a bus, where nobody stands between the two. A \
             bus writes the field anew in every message.",
        ),
        right(
            "the unique name of the client",
            "The bus knows by which connection the message came, and puts that \
             connection's name there, such as :1.1, whatever stood there before.",
        ),
        wrong(
            "no message, for the bus drops it",
            "The bus drops malformed messages and closes the connection. This one \
             is well formed, and the field is simply overwritten.",
        ),
    ],
    kind: Kind::Needs(&needs::DBUS_DAEMON),
    run: forged_sender,
    moral: "On a bus a server may trust SENDER, and ask the bus for the uid behind it. On \
            a connection without a bus it is only what the peer says: ask the socket, by \
            SO_PEERCRED.",
    see: "the D-Bus specification (Header Fields), unix(7)",
    file: file!(),
    shows: &["forged-sender"],
};

// ANCHOR: forged-sender
fn forged_sender(stage: &Stage) -> Result<usize> {
    let forged = Message::call("Post").to(NAME).from(BUS);
    let bus = Bus::start(stage, "")?;
    let ready = stage.gate()?;
    let server = stage.fork("server", |stage| {
        let mut link = bus.join()?;
        link.ask(Message::to_bus("RequestName").text(NAME).number(4))?;
        ready.open(1)?;
        Ok(link.must_hear(stage)?.sender)
    })?;
    ready.pass()?;
    let mut link = bus.join()?;
    link.send(stage, forged.clone())?;
    let on_bus = server.join()?;
    stage.event("server", format!("SENDER is {on_bus}"));

    let (ours, theirs) = UnixStream::pair().context("socketpair")?;
    let server = stage.fork("server", |stage| {
        let mut client = DbusConnection::server(theirs)?;
        Ok(client.must_hear(stage)?.sender)
    })?;
    DbusConnection::client(ours)?.send(stage, forged)?;
    let alone = server.join()?;
    stage.event("server", format!("SENDER is {alone}"));
    stage.saw("on a bus, the client's own name", on_bus == link.name);
    stage.saw("without a bus", alone);
    Ok(if on_bus == BUS { 1 } else { 2 })
}
// ANCHOR_END: forged-sender

pub(super) const MONITOR: Experiment = Experiment {
    name: "monitor",
    title: "Who else reads a call",
    level: Level::Later,
    question: "On a session bus a client calls a server's method Unlock with a password. \
               A call goes to one destination. A third program of the same user, which \
               owns no name and was started as any other, would like to read it. Can it?",
    answers: &[
        wrong(
            "no, no program can",
            "Match rules are for signals, and a call reaches its destination only. \
             But a client may call BecomeMonitor, and is sent a copy of everything \
             from then on.",
        ),
        wrong(
            "yes, if it runs as root",
            "Root may do it on every bus. On a session bus the user whose daemon \
             it is may do it too, and all the programs there run as that user.",
        ),
        right(
            "yes, with no more rights",
            "The bus sends a monitor copies. Neither of the two can notice it: \
             nothing in the messages, and no reply, is different for them.",
        ),
    ],
    kind: Kind::Needs(&needs::DBUS_DAEMON),
    run: monitor,
    moral: "On a bus every program of its user can listen. A secret that must go \
            through it has to be encrypted for the program that may read it.",
    see: "dbus-monitor(1), busctl(1), the D-Bus specification (BecomeMonitor)",
    file: file!(),
    shows: &["monitor"],
};

// ANCHOR: monitor
fn monitor(stage: &Stage) -> Result<usize> {
    let bus = Bus::start(stage, "")?;
    let (ready, listens) = (stage.gate()?, stage.gate()?);
    let server = stage.fork("server", |stage| {
        let mut link = bus.join()?;
        link.ask(Message::to_bus("RequestName").text(NAME).number(4))?;
        ready.open(1)?;
        let call = link.must_hear(stage)?;
        link.send(stage, call.reply())
    })?;
    ready.pass()?;
    let third = stage.fork("third", |stage| {
        let mut link = bus.join()?;
        let become_one = Message::to_bus("BecomeMonitor")
            .interface("org.freedesktop.DBus.Monitoring")
            .no_texts()
            .number(0);
        let answer = link.ask_aloud(stage, become_one)?;
        listens.open(1)?;
        if !answer.error.is_empty() {
            return Ok(String::new());
        }
        loop {
            let message = link.hear_unseen()?;
            if message.member == "Unlock" {
                return Ok(message.first());
            }
        }
    })?;
    listens.pass()?;
    let mut link = bus.join()?;
    link.send(stage, Message::call("Unlock").to(NAME).text("sesame"))?;
    let reply = link.must_hear(stage)?;
    server.join()?;
    let overheard = third.join()?;
    stage.event("third", format!("has read Unlock({overheard:?})"));
    stage.saw("the third program read", overheard.clone());
    stage.saw("the client's reply is an error", !reply.error.is_empty());
    Ok(if overheard == "sesame" { 3 } else { 1 })
}
// ANCHOR_END: monitor
