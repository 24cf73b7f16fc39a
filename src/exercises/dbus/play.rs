//! Who plays in the stages of the chapter's exercises, and what the partner does.

use std::io::Read;
use std::os::unix::net::{UnixListener, UnixStream};

use anyhow::{Context, Result};

use wire::say::bytes as shown;

use super::message::*;
use crate::partner::Partner;
use crate::row::{Ends, NOTHING, Player};
use crate::scene::Scene;

const OBJECT: &str = "/org/ipclab/Board";
const BOARD: &str = "org.ipclab.Board1";

/// Binds, listens, and accepts the learner's program.
pub(super) fn listen(partner: &Partner) -> Result<UnixStream> {
    let place = partner.scene.place();
    let listener =
        partner.call("bind(PLACE), listen()", UnixListener::bind(&place))?;
    let accepted = listener.accept(); // sleeps until the learner's program connects
    let (peer, _) = partner.call("accept()", accepted)?;
    partner.call("unlink(PLACE)", std::fs::remove_file(place))?;
    Ok(peer)
}

/// A signal of the board with a number.
fn signal(serial: u32, number: u32) -> Message {
    let message = Message { kind: SIGNAL, serial, ..Message::default() };
    let message = message.text(PATH, 'o', OBJECT).text(INTERFACE, 's', BOARD);
    message.text(MEMBER, 's', "Posted").body("u", &number.to_le_bytes())
}

/// Writes, unless the learner's program has closed: how that ended is judged.
fn write(partner: &Partner, peer: &UnixStream, bytes: &[u8], remark: &str) {
    if partner.write(peer, bytes, remark).is_err() {
        partner.log("your program has closed");
    }
}

/// Sends each of them by a write of its own, once the reader has read the one before.
pub(super) fn one_by_one(partner: &mut Partner) -> Result<()> {
    let peer = listen(partner)?;
    let learner = partner.learner("reader")?;
    for message in messages(&partner.scene) {
        write(partner, &peer, &message.bytes(), "");
        partner.until_asleep(learner)?;
    }
    Ok(())
}

/// Sends all of them in pieces, which the reader reads one by one.
pub(super) fn in_pieces(partner: &mut Partner) -> Result<()> {
    let peer = listen(partner)?;
    let learner = partner.learner("reader")?;
    let all: Vec<_> = messages(&partner.scene).iter().map(Message::bytes).collect();
    let bytes = all.concat();
    let first = all[0].len();
    let mut from = 0;
    for cut in [6, 15, first - 3, first + 1, bytes.len()] {
        write(partner, &peer, &bytes[from..cut], "a piece, on purpose");
        partner.pause("the reader reads it alone");
        partner.until_asleep(learner)?;
        from = cut;
    }
    Ok(())
}

/// Three messages for the reader.
pub(super) fn messages(scene: &Scene) -> Vec<Message> {
    let mut draw = scene.draw();
    let large = scene.stage == "large";
    (0..3)
        .map(|index| {
            let length =
                if large && index == 1 { 300_000 } else { 1 + draw.below(30) };
            let text = string(&draw.line(length));
            let serial = 1 + draw.below(1 << 30) as u32;
            let mut message = signal(serial, 0);
            message.kind = SIGNAL - index;
            message.big = scene.stage == "order" && index == 1;
            message.body = text;
            message
        })
        .collect()
}

pub(super) fn reader(scene: &Scene, ends: Ends) -> Vec<Player> {
    let messages = messages(scene);
    let whole = if ends == Ends::Well { messages.len() } else { 2 };
    let lines = messages[..whole].iter().map(|message| {
        format!("{} {} {}\n", message.kind, message.serial, message.bytes().len())
    });
    let reader = Player::learner(scene, "reader", NOTHING);
    vec![Player::partner(), reader.prints(lines.collect::<String>()).ends(ends)]
}

/// The method and the text of a call.
fn called(scene: &Scene) -> (String, String) {
    let mut draw = scene.draw();
    let text = draw.line(12);
    match scene.stage {
        "padding" => ("Postpone".into(), text),
        "letters" => ("Post".into(), format!("{text} \u{e9}\u{20ac}\u{4e2d}")),
        "empty" => ("Post".into(), String::new()),
        "long" => ("Post".into(), draw.line(70_000)),
        _ => ("Post".into(), text),
    }
}

pub(super) fn caller(scene: &Scene) -> Vec<Player> {
    let (member, text) = called(scene);
    let caller = Player::learner(scene, "caller", [member, text.clone()]);
    vec![Player::partner().prints(text), caller.prints("")]
}

