//! The exercises of the chapter sysvmq.

use anyhow::Result;
use nix::sys::signal::Signal;

use bare::{Language, MeetingPlace};
use doctor::probes::queues;
use os::sysv::{Msgbuf, msgget, msgrcv, msgsnd, msgstat};
use os::sysv_control::remove;
use wire::say::bytes as shown;

use super::partner::Partner;
use super::row::{Begin, Exercise, Kind, NOTHING, Player, Stage, Wrong};
use super::scene::Scene;

/// The exercises.
pub(super) const ALL: &[Exercise] = &[WORKER, LONG, SIGNAL];

const WORKER: Exercise = Exercise {
    name: "worker",
    title: "a worker that takes the messages of its type, and no others",
    kind: Kind::Write,
    minutes: 10,
    after: &[],
    task: include_str!("sysvmq/worker/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Key],
    solutions: [
        Some(include_str!("sysvmq/worker/solution.rs")),
        Some(include_str!("sysvmq/worker/solution.c")),
        Some(include_str!("sysvmq/worker/solution.py")),
    ],
    reasons: "msgrcv selects in the kernel: a type above 0 takes the oldest message of that type, \
              and looks past all others. Who takes any message and puts back what is not his own \
              changes the order, and never sleeps.",
    hints: [
        "Two calls are enough: msgget, and msgrcv in a loop. `ipclab bare sysvmq` has them.",
        "The argument msgtyp of msgrcv: 0 takes any message, a negative number also lower types.",
        "The size that msgrcv is given is that of the text alone, without the type: 8,192.",
    ],
    needs: Some(&queues::SYSV),
    stages: &[
        Stage {
            name: "plain",
            about: "three messages for the worker, who is there first",
            players: |scene| vec![worker(scene).idles(), Player::partner()],
            partner: |partner| {
                let queue =
                    partner.call("msgget(PLACE, 0)", msgget(key(partner), 0))?;
                send_all(partner, queue)?;
                look_afterwards(partner, queue)
            },
            hint: 1,
        },
        Stage {
            name: "others",
            about: "messages of lower and higher types are in the queue, too",
            players: |scene| vec![Player::partner(), worker(scene)],
            partner: |partner| {
                let queue = make(partner)?;
                send_all(partner, queue)?;
                look_afterwards(partner, queue)
            },
            hint: 2,
        },
        Stage {
            name: "large",
            about: "a message of 8,192 bytes, most of them no text",
            players: |scene| vec![Player::partner(), worker(scene)],
            partner: |partner| {
                let queue = make(partner)?;
                send_all(partner, queue)?;
                look_afterwards(partner, queue)
            },
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
            what: "removes the queue",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "            break\n",
                "            queue.remove()\n            break\n",
            )],
        },
        Wrong {
            what: "looks again and again",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "    while True:\n",
                "    import time\n    while queue.current_messages == 0:\n        \
                 time.sleep(0.001)\n    while True:\n",
            )],
        },
        Wrong {
            what: "takes any message",
            stage: "others",
            language: Language::Python,
            edits: &[("type=mtype", "type=0")],
        },
        Wrong {
            what: "takes lower types, too",
            stage: "others",
            language: Language::C,
            edits: &[("8192, type, 0)", "8192, -type, 0)")],
        },
        Wrong {
            what: "puts back what is not its own",
            stage: "others",
            language: Language::Python,
            edits: &[(
                "        message, _ = queue.receive(type=mtype)  # sleeps while no message has the type\n",
                "        message, other = queue.receive()\n        if other != mtype:\n            \
                 queue.send(message, type=other)\n            continue\n",
            )],
        },
        Wrong {
            what: "counts the type into the size",
            stage: "large",
            language: Language::C,
            edits: &[(
                "&message, 8192, type",
                "&message, 8192 - sizeof(long), type",
            )],
        },
    ],
};

