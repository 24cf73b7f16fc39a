//! The exercises of the chapter posixmq.

use anyhow::{Context, Result};
use nix::mqueue::{MQ_OFlag, MqAttr, mq_send};
use nix::sys::stat::Mode;

use bare::{Language, MeetingPlace};
use doctor::probes::queues;
use os::mqueue::{Queue, mq_open, mq_receive};
use wire::say::bytes as shown;

use super::draw::joined;
use super::partner::Partner;
use super::row::{
    Begin, Ends, Exercise, Kind, NOTHING, Player, Stage, Wrong, no_partner,
};
use super::scene::Scene;

/// The exercises.
pub(super) const ALL: &[Exercise] = &[RECEIVER, PATIENCE, LOGGER];

const RECEIVER: Exercise = Exercise {
    name: "receiver",
    title: "a receiver that reads any queue of messages to its end",
    kind: Kind::Write,
    minutes: 10,
    after: &[],
    task: include_str!("posixmq/receiver/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Name],
    solutions: [
        Some(include_str!("posixmq/receiver/solution.rs")),
        Some(include_str!("posixmq/receiver/solution.c")),
        Some(include_str!("posixmq/receiver/solution.py")),
    ],
    reasons: "The queue has the attributes that its maker gave it: mq_open with O_CREAT ignores \
              yours if the name is there. So the buffer is as long as mq_getattr says. The end \
              has two marks, no bytes and priority 0, since each alone may be a message.",
    hints: [
        "Five calls are enough: mq_open, mq_getattr, a loop of mq_receive and write, mq_unlink. \
         `ipclab bare posixmq` has them.",
        "mq_receive gives you a length and a priority. The end is where both are 0.",
        "Ask mq_getattr for mq_msgsize after mq_open: mq_receive fails with EMSGSIZE if your \
         buffer is shorter, however short the message is.",
    ],
    needs: Some(&queues::POSIX),
    stages: &[
        Stage {
            name: "plain",
            about: "three messages arrive; the receiver is there first",
            players: |scene| {
                let printed = printed(scene);
                let receiver = Player::learner(scene, "receiver", NOTHING);
                vec![receiver.prints(printed).idles(), Player::partner()]
            },
            partner: |partner| {
                let queue = open(partner)?;
                send_all(partner, &queue)
            },
            hint: 1,
        },
        Stage {
            name: "order",
            about: "the sender is there first, and has ended",
            players: sender_first,
            partner: |partner| send_first(partner, 1024),
            hint: 1,
        },
        Stage {
            name: "empty",
            about: "a message of no bytes, with priority 1, is a message",
            players: sender_first,
            partner: |partner| send_first(partner, 1024),
            hint: 2,
        },
        Stage {
            name: "lowest",
            about: "a message of priority 0 that is not empty is a message",
            players: sender_first,
            partner: |partner| send_first(partner, 1024),
            hint: 2,
        },
        Stage {
            name: "shape",
            about: "the sender's queue takes 8,192 bytes a message, and has one of them",
            players: sender_first,
            partner: |partner| send_first(partner, 8192),
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "prints no newline",
            stage: "plain",
            language: Language::Python,
            edits: &[("message + b\"\\n\"", "message")],
        },
        Wrong {
            what: "leaves the name",
            stage: "plain",
            language: Language::Python,
            edits: &[("    queue.unlink()\n", "")],
        },
        Wrong {
            what: "does not sleep",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "    while True:\n",
                "    while queue.current_messages == 0:\n        pass\n    while True:\n",
            )],
        },
        Wrong {
            what: "makes the queue anew",
            stage: "order",
            language: Language::Python,
            edits: &[(
                "    queue = MessageQueue(name, O_CREAT",
                "    from contextlib import suppress\n    from posix_ipc import \
                 ExistentialError, unlink_message_queue\n    with suppress(ExistentialError):\n        \
                 unlink_message_queue(name)\n    queue = MessageQueue(name, O_CREAT",
            )],
        },
        Wrong {
            what: "takes no bytes for the end",
            stage: "empty",
            language: Language::Python,
            edits: &[(" and priority == 0", "")],
        },
        Wrong {
            what: "takes priority 0 for the end",
            stage: "lowest",
            language: Language::Python,
            edits: &[("message == b\"\" and ", "")],
        },
        Wrong {
            what: "has a buffer of 1,024 bytes",
            stage: "shape",
            language: Language::C,
            edits: &[(
                "    ok(mq_getattr(queue, &attr), \"mq_getattr\"); /* of the queue that is there */\n",
                "",
            )],
        },
    ],
};

