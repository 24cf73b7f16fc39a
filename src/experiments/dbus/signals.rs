//! Signals: which client gets one, how often, and what becomes of those that no client takes.

use anyhow::{Context, Result};

use super::link::{Bus, DbusConnection};
use super::message::Message;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::{Gate, Stage};
use doctor::probes::needs;

/// AddMatch for the board's signals.
fn listen() -> Message {
    Message::to_bus("AddMatch").text("type='signal',interface='org.ipclab.Board1'")
}

pub(super) const LOST_SIGNAL: Experiment = Experiment {
    name: "lost-signal",
    title: "First the list, then the news",
    level: Level::Later,
    question: "A program shows a board's messages. It calls List to get those that are \
               there, and then AddMatch to get the signal Posted for each new one. \
               Between the two calls, somebody posts a message. When does the program \
               learn of it?",
    answers: &[
        wrong(
            "with the answer to AddMatch",
            "A bus keeps no signals, and delivers nothing that was missed. A \
             signal goes to those whose rules hold at that moment; if there are \
             none, it is gone, and its sender is not told.",
        ),
        right(
            "never, by none of the two calls",
            "It came too late for the list, and too early for the rule.",
        ),
        wrong(
            "at once, by the signal",
            "That is true without a bus, on a connection of two. On a bus a client \
             without rules is sent no broadcast at all.",
        ),
    ],
    kind: Kind::Needs(&needs::DBUS_DAEMON),
    run: lost_signal,
    moral: "Subscribe first, then ask for the state. What comes twice that way can be \
            recognised by its number; what never comes cannot.",
    see: "the D-Bus specification (Signals, AddMatch)",
    file: file!(),
    shows: &["lost-signal-broken", "lost-signal-cured", "lost-signal"],
};

// ANCHOR: lost-signal-broken
/// The list first. `between` is when the message is posted.
fn list_then_listen(
    stage: &Stage,
    link: &mut DbusConnection,
    between: &mut dyn FnMut() -> Result<()>,
) -> Result<usize> {
    let listed = list(stage, link)?;
    between()?;
    link.ask_aloud(stage, listen())?;
    Ok(listed + link.signals()?.len())
}
// ANCHOR_END: lost-signal-broken

// ANCHOR: lost-signal-cured
/// The rule first.
fn listen_then_list(
    stage: &Stage,
    link: &mut DbusConnection,
    between: &mut dyn FnMut() -> Result<()>,
) -> Result<usize> {
    link.ask_aloud(stage, listen())?;
    between()?;
    let signals = link.signals()?.len();
    // A message that is both in the list and in a signal counts once.
    Ok(list(stage, link)?.max(signals))
}
// ANCHOR_END: lost-signal-cured

/// Calls List: how many messages are on the board.
fn list(stage: &Stage, link: &mut DbusConnection) -> Result<usize> {
    link.send(stage, Message::call("List").to("org.ipclab.Board"))?;
    Ok(link.must_hear(stage)?.first().parse()?)
}

type Learn =
    fn(&Stage, &mut DbusConnection, &mut dyn FnMut() -> Result<()>) -> Result<usize>;

// ANCHOR: lost-signal
fn lost_signal(stage: &Stage) -> Result<usize> {
    let bus = Bus::start(stage, "")?;
    let broken = learn(stage, &bus, list_then_listen, true)?;
    let cured = learn(stage, &bus, listen_then_list, false)?;
    stage.saw("messages known, list first", broken);
    stage.saw("messages known, rule first", cured);
    Ok(if broken == 0 { 2 } else { 1 })
}

/// How many messages a program learns of, when one is posted.
fn learn(stage: &Stage, bus: &Bus, learn: Learn, list_first: bool) -> Result<usize> {
    let (ready, now, done) = (stage.gate()?, stage.gate()?, stage.gate()?);
    let board = stage.fork("board", |stage| {
        let mut link = bus.join()?;
        let name = "org.ipclab.Board";
        link.ask(Message::to_bus("RequestName").text(name).number(4))?;
        ready.open(1)?;
        let answer = |link: &mut DbusConnection, posts| {
            let asked = link.must_hear(stage)?;
            link.send(stage, asked.reply().number(posts))
        };
        if list_first {
            answer(&mut link, 0)?;
        }
        now.pass()?;
        link.send(stage, Message::signal("Posted").number(1))?;
        link.ask(Message::to_bus("GetId"))?; // the bus has passed it on
        done.open(1)?;
        if !list_first {
            answer(&mut link, 1)?;
        }
        Ok(())
    })?;
    ready.pass()?;
    let mut link = bus.join()?;
    let mut between = || {
        now.open(1)?;
        done.pass()
    };
    let known = learn(stage, &mut link, &mut between)?;
    board.join()?;
    Ok(known)
}
// ANCHOR_END: lost-signal

pub(super) const TWO_RULES: Experiment = Experiment {
    name: "two-rules",
    title: "Two match rules for one signal",
    level: Level::Deep,
    question: "A client on a bus calls AddMatch twice, with the same rule: two \
               parts of it want the signal Posted. Then one part is done and calls \
               RemoveMatch. A board emits Posted once before that, and once after. \
               How many does the client receive each time?",
    answers: &[
        wrong(
            "two, then one",
            "Rules say whether a connection gets a message, not how often. The \
             library hands the one copy to both parts.",
        ),
        wrong(
            "one, then none",
            "The same rule twice is two rules: the bus counts them. RemoveMatch \
             takes away one of the two.",
        ),
        right(
            "one, then one",
            "A signal goes to a connection once, if any of its rules holds; and \
             one of the two rules is left.",
        ),
    ],
    kind: Kind::Needs(&needs::DBUS_DAEMON),
    run: two_rules,
    moral: "AddMatch and RemoveMatch come in pairs, like open and close. A pair too few \
            leaves a rule that costs the bus work and this client messages, for ever.",
    see: "the D-Bus specification (AddMatch, RemoveMatch)",
    file: file!(),
    shows: &["two-rules"],
};

