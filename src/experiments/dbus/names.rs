//! Names on a bus: which client owns one, which waits for it, and a call to an unowned name.

use anyhow::{Context, Result};

use super::link::Bus;
use super::message::Message;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use doctor::probes::needs;

/// The name that all clients request.
const NAME: &str = "org.ipclab.Board";
/// The flags of RequestName.
const ALLOW_REPLACEMENT: u32 = 1;
const REPLACE_EXISTING: u32 = 2;
const DO_NOT_QUEUE: u32 = 4;

/// RequestName with these flags.
fn request(flags: u32) -> Message {
    Message::to_bus("RequestName").text(NAME).number(flags)
}

pub(super) const NAME_TAKEN: Experiment = Experiment {
    name: "name-taken",
    title: "A name that another program owns",
    level: Level::First,
    question: "A server owns a name on a bus. A second one calls RequestName for the same \
               name, with the flags 0. Its library throws an exception when the bus \
               replies with an error. What does the second server get?",
    answers: &[
        right(
            "a reply; it waits in a queue",
            "The reply is the number 2. With the flags 0 it has asked to wait, and \
             owns the name when the first leaves. A program that does not look at \
             the number believes that it serves, and gets no call.",
        ),
        wrong(
            "an error; it must try again",
            "bind(2) has EADDRINUSE for that. Here it is no error: RequestName \
             answers with a number, and only 1 means that the name is yours.",
        ),
        wrong(
            "the name; the first has lost it",
            "The newest owner gets the calls only if it asks with \
             REPLACE_EXISTING, and the owner has allowed that.",
        ),
    ],
    kind: Kind::Needs(&needs::DBUS_DAEMON),
    run: name_taken,
    moral: "Look at the number, or ask with DO_NOT_QUEUE, which answers 3 for a name that \
            is taken. This is how a program finds out that it is already running.",
    see: "the D-Bus specification (RequestName)",
    file: file!(),
    shows: &["name-taken"],
};

// ANCHOR: name-taken
fn name_taken(stage: &Stage) -> Result<usize> {
    let bus = Bus::start(stage, "")?;
    let (owns, leave) = (stage.gate()?, stage.gate()?);
    let first = stage.fork("first", |stage| {
        let mut link = bus.join()?;
        link.ask_aloud(stage, request(0))?;
        owns.open(1)?;
        leave.pass()?;
        stage.event("first", "leaves the bus");
        Ok(())
    })?;
    owns.pass()?;
    let mut second = bus.join()?;
    let declined = second.ask_aloud(stage, request(DO_NOT_QUEUE))?;
    let queued = second.ask_aloud(stage, request(0))?;
    leave.open(1)?;
    first.join()?;
    let told = second.must_hear(stage)?;
    let owner = Message::to_bus("GetNameOwner").text(NAME);
    let owner = second.ask_aloud(stage, owner)?.first();
    stage.saw("RequestName with the flags 0", queued.first());
    stage.saw("RequestName with DO_NOT_QUEUE", declined.first());
    stage.saw("when the first has left, a signal", told.member.clone());
    stage.saw("then it is the owner", owner == second.name);
    Ok(match (queued.error.is_empty(), queued.first().as_str()) {
        (false, _) => 2,
        (_, "1") => 3,
        _ => 1,
    })
}
// ANCHOR_END: name-taken

pub(super) const TAKE_OVER: Experiment = Experiment {
    name: "take-over",
    title: "Taking a name from its owner",
    level: Level::Later,
    question: "A server owns a name on a bus, and asked for it with the flags 0. A \
               newer version of it calls RequestName with REPLACE_EXISTING, the \
               flag that asks for a name which has an owner. Whom do calls to the \
               name reach then?",
    answers: &[
        wrong(
            "the newer one alone",
            "The flag says what the newcomer wants. The owner has to have agreed, \
             when it asked for the name, by ALLOW_REPLACEMENT.",
        ),
        right(
            "the old one alone",
            "The newer one waits in the queue. A name is taken over only if both \
             sides agree: the owner by ALLOW_REPLACEMENT, the newcomer by \
             REPLACE_EXISTING.",
        ),
        wrong(
            "the old and the newer one",
            "A name has one owner at a time; the others are a queue.",
        ),
    ],
    kind: Kind::Needs(&needs::DBUS_DAEMON),
    run: take_over,
    moral: "A server that wants to be replaced one day must say so from the start. When it \
            happens it gets the signal NameLost, and runs on, without calls.",
    see: "the D-Bus specification (RequestName)",
    file: file!(),
    shows: &["take-over"],
};

