//! What a bus's configuration allows.

use anyhow::Result;

use super::link::Bus;
use super::message::Message;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use doctor::probes::needs;

/// The name that the server requests.
const NAME: &str = "org.ipclab.Board";

pub(super) const DENIED: Experiment = Experiment {
    name: "denied",
    title: "A method that the bus's policy denies",
    level: Level::Later,
    question: "A bus's configuration denies all clients the method Post of the name \
               org.ipclab.Board, by `<deny send_destination=…/>`. A server owns that name; its \
               unique name is :1.0. A client calls Post twice: once with org.ipclab.Board as the destination, once \
               with :1.0. What becomes of the two calls?",
    answers: &[
        right(
            "the bus answers both with an error",
            "The error is AccessDenied. The rule is about the connection that owns the name, by \
             whichever of its names it is addressed. The server learns of none of the two.",
        ),
        wrong(
            "the server gets the one to :1.0",
            "Then each client could ask GetNameOwner, and be past the rule.",
        ),
        wrong(
            "the bus drops both without a word",
            "The bus answers in the server's place.",
        ),
    ],
    kind: Kind::Needs(&needs::DBUS_DAEMON),
    run: denied,
    moral: "Here AccessDenied comes from the bus, not from the server: a system bus lets no program \
            own a name, or get a call, unless a file in /usr/share/dbus-1/system.d or \
            /etc/dbus-1/system.d allows it. A server's own check, by the caller's uid, comes after \
            that, and may answer with the same error.",
    see: "dbus-daemon(1)",
    file: file!(),
    shows: &["denied"],
};

// ANCHOR: denied
/// As in a file of /usr/share/dbus-1/system.d.
const POLICY: &str = r#"<policy context="mandatory">
    <deny send_destination="org.ipclab.Board"
          send_interface="org.ipclab.Board1" send_member="Post"/>
    <deny own="org.ipclab.Reserved"/>
</policy>"#;

fn denied(stage: &Stage) -> Result<usize> {
    let bus = Bus::start(stage, POLICY)?;
    let owns = stage.gate()?;
    let server = stage.fork("server", |stage| {
        let mut link = bus.join()?;
        link.ask_aloud(stage, Message::to_bus("RequestName").text(NAME).number(0))?;
        owns.open(1)?;
        // A bus keeps the order: what one client sends earlier comes earlier.
        let call = link.must_hear(stage)?;
        link.send(stage, call.reply().number(0))?;
        Ok(call.member)
    })?;
    owns.pass()?;
    let mut client = bus.join()?;
    let owner = Message::to_bus("GetNameOwner").text(NAME);
    let owner = client.ask_aloud(stage, owner)?.first();
    let mut call = |method: &str, to: &str| {
        client.send(stage, Message::call(method).to(to))?;
        client.must_hear(stage)
    };
    let by_name = call("Post", NAME)?;
    let by_unique_name = call("Post", &owner)?;
    let other = call("Count", NAME)?;
    let reached = server.join()?;
    let request =
        Message::to_bus("RequestName").text("org.ipclab.Reserved").number(0);
    let own = client.ask_aloud(stage, request)?;
    stage.saw("Post by its name", by_name.error.as_str());
    stage.saw("Post by its unique name", by_unique_name.error.as_str());
    stage.saw("another method", other.error.is_empty());
    stage.saw("the first call that reached the server", reached);
    stage.saw("RequestName of a name with deny own", own.error);
    Ok(if by_unique_name.error.is_empty() { 2 } else { 1 })
}
// ANCHOR_END: denied
