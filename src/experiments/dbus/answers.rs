//! Which call a reply is for, what is in a message, and calls that want no reply.

use std::os::unix::net::UnixStream;

use anyhow::{Context, Result, bail};

use super::link::{Bus, DbusConnection};
use super::message::{BUS, Message, NO_REPLY_EXPECTED};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use doctor::probes::needs;

/// The name that the servers of these runs own.
const NAME: &str = "org.ipclab.Board";

pub(super) const REPLY_ORDER: Experiment = Experiment {
    name: "reply-order",
    title: "Two calls on one connection",
    level: Level::Later,
    question: "A client sends two calls on one connection, without waiting in \
               between: Slow, then Quick. The socket keeps the order of what is \
               sent. The client calls recv(2). Which reply does it get?",
    answers: &[
        wrong(
            "always the one to Slow",
            "The socket keeps the order in which the server sends. Many servers do \
             answer one call before they take the next, but D-Bus does not ask it \
             of them: a reply names its call, and calls may overlap.",
        ),
        wrong(
            "always the one to Quick",
            "A call that takes longer may still be answered first, as the run \
             shows.",
        ),
        right(
            "the one that is sent first",
            "That is the server's choice. The header field REPLY_SERIAL says which \
             call a reply is for.",
        ),
    ],
    kind: Kind::Kernel,
    run: reply_order,
    moral: "A reply belongs to the call whose serial it names. A client that makes \
            several calls before the first is answered needs a table of serials.",
    see: "unix(7), the D-Bus specification (Header Fields)",
    file: file!(),
    shows: &["reply-order-broken", "reply-order-cured", "reply-order"],
};

// ANCHOR: reply-order-broken
/// Takes what comes next as the reply.
fn next(stage: &Stage, link: &mut DbusConnection, _: u32) -> Result<String> {
    Ok(link.must_hear(stage)?.first())
}
// ANCHOR_END: reply-order-broken

// ANCHOR: reply-order-cured
/// Takes the reply that names the call, and leaves out others.
fn named(stage: &Stage, link: &mut DbusConnection, serial: u32) -> Result<String> {
    loop {
        let message = link.must_hear(stage)?;
        if message.is_reply() && message.reply_to == serial {
            return Ok(message.first());
        }
    }
}
// ANCHOR_END: reply-order-cured

type Take = fn(&Stage, &mut DbusConnection, u32) -> Result<String>;

// ANCHOR: reply-order
fn reply_order(stage: &Stage) -> Result<usize> {
    let in_order = two_calls(stage, [0, 1], next)?;
    stage.saw("the next message, where Slow is answered first", in_order.clone());
    let taken = two_calls(stage, [1, 0], next)?;
    stage.saw("where Quick is answered first", taken.clone());
    let cured = two_calls(stage, [1, 0], named)?;
    stage.saw("by its serial, the reply to Slow", cured);
    match (in_order.as_str(), taken.as_str()) {
        ("from Slow", "from Slow") => Ok(1),
        ("from Quick", "from Quick") => Ok(2),
        ("from Slow", "from Quick") => Ok(3),
        other => bail!("{other:?}"),
    }
}

/// Makes two calls, which the server answers in this order, and takes one reply.
fn two_calls(stage: &Stage, order: [usize; 2], take: Take) -> Result<String> {
    let (ours, theirs) = UnixStream::pair().context("socketpair")?;
    let both_sent = stage.gate()?;
    let server = stage.fork("server", |stage| {
        let mut client = DbusConnection::server(theirs)?;
        both_sent.pass()?;
        let replies = [
            client.must_hear(stage)?.reply().text("from Slow"),
            client.must_hear(stage)?.reply().text("from Quick"),
        ];
        for call in order {
            client.send(stage, replies[call].clone())?;
        }
        Ok(())
    })?;
    let mut link = DbusConnection::client(ours)?;
    let serial = link.send(stage, Message::call("Slow"))?;
    link.send(stage, Message::call("Quick"))?;
    both_sent.open(1)?;
    server.join()?;
    take(stage, &mut link, serial)
}
// ANCHOR_END: reply-order

pub(super) const WRONG_SIGNATURE: Experiment = Experiment {
    name: "wrong-signature",
    title: "An argument of the wrong type",
    level: Level::First,
    question: "A server on a bus has the method Post, which takes a string; its \
               description (introspection) says so. A client calls Post with a number, \
               7, instead. The message is well formed. Who refuses it?",
    answers: &[
        right(
            "the code of the server, or nobody",
            "Each message carries the signature of its own body. The server gets a \
             number, correctly marked as one, and has to compare.",
        ),
        wrong(
            "the bus, which has the description",
            "The bus looks at names, not at methods, and never asks for the \
             description. It checks that a body is what its own signature says, no \
             more.",
        ),
        wrong(
            "the send(2) of the client",
            "To send(2) all messages are bytes. Some libraries do ask for a \
             description first, when they are told to; nothing makes them.",
        ),
    ],
    kind: Kind::Needs(&needs::DBUS_DAEMON),
    run: wrong_signature,
    moral: "A description is a promise for readers, not a check. Compare the signature \
            before you read the body, and answer InvalidArgs; libraries that make the \
            method's types from code do this for you.",
    see: "the D-Bus specification (Type System, Introspection)",
    file: file!(),
    shows: &["wrong-signature-broken", "wrong-signature-cured", "wrong-signature"],
};