const PATIENCE: Exercise = Exercise {
    name: "patience",
    title: "a receiver that does not wait for ever for a dead sender",
    kind: Kind::Mend,
    minutes: 15,
    after: &["posixmq/receiver"],
    task: include_str!("posixmq/patience/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Name],
    solutions: [
        Some(include_str!("posixmq/patience/solution.rs")),
        Some(include_str!("posixmq/patience/solution.c")),
        Some(include_str!("posixmq/patience/solution.py")),
    ],
    reasons: "mq_timedreceive takes a time of the clock CLOCK_REALTIME, not a duration: a small \
              number of seconds is a time in 1970, and the call returns ETIMEDOUT at once. The \
              time is made anew for each message.",
    hints: [
        "Replace mq_receive by mq_timedreceive. Which errno says that the time is over?",
        "abs_timeout is a point in time. clock_gettime(CLOCK_REALTIME) is now.",
        "Make the time inside the loop: now and SECONDS. At ETIMEDOUT: a line, mq_unlink, \
         status 1.",
    ],
    needs: Some(&queues::POSIX),
    stages: &[
        Stage {
            name: "plain",
            about: "the sender comes later than the receiver, and within 60 s",
            players: |scene| {
                let printed = printed(scene);
                let receiver = Player::learner(scene, "receiver", ["60"]);
                vec![receiver.prints(printed).idles(), Player::partner()]
            },
            partner: |partner| {
                let queue = open(partner)?;
                send_all(partner, &queue)
            },
            hint: 2,
        },
        Stage {
            name: "never",
            about: "no message comes for a second",
            players: |scene| out_of_patience(scene, ""),
            partner: |partner| {
                partner.log("sends nothing");
                partner.until_none_is_left()
            },
            hint: 1,
        },
        Stage {
            name: "midway",
            about: "the sender dies behind its first message",
            players: |scene| {
                let printed = format!("{}\n", scene.draw().line(8));
                let mut players = out_of_patience(scene, &printed);
                players.insert(0, Player::partner());
                players
            },
            partner: |partner| {
                // The first of the two partners leaves this for the second.
                let sent = partner.scene.dir.join("sent");
                if std::fs::remove_file(&sent).is_ok() {
                    return partner.until_none_is_left();
                }
                let queue = make(partner, MQ_OFlag::O_WRONLY, (10, 1024))?;
                let message = partner.scene.draw().line(8);
                send(partner, &queue, message.as_bytes(), 1)?;
                partner.log("ends, and has sent no end");
                std::fs::write(sent, "").context("open")
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "takes the number of seconds for a time",
            stage: "plain",
            language: Language::C,
            edits: &[("until.tv_sec += seconds;", "until.tv_sec = seconds;")],
        },
        Wrong {
            what: "waits for ever",
            stage: "never",
            language: Language::C,
            edits: &[(
                "until.tv_sec += seconds;",
                "until.tv_sec += 1000 * seconds;",
            )],
        },
        Wrong {
            what: "leaves the name of the queue",
            stage: "never",
            language: Language::C,
            edits: &[(
                "            ok(mq_unlink(name), \"mq_unlink\");\n            exit(1);",
                "            exit(1);",
            )],
        },
        Wrong {
            what: "ends as if all were well",
            stage: "never",
            language: Language::C,
            edits: &[("            exit(1);", "            exit(0);")],
        },
        Wrong {
            what: "is patient with the first message alone",
            stage: "midway",
            language: Language::Python,
            edits: &[(
                "        os.write(1, message + b\"\\n\")\n",
                "        os.write(1, message + b\"\\n\")\n        seconds = None\n",
            )],
        },
    ],
};

const LOGGER: Exercise = Exercise {
    name: "logger",
    title: "a sender that never waits, and counts what it had to drop",
    kind: Kind::Mend,
    minutes: 15,
    after: &["posixmq/receiver"],
    task: include_str!("posixmq/logger/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Name],
    solutions: [
        Some(include_str!("posixmq/logger/solution.rs")),
        Some(include_str!("posixmq/logger/solution.c")),
        Some(include_str!("posixmq/logger/solution.py")),
    ],
    reasons: "O_NONBLOCK belongs to the open queue description, so only this process does not \
              wait. A full queue is EAGAIN, a message that is too long EMSGSIZE: both concern this \
              message alone, so the loop goes on. Without O_CREAT a logger that nobody reads \
              leaves no queue.",
    hints: [
        "O_NONBLOCK in mq_open changes what mq_send does when the queue is full.",
        "Two errors of mq_send concern the message alone, and not the queue: EAGAIN and EMSGSIZE. \
         At both, count, and go on with the next one.",
        "Who gives O_CREAT makes a queue that nobody will remove.",
    ],
    needs: Some(&queues::POSIX),
    stages: &[
        Stage {
            name: "plain",
            about: "there is room for all messages",
            players: |scene| log_and_look(scene, messages(scene), Ends::Well),
            partner: |partner| keep_queue(partner, 10, 1024),
            hint: 1,
        },
        Stage {
            name: "full",
            about: "there is room for 4 of 7 messages, and nobody reads",
            players: |scene| {
                log_and_look(scene, messages(scene)[..4].to_vec(), Ends::Failing)
            },
            partner: |partner| keep_queue(partner, 4, 1024),
            hint: 1,
        },
        Stage {
            name: "long",
            about: "the queue takes 24 bytes a message; one of three has 60",
            players: |scene| {
                let mut fitting = messages(scene);
                fitting.retain(|message| message.len() <= 24);
                log_and_look(scene, fitting, Ends::Failing)
            },
            partner: |partner| keep_queue(partner, 10, 24),
            hint: 2,
        },
        Stage {
            name: "alone",
            about: "there is no queue",
            players: |scene| {
                let logger = Player::learner(scene, "logger", messages(scene));
                vec![logger.prints("").ends(Ends::Failing)]
            },
            partner: no_partner,
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "sends with the message's newline",
            stage: "plain",
            language: Language::Python,
            edits: &[("message.encode()", "message.encode() + b\"\\n\"")],
        },
        Wrong {
            what: "waits for room",
            stage: "full",
            language: Language::Python,
            edits: &[("    queue.block = False  # O_NONBLOCK\n", "")],
        },
        Wrong {
            what: "hides what was dropped",
            stage: "full",
            language: Language::Python,
            edits: &[(
                "        sys.exit(f\"{dropped} of {len(messages)} messages dropped\")",
                "        sys.exit(0)",
            )],
        },
        Wrong {
            what: "stops at the message that is too long",
            stage: "long",
            language: Language::C,
            edits: &[(" && errno != EMSGSIZE", "")],
        },
        Wrong {
            what: "makes a queue that nobody reads",
            stage: "alone",
            language: Language::C,
            edits: &[(
                "mq_open(name, O_WRONLY | O_NONBLOCK)",
                "mq_open(name, O_WRONLY | O_NONBLOCK | O_CREAT, 0600, NULL)",
            )],
        },
    ],
};

/// The messages of a stage, without the end.
fn messages(scene: &Scene) -> Vec<String> {
    let mut draw = scene.draw();
    let mut lines = draw.lines(if scene.stage == "full" { 7 } else { 3 });
    if scene.stage == "long" {
        lines[1] = draw.line(60);
    }
    lines
}

/// What the partner sends before the end, each with its priority.
fn sent(scene: &Scene) -> Vec<(Vec<u8>, u32)> {
    let mut draw = scene.draw();
    let lines = draw.lines(3).into_iter().map(|line| (line.into_bytes(), 1));
    let mut all: Vec<_> = lines.collect();
    match scene.stage {
        "empty" => all[1].0.clear(),
        "lowest" => all[2].1 = 0,
        "shape" => all[1].0 = draw.bytes(8192),
        _ => {}
    }
    all
}

/// The same as a receiver prints it.
fn printed(scene: &Scene) -> Vec<u8> {
    let sent = sent(scene).into_iter();
    sent.flat_map(|(mut message, _)| {
        message.push(b'\n');
        message
    })
    .collect()
}

fn sender_first(scene: &Scene) -> Vec<Player> {
    let receiver = Player::learner(scene, "receiver", NOTHING);
    vec![Player::partner(), receiver.prints(printed(scene))]
}

/// A receiver whose sender does not come, or comes no more.
fn out_of_patience(scene: &Scene, printed: &str) -> Vec<Player> {
    let receiver = Player::learner(scene, "receiver", ["1"]);
    vec![receiver.prints(printed).ends(Ends::Failing), Player::partner()]
}

/// A logger, and the partner, who has made the queue, and looks afterwards what is in it.
fn log_and_look(scene: &Scene, arrive: Vec<String>, ends: Ends) -> Vec<Player> {
    let logger = Player::learner(scene, "logger", messages(scene));
    vec![Player::partner().prints(joined(&arrive)), logger.prints("").ends(ends)]
}

/// Opens the queue that the receiver has made.
fn open(partner: &Partner) -> Result<Queue> {
    let place = partner.scene.place();
    let opened = mq_open(&place, MQ_OFlag::O_WRONLY, Mode::empty(), None);
    partner.call("mq_open(PLACE, O_WRONLY)", opened)
}

/// Makes a queue of so many messages of so many bytes.
fn make(
    partner: &Partner,
    flags: MQ_OFlag,
    (most, longest): (i64, i64),
) -> Result<Queue> {
    let place = partner.scene.place();
    let flags = flags | MQ_OFlag::O_CREAT | MQ_OFlag::O_EXCL;
    let attr = MqAttr::new(0, most, longest, 0);
    let made = mq_open(&place, flags, Mode::S_IRUSR | Mode::S_IWUSR, Some(&attr));
    let call =
        format!("mq_open(PLACE, O_CREAT, mq_maxmsg {most}, mq_msgsize {longest})");
    partner.call(&call, made)
}

fn send(
    partner: &Partner,
    queue: &Queue,
    message: &[u8],
    priority: u32,
) -> Result<()> {
    let call = format!("mq_send({}, priority {priority})", shown(message));
    partner.call(&call, mq_send(queue, message, priority))
}

/// Sends all, and the end.
fn send_all(partner: &Partner, queue: &Queue) -> Result<()> {
    for (message, priority) in sent(&partner.scene) {
        send(partner, queue, &message, priority)?;
    }
    send(partner, queue, b"", 0)
}

/// Makes the queue, sends all, and ends before the receiver starts.
fn send_first(partner: &mut Partner, longest: i64) -> Result<()> {
    let queue = make(partner, MQ_OFlag::O_WRONLY, (10, longest))?;
    send_all(partner, &queue)
}

/// Makes the queue, and takes what is in it once the logger has ended.
fn keep_queue(partner: &mut Partner, most: i64, longest: i64) -> Result<()> {
    let flags = MQ_OFlag::O_RDONLY | MQ_OFlag::O_NONBLOCK;
    let queue = make(partner, flags, (most, longest))?;
    partner.until_all_have_ended()?;
    let mut message = Vec::new();
    while mq_receive(&*queue, &mut message, longest as usize).is_ok() {
        message.push(b'\n');
        partner.received(&message)?;
    }
    let place = partner.scene.place();
    partner.call("mq_unlink(PLACE)", nix::mqueue::mq_unlink(place.as_str()))
}