// ANCHOR: take-over
fn take_over(stage: &Stage) -> Result<usize> {
    let bus = Bus::start(stage, "")?;
    let (closed, _) = replace(stage, &bus, 0)?;
    let (opened, lost) = replace(stage, &bus, ALLOW_REPLACEMENT)?;
    stage.saw("the newcomer owns it", closed);
    stage.saw("the newcomer owns it, if the owner allowed that", opened);
    stage.saw("what the old owner heard then", lost);
    Ok(if closed { 1 } else { 2 })
}

/// Whether the newcomer gets a name that was asked for with `flags`, and what its owner
/// receives.
fn replace(stage: &Stage, bus: &Bus, flags: u32) -> Result<(bool, Vec<String>)> {
    let (owns, look) = (stage.gate()?, stage.gate()?);
    let old = stage.fork("old", |stage| {
        let mut link = bus.join()?;
        link.ask_aloud(stage, request(flags))?;
        owns.open(1)?;
        look.pass()?;
        // Whatever the bus had to report comes before its answer to this.
        let (_, before) = link.ask(Message::to_bus("GetId"))?;
        let heard: Vec<_> = before.into_iter().map(|signal| signal.member).collect();
        stage.event("old", format!("has heard {heard:?}"));
        Ok(heard)
    })?;
    owns.pass()?;
    let mut newer = bus.join()?;
    newer.ask_aloud(stage, request(REPLACE_EXISTING))?;
    let owner = Message::to_bus("GetNameOwner").text(NAME);
    let owner = newer.ask_aloud(stage, owner)?.first();
    look.open(1)?;
    Ok((owner == newer.name, old.join()?))
}
// ANCHOR_END: take-over

pub(super) const ACTIVATION: Experiment = Experiment {
    name: "activation",
    title: "A call to a name that nobody owns",
    level: Level::First,
    question: "A client calls a method of a name on a bus before the server has \
               been started. The bus has no file that says which program to start \
               for this name. What becomes of the call?",
    answers: &[
        right(
            "the bus answers it with an error",
            "The error is ServiceUnknown. With a .service file of that name the \
             bus starts the program, keeps the call until the name is owned, and \
             delivers it.",
        ),
        wrong(
            "the bus keeps it for the server",
            "A bus keeps a call only while it starts a program itself. For a name \
             of which it knows nothing it has no reason to wait.",
        ),
        wrong(
            "the bus drops it without a word",
            "The client does not have to wait for its timeout: that there is no \
             owner is something that the bus knows and says.",
        ),
    ],
    kind: Kind::Needs(&needs::DBUS_DAEMON),
    run: activation,
    moral: "Under D-Bus a call may start its server. That a call was answered does not \
            mean that the server was running before, and an error may mean that the \
            program in the file could not be started.",
    see: "dbus-daemon(1), the D-Bus specification (Message Bus Starting Services)",
    file: file!(),
    shows: &["activation"],
};

// ANCHOR: activation
fn activation(stage: &Stage) -> Result<usize> {
    let services = stage.path("services");
    std::fs::create_dir(&services).context("mkdir")?;
    let more = format!("<servicedir>{}</servicedir>", services.display());
    let bus = Bus::start(stage, &more)?;
    let program = std::env::current_exe().context("readlink")?;
    let board = format!("{} dbus server --bus {}", program.display(), bus.address());
    for (name, exec) in [(NAME, board.as_str()), ("org.ipclab.Broken", "/none")] {
        let text = format!("[D-BUS Service]\nName={name}\nExec={exec}\n");
        let file = services.join(format!("{name}.service"));
        std::fs::write(file, text).context("write a service file")?;
    }
    let mut link = bus.join()?;
    link.ask(Message::to_bus("ReloadConfig"))?;
    let mut post = |name| {
        link.send(stage, Message::call("Post").to(name).text("hello"))?;
        link.must_hear(stage)
    };
    let unknown = post("org.ipclab.Nobody")?;
    let broken = post("org.ipclab.Broken")?;
    let started = post(NAME)?;
    stage.saw("without a file", unknown.error.clone());
    stage.saw("with a file whose program is not there", broken.error);
    stage.saw("with a file: the number of the post", started.first());
    Ok(if unknown.error.is_empty() { 2 } else { 1 })
}
// ANCHOR_END: activation