// ANCHOR: wrong-signature-broken
/// Reads the string that must be there: its length, and that many bytes.
fn read_blindly(call: &Message) -> Message {
    let [a, b, c, d, rest @ ..] = &call.body[..] else {
        return call.reply().text("an empty body");
    };
    let length = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
    match rest.get(..length) {
        Some(text) => call.reply().text(&String::from_utf8_lossy(text)),
        None => call.reply().text(&format!("{length} of {} bytes", rest.len())),
    }
}
// ANCHOR_END: wrong-signature-broken

// ANCHOR: wrong-signature-cured
/// Looks at what the message says that it holds, before it reads that.
fn read_what_is_there(call: &Message) -> Message {
    match call.signature.as_str() {
        "s" => call.reply().text(&call.first()),
        _ => call.refuse("org.freedesktop.DBus.Error.InvalidArgs"),
    }
}
// ANCHOR_END: wrong-signature-cured

// ANCHOR: wrong-signature
fn wrong_signature(stage: &Stage) -> Result<usize> {
    let bus = Bus::start(stage, "")?;
    let ready = stage.gate()?;
    let server = stage.fork("server", |stage| {
        let mut link = bus.join()?;
        link.ask(Message::to_bus("RequestName").text(NAME).number(4))?;
        ready.open(1)?;
        let first = link.must_hear(stage)?;
        link.send(stage, read_blindly(&first))?;
        let second = link.must_hear(stage)?;
        link.send(stage, read_what_is_there(&second))?;
        Ok(first.signature)
    })?;
    ready.pass()?;
    let mut link = bus.join()?;
    let wrong = Message::call("Post").to(NAME).number(7);
    link.send(stage, wrong.clone())?;
    let blind = link.must_hear(stage)?;
    link.send(stage, wrong)?;
    let refused = link.must_hear(stage)?;
    let arrived = server.join()?;
    stage.saw("the signature that reached the server", arrived.clone());
    stage.saw("read as a string", blind.first());
    stage.saw("when the server looks", refused.error);
    Ok(if arrived == "u" && blind.sender != BUS { 1 } else { 2 })
}
// ANCHOR_END: wrong-signature

pub(super) const NO_REPLY: Experiment = Experiment {
    name: "no-reply-expected",
    title: "A call that asks for no reply",
    level: Level::Deep,
    question: "NO_REPLY_EXPECTED is the flag of a call that asks for no reply. A \
               client on a bus sets it. By mistake it calls a name that nobody \
               owns; without the flag the bus would answer with the error \
               ServiceUnknown. What does the client get from a dbus-daemon?",
    answers: &[
        wrong(
            "nothing, neither reply nor error",
            "The specification reads like that: the flag says that neither a reply \
             nor an error is expected. The daemon still sends its own errors.",
        ),
        right(
            "the error ServiceUnknown",
            "The flag is a word to the server, which may leave out its reply. The \
             dbus-daemon that runs here does not look at it when it has an error \
             of its own to report.",
        ),
        wrong(
            "an error from send(2), EPIPE",
            "The socket leads to the bus, which takes every message. Where it goes \
             from there is not known to send(2).",
        ),
    ],
    kind: Kind::Needs(&needs::DBUS_DAEMON),
    run: no_reply,
    moral: "A client that asks for no reply may still be sent one, for a call that \
            it keeps no record of, and has to ignore it. It cannot rely on getting \
            one either: the specification does not promise it.",
    see: "the D-Bus specification (Message Flags)",
    file: file!(),
    shows: &["no-reply-expected"],
};

// ANCHOR: no-reply-expected
fn no_reply(stage: &Stage) -> Result<usize> {
    let bus = Bus::start(stage, "")?;
    let mut link = bus.join()?;
    let call = Message::call("Post").to("org.ipclab.Nobody").text("hello");
    link.send(stage, call.clone())?;
    let asked = link.must_hear(stage)?;

    stage.event("main", "sets NO_REPLY_EXPECTED");
    let serial = link.send(stage, call.flags(NO_REPLY_EXPECTED))?;
    // The bus takes our messages in order. Once it has answered the next one, an answer to
    // this one would have come.
    let (_, before) = link.ask(Message::to_bus("GetId"))?;
    let heard = before.iter().filter(|message| message.reply_to == serial).count();
    let late = before.iter().find(|message| message.reply_to == serial);
    let late = late.map(ToString::to_string);
    stage.event("main", late.as_deref().unwrap_or("has heard nothing"));
    stage.saw("without the flag", asked.error);
    stage.saw("answers with the flag", heard);
    Ok(if heard == 0 { 1 } else { 2 })
}
// ANCHOR_END: no-reply-expected