/// Reads all that the caller writes: it must be one call.
pub(super) fn read_call(partner: &mut Partner) -> Result<()> {
    let peer = listen(partner)?;
    let bytes = partner.read_to_end(&peer)?;
    let (member, _) = called(&partner.scene);
    let call = match Message::parse(&bytes) {
        Ok(call) => call,
        Err(what) => return partner.wrong(&what),
    };
    take_call(partner, &call, &member)
}

/// Looks at a call, and hands over its text.
fn take_call(partner: &Partner, call: &Message, member: &str) -> Result<()> {
    if call.kind != CALL {
        return partner
            .wrong(&format!("the message's type is {}, and a call's 1", call.kind));
    }
    for (code, mark, text) in [
        (PATH, 'o', OBJECT),
        (INTERFACE, 's', BOARD),
        (MEMBER, 's', member),
        (SIGNATURE, 'g', "s"),
    ] {
        let wanted = Value::Text(mark, text.to_owned());
        let found = call.field(code);
        if found != Some(&wanted) {
            let found = found.map_or("missing".into(), Value::to_string);
            let what =
                format!("header field {code} is {found}, and should be {wanted}");
            return partner.wrong(&what);
        }
    }
    let text =
        call.body.get(4..call.body.len().saturating_sub(1)).unwrap_or_default();
    let text = String::from_utf8_lossy(text);
    if string(&text) != call.body {
        return partner
            .wrong(&format!("the body is no string: {}", shown(&call.body)));
    }
    partner.log(&format!("a call of {member} with the serial {}", call.serial));
    partner.received(text.as_bytes())
}

pub(super) fn client(scene: &Scene, ends: Ends) -> Vec<Player> {
    let (_, text) = called(scene);
    let number = format!("{}\n", number(scene));
    let printed = if ends == Ends::Well { number } else { String::new() };
    let client = Player::learner(scene, "client", [text.clone()]);
    vec![Player::partner().prints(text), client.prints(printed).ends(ends)]
}

/// What the board answers.
fn number(scene: &Scene) -> u32 {
    1000 + scene.draw().below(1 << 30) as u32
}

/// A line of AUTH, without its end.
fn auth_line(peer: &mut impl Read) -> Result<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut byte = [0];
        peer.read_exact(&mut byte).context("read")?;
        line.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&line).trim_matches(['\0', '\r', '\n']).to_owned())
}

/// Authenticates the client, receives its call, and answers in its own way.
pub(super) fn answer(partner: &mut Partner) -> Result<()> {
    let mut peer = listen(partner)?;
    loop {
        let line = auth_line(&mut peer)?;
        partner.log(&format!("read: {line}"));
        match &*line {
            "BEGIN" => break,
            "AUTH EXTERNAL" => partner.write(&peer, b"DATA\r\n", "")?,
            _ if line.starts_with("AUTH EXTERNAL") || line.starts_with("DATA") => {
                partner.write(
                    &peer,
                    b"OK 0123456789abcdef0123456789abcdef\r\n",
                    "",
                )?;
            }
            _ => partner.write(&peer, b"ERROR\r\n", "")?,
        }
    }
    let mut head = [0; 16];
    peer.read_exact(&mut head).context("read")?;
    let mut bytes = head.to_vec();
    bytes.resize(Message::length(&head).min(1 << 20), 0);
    peer.read_exact(&mut bytes[16..]).context("read")?;
    let call = match Message::parse(&bytes) {
        Ok(call) => call,
        Err(what) => return partner.wrong(&what),
    };
    take_call(partner, &call, "Post")?;
    let send = |message: Message, what: &str| {
        partner.log(what);
        write(partner, &peer, &message.bytes(), "");
    };
    let number = number(&partner.scene);
    let reply = |serial, number: u32| {
        let reply = Message { kind: REPLY, serial, ..Message::default() };
        reply.answers(call.serial).body("u", &number.to_le_bytes())
    };
    match partner.scene.stage {
        "signal" => {
            send(signal(1, 11), "a signal");
            send(signal(2, 12), "another signal");
        }
        "other" => {
            let mut other = reply(1, 13);
            other.fields[0].1 = Value::Number(call.serial + 7);
            send(other, "a reply to another call");
        }
        "error" => {
            let error = Message { kind: ERROR, serial: 1, ..Message::default() };
            let error = error.answers(call.serial);
            let error = error.text(ERROR_NAME, 's', "org.ipclab.Error.Full");
            send(error.body("s", &string("no room")), "an error");
            return partner.until_all_have_ended();
        }
        "dead" => {
            partner.log("closes, and has not answered");
            return Ok(());
        }
        _ => {}
    }
    send(reply(3, number), "the reply");
    partner.until_all_have_ended()
}