// ANCHOR: two-rules
fn two_rules(stage: &Stage) -> Result<usize> {
    let bus = Bus::start(stage, "")?;
    let (emit, emitted) = (stage.gate()?, stage.gate()?);
    let board = stage.fork("board", |stage| {
        let mut link = bus.join()?;
        for number in 1..=3 {
            emit.pass()?;
            link.send(stage, Message::signal("Posted").number(number))?;
            link.ask(Message::to_bus("GetId"))?; // the bus has passed it on
            emitted.open(1)?;
        }
        Ok(())
    })?;
    let mut link = bus.join()?;
    let received = |link: &mut DbusConnection| {
        emit.open(1)?;
        emitted.pass()?;
        let count = link.signals()?.len();
        stage.event("main", format!("has received {count}"));
        anyhow::Ok(count)
    };
    let none = received(&mut link)?;
    link.ask_aloud(stage, listen())?;
    link.ask_aloud(stage, listen())?;
    let both = received(&mut link)?;
    let remove = listen().member("RemoveMatch");
    link.ask_aloud(stage, remove)?;
    let one = received(&mut link)?;
    board.join()?;
    stage.saw("without a rule", none);
    stage.saw("with the rule twice", both);
    stage.saw("after one RemoveMatch", one);
    Ok(match (both, one) {
        (2, _) => 1,
        (_, 0) => 2,
        _ => 3,
    })
}
// ANCHOR_END: two-rules

pub(super) const SLOW_LISTENER: Experiment = Experiment {
    name: "slow-listener",
    title: "A listener that does not read",
    level: Level::Deep,
    question: "A client on a session bus has a rule for a signal, and is stopped \
               (Ctrl-Z): it does not call recv(2). A server emits the signal 1,000 \
               times, with 10,000 bytes each. A socket's buffer holds some hundred \
               thousand. Does the server wait, or is anything lost?",
    answers: &[
        right(
            "the server does not wait, nothing is lost",
            "The daemon has a queue for each client, in its memory. It grows until \
             a limit of the configuration, max_outgoing_bytes.",
        ),
        wrong(
            "the server waits in send(2), nothing is lost",
            "It would on a socket to the client. But it sends to the bus, and the \
             bus reads. One client that sleeps must not hold up all others.",
        ),
        wrong(
            "the server does not wait, signals are lost",
            "Not on a session bus, whose limit is 1,000,000,000 bytes. Where the \
             limit is reached this is what happens, as the second part of the run \
             shows.",
        ),
    ],
    kind: Kind::Needs(&needs::DBUS_DAEMON),
    run: slow_listener,
    moral: "There is no back-pressure through a bus: a listener that sleeps costs the \
            daemon memory, and beyond the limit it misses signals without a word to \
            anybody. Send news of data through it, not the data.",
    see: "dbus-daemon(1), socket(7)",
    file: file!(),
    shows: &["slow-listener"],
};

/// How many signals, and how many bytes each has.
const MANY: usize = 1000;
const SIZE: usize = 10_000;

// ANCHOR: slow-listener
fn slow_listener(stage: &Stage) -> Result<usize> {
    let limit =
        |bytes| format!("<limit name=\"max_outgoing_bytes\">{bytes}</limit>");
    let session = flood(stage, &limit(1_000_000_000))?;
    stage.event("main", "the same on a bus with max_outgoing_bytes = 1,000,000");
    let limited = flood(stage, &limit(1_000_000))?;
    stage.saw("received, of 1,000", session);
    stage.saw("some lost where the limit is 1,000,000 bytes", limited < MANY);
    Ok(if session == MANY { 1 } else { 3 })
}

/// How many of the signals reach a listener that reads only after all were sent.
fn flood(stage: &Stage, limit: &str) -> Result<usize> {
    let bus = Bus::start(stage, limit)?;
    let (listens, read): (Gate, Gate) = (stage.gate()?, stage.gate()?);
    let listener = stage.fork("listener", |stage| {
        let mut link = bus.join()?;
        link.ask_aloud(stage, listen())?;
        listens.open(1)?;
        read.pass()?; // asleep, and not in recv
        let mut received = 0;
        loop {
            let signal = link.hear_unseen()?;
            match signal.member.as_str() {
                "Posted" => received += 1,
                _ => return Ok(received),
            }
        }
    })?;
    listens.pass()?;
    let mut link = bus.join()?;
    let text = "x".repeat(SIZE);
    for _ in 0..MANY {
        link.send_unseen(Message::signal("Posted").text(&text))?;
    }
    link.ask(Message::to_bus("GetId"))?; // the bus has taken all of them
    stage.event("main", format!("has sent {MANY} signals, and was not held up"));
    read.open(1)?;
    // The end, for the listener alone: again and again, until there is room for it.
    let end = || Message::signal("End").to(":1.0");
    while link.ask(Message::to_bus("NameHasOwner").text(":1.0"))?.0.first() == "1" {
        link.send_unseen(end())?;
    }
    listener.join().context("the listener")
}
// ANCHOR_END: slow-listener