const LONG: Exercise = Exercise {
    name: "long",
    title: "a receiver that loses no byte of a message, however long it is",
    kind: Kind::Mend,
    minutes: 15,
    after: &["sysvmq/worker"],
    task: include_str!("sysvmq/long/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Key],
    solutions: [
        Some(include_str!("sysvmq/long/solution.rs")),
        Some(include_str!("sysvmq/long/solution.c")),
        None,
    ],
    reasons: "Without MSG_NOERROR, msgrcv fails with E2BIG and leaves the message where it is: \
              the receiver makes more room, and asks again. A room that is larger once and for \
              all only moves the fault, to the first message of an administrator who has raised \
              msgmax.",
    hints: [
        "Read in msgrcv(2) what happens to a message that is longer than msgsz, with MSG_NOERROR \
         and without it.",
        "Without MSG_NOERROR the call fails with E2BIG, and the message stays in the queue.",
        "At E2BIG double the room (realloc in C, resize in Rust), and call msgrcv again. All other \
         errors end the program.",
    ],
    needs: Some(&queues::SYSV),
    stages: &[
        Stage {
            name: "plain",
            about: "three short messages",
            players: receiver_first,
            partner: to_receiver,
            hint: 1,
        },
        Stage {
            name: "long",
            about: "one message of three has 2,000 bytes",
            players: receiver_first,
            partner: to_receiver,
            hint: 2,
        },
        Stage {
            name: "largest",
            about: "one message has 8,192 bytes, the most that Linux allows by default",
            players: receiver_first,
            partner: to_receiver,
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "prints no newline",
            stage: "plain",
            language: Language::C,
            edits: &[("message->mtext, n + 1)", "message->mtext, n)")],
        },
        Wrong {
            what: "leaves the queue",
            stage: "plain",
            language: Language::C,
            edits: &[("    ok(msgctl(queue, IPC_RMID, NULL), \"msgctl\");\n", "")],
        },
        Wrong {
            what: "ends at E2BIG",
            stage: "long",
            language: Language::C,
            edits: &[("errno == E2BIG", "errno == ENOMEM")],
        },
        Wrong {
            what: "drops the long message",
            stage: "long",
            language: Language::C,
            edits: &[(
                "            room *= 2;\n            message = with_room(message, room);\n",
                "            msgrcv(queue, message, room, 0, MSG_NOERROR);\n",
            )],
        },
        Wrong {
            what: "has room for 4,096 bytes at most",
            stage: "largest",
            language: Language::C,
            edits: &[(
                "            room *= 2;\n",
                "            if (room == 4096)\n                ok(-1, \"msgrcv\");\n            \
                 room *= 2;\n",
            )],
        },
    ],
};

const SIGNAL: Exercise = Exercise {
    name: "signal",
    title: "a receiver that answers signals, and goes on",
    kind: Kind::Mend,
    minutes: 15,
    after: &["sysvmq/worker"],
    task: include_str!("sysvmq/signal/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Key],
    solutions: [
        Some(include_str!("sysvmq/signal/solution.rs")),
        Some(include_str!("sysvmq/signal/solution.c")),
        None,
    ],
    reasons: "msgrcv is never restarted, whatever SA_RESTART says: it returns EINTR once a \
              handler has run. Here that is welcome: the loop looks at what was noted. A moment is \
              left, between this look and the sleep, in which a signal is noted and answered only \
              after the next message; signalfd and a queue that can be polled have none.",
    hints: [
        "Which error does the program end with? Find this error in msgrcv(2), and in signal(7) \
         what SA_RESTART does to msgrcv.",
        "EINTR is no failure: a handler has run. Go back to the head of the loop, where the notes \
         are looked at.",
        "At SIGTERM the loop ends, and the msgctl behind it removes the queue.",
    ],
    needs: Some(&queues::SYSV),
    stages: &[
        Stage {
            name: "plain",
            about: "three messages arrive, and no signal",
            players: receiver_first,
            partner: to_receiver,
            hint: 1,
        },
        Stage {
            name: "count",
            about: "SIGUSR1 while the receiver sleeps, between two messages",
            players: receiver_first,
            partner: |partner| ask(partner, 1),
            hint: 1,
        },
        Stage {
            name: "again",
            about: "SIGUSR1 three times",
            players: receiver_first,
            partner: |partner| ask(partner, 3),
            hint: 2,
        },
        Stage {
            name: "leave",
            about: "SIGTERM while the receiver sleeps",
            players: receiver_first,
            partner: |partner| {
                let queue =
                    partner.call("msgget(PLACE, 0)", msgget(key(partner), 0))?;
                let (mtype, message) = sent(&partner.scene).remove(0);
                send(partner, queue, mtype, &message)?;
                send_signal(partner, queue, Signal::SIGTERM)
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "prints no newline",
            stage: "plain",
            language: Language::C,
            edits: &[("message.mtext, n + 1)", "message.mtext, n)")],
        },
        Wrong {
            what: "takes EINTR for the end",
            stage: "count",
            language: Language::C,
            edits: &[(
                "has run */\n            continue;",
                "has run */\n            break;",
            )],
        },
        Wrong {
            what: "calls msgrcv again without a look at the notes",
            stage: "count",
            language: Language::C,
            edits: &[(
                "        long n = msgrcv(queue, &message, ROOM, 0, 0);",
                "        long n;\n        while ((n = msgrcv(queue, &message, ROOM, 0, 0)) == -1 && \
                 errno == EINTR);",
            )],
        },
        Wrong {
            what: "has a handler for the first signal alone",
            stage: "again",
            language: Language::C,
            edits: &[(".sa_flags = SA_RESTART}", ".sa_flags = SA_RESETHAND}")],
        },
        Wrong {
            what: "leaves the queue",
            stage: "leave",
            language: Language::C,
            edits: &[(
                "    ok(msgctl(queue, IPC_RMID, NULL), \"msgctl\");",
                "    if (!leave)\n        ok(msgctl(queue, IPC_RMID, NULL), \"msgctl\");",
            )],
        },
        Wrong {
            what: "is ended by SIGTERM",
            stage: "leave",
            language: Language::C,
            edits: &[(
                "    ok(sigaction(SIGTERM, &action, NULL), \"sigaction\");\n",
                "",
            )],
        },
    ],
};

/// The type of the worker's messages, and that of the end for a receiver.
const ITS_TYPE: i64 = 3;
const END: i64 = 0x7fff_ffff;

/// More than any message has.
const ROOM: usize = 8192;

/// What is sent, in this order, each with its type; without the end.
fn sent(scene: &Scene) -> Vec<(i64, Vec<u8>)> {
    let mut draw = scene.draw();
    let lines = draw.lines(3).into_iter();
    let mut all: Vec<_> = lines.map(|line| (ITS_TYPE, line.into_bytes())).collect();
    match scene.stage {
        "others" => {
            for (at, mtype) in [(3, 1), (2, END), (1, 2), (1, 4), (0, 2)] {
                all.insert(at, (mtype, draw.line(9).into_bytes()));
            }
        }
        "long" => all[1].1 = draw.line(2000).into_bytes(),
        "large" | "largest" => all[1].1 = draw.bytes(ROOM),
        _ => {}
    }
    all
}

fn line(message: &[u8]) -> Vec<u8> {
    [message, b"\n"].concat()
}

/// A worker, and what it must print: the messages of its type.
fn worker(scene: &Scene) -> Player {
    let printed = sent(scene).into_iter().filter(|(mtype, _)| *mtype == ITS_TYPE);
    let printed = printed.flat_map(|(_, message)| line(&message));
    Player::learner(scene, "worker", [ITS_TYPE.to_string()])
        .prints(printed.collect::<Vec<_>>())
}

/// A receiver, what it must print, and the partner.
fn receiver_first(scene: &Scene) -> Vec<Player> {
    let lines = sent(scene).into_iter().map(|(_, message)| line(&message));
    let mut lines: Vec<_> = lines.collect();
    match scene.stage {
        "count" => lines.insert(2, b"received 2\n".to_vec()),
        "again" => lines.insert(2, b"received 2\n".repeat(3)),
        "leave" => lines.truncate(1),
        _ => {}
    }
    let receiver = Player::learner(scene, "receiver", NOTHING);
    vec![receiver.prints(lines.concat()).idles(), Player::partner()]
}

fn key(partner: &Partner) -> i32 {
    partner.scene.key()
}

fn make(partner: &Partner) -> Result<i32> {
    let flags = libc::IPC_CREAT | libc::IPC_EXCL | 0o600;
    partner.call("msgget(PLACE, IPC_CREAT | 0600)", msgget(key(partner), flags))
}

fn send(partner: &Partner, queue: i32, mtype: i64, message: &[u8]) -> Result<()> {
    let mut buffer = Msgbuf::with_room(ROOM);
    buffer.set(mtype, message);
    let call = format!("msgsnd(type {mtype}, {})", shown(message));
    partner.call(&call, msgsnd(queue, &buffer, 0))
}

/// Sends all, with the worker's end behind its last message.
fn send_all(partner: &Partner, queue: i32) -> Result<()> {
    let mut all = sent(&partner.scene);
    let last = all.iter().rposition(|(mtype, _)| *mtype == ITS_TYPE);
    all.insert(last.map_or(0, |last| last + 1), (ITS_TYPE, Vec::new()));
    for (mtype, message) in all {
        send(partner, queue, mtype, &message)?;
    }
    Ok(())
}

/// When the worker has ended: what belongs to others is still in the queue, and goes with it.
fn look_afterwards(partner: &Partner, queue: i32) -> Result<()> {
    partner.until_all_have_ended()?;
    if msgstat(queue).is_err() {
        return partner.wrong("the queue is gone");
    }
    let mut left = Vec::new();
    let mut buffer = Msgbuf::with_room(ROOM);
    while msgrcv(queue, &mut buffer, 0, libc::IPC_NOWAIT).is_ok() {
        let (mtype, text) = (buffer.mtype(), buffer.text());
        partner.log(&format!("still in the queue: type {mtype}, {}", shown(text)));
        left.push((mtype, text.to_vec()));
    }
    partner.call("msgctl(IPC_RMID)", remove(queue))?;
    let mut others = sent(&partner.scene);
    others.retain(|(mtype, _)| *mtype != ITS_TYPE);
    if left != others {
        return partner
            .wrong("the others' messages are not in the queue as they were");
    }
    Ok(())
}

/// Sends all to a receiver, and its end.
fn to_receiver(partner: &mut Partner) -> Result<()> {
    let queue = partner.call("msgget(PLACE, 0)", msgget(key(partner), 0))?;
    for (mtype, message) in sent(&partner.scene) {
        send(partner, queue, mtype, &message)?;
    }
    send(partner, queue, END, b"")
}

/// The same, with so many signals behind the second message.
fn ask(partner: &mut Partner, times: usize) -> Result<()> {
    let queue = partner.call("msgget(PLACE, 0)", msgget(key(partner), 0))?;
    for (index, (mtype, message)) in sent(&partner.scene).into_iter().enumerate() {
        if index == 2 {
            for _ in 0..times {
                send_signal(partner, queue, Signal::SIGUSR1)?;
            }
        }
        send(partner, queue, mtype, &message)?;
    }
    send(partner, queue, END, b"")
}

/// Sends the receiver a signal once it has taken all and sleeps, and waits until it sleeps again.
fn send_signal(partner: &Partner, queue: i32, signal: Signal) -> Result<()> {
    let receiver = partner.learner("receiver")?;
    partner.until("an empty queue", || {
        msgstat(queue).is_ok_and(|about| about.msg_qnum == 0).then_some(())
    })?;
    partner.until_asleep(receiver)?;
    partner.signal(receiver, signal, "while it sleeps in msgrcv(2)")?;
    partner.until_asleep(receiver)
}
