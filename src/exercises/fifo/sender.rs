//! A sender whose reader dies.

use anyhow::Result;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use rustix::io::ioctl_fionread;

use bare::{Language, MeetingPlace};
use os::proc::{Activity, activity};

use crate::draw::{Draw, joined};
use crate::partner::Partner;
use crate::row::{Begin, Ends, Exercise, Kind, Player, Stage, Wrong, no_partner};
use crate::scene::Scene;

pub(super) const SENDER: Exercise = Exercise {
    name: "sender",
    title: "a sender that says what became of its messages when the reader dies",
    kind: Kind::Mend,
    minutes: 15,
    after: &["fifo/receiver"],
    task: include_str!("sender/task.md"),
    begin: Begin::Bare("fifo"),
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("sender/solution.rs")),
        Some(include_str!("sender/solution.c")),
        Some(include_str!("sender/solution.py")),
    ],
    reasons: "Without a reader write(2) sends SIGPIPE, and returns EPIPE where the signal is \
              ignored: Rust and Python ignore it at their start, and C does not. A write that \
              slept and had taken a part returns that part; the next one has the error. Handed \
              over is not read: what is in the FIFO goes with it.",
    hints: [
        "A program that a signal ends says nothing. Which signal is it, and what does write(2) \
         return where that signal is ignored?",
        "Count a message when its last byte is written, and look at EPIPE where you write.",
        "write returns how many bytes it has taken. Write the rest in a loop: the next call \
         returns the error.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "the reader reads to the end",
            players: |scene| {
                let messages = scene.draw().lines(3);
                vec![
                    Player::learner(scene, "receiver", [""; 0])
                        .prints(joined(&messages)),
                    Player::learner(scene, "sender", messages),
                ]
            },
            partner: no_partner,
            hint: 1,
        },
        Stage {
            name: "dead",
            about: "the FIFO is full, and the reader ends: 16 messages were handed over",
            players: |scene| {
                // 16 of them fill the 65,536 bytes of a FIFO.
                let mut draw = scene.draw();
                let messages: Vec<_> = (0..20).map(|_| draw.line(4095)).collect();
                vec![failing(scene, messages, "16"), Player::partner()]
            },
            partner: die,
            hint: 1,
        },
        Stage {
            name: "part",
            about: "the reader ends when a part of the second message is written",
            players: |scene| {
                let mut draw: Draw = scene.draw();
                let messages = vec![draw.line(10), draw.line(100_000)];
                vec![failing(scene, messages, "1"), Player::partner()]
            },
            partner: die,
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "writes no newlines",
            stage: "plain",
            language: Language::Python,
            edits: &[("message.encode() + b\"\\n\"", "message.encode()")],
        },
        Wrong {
            what: "is ended by the signal",
            stage: "dead",
            language: Language::C,
            edits: &[(
                "    signal(SIGPIPE, SIG_IGN);",
                "    signal(SIGPIPE, SIG_DFL);",
            )],
        },
        Wrong {
            what: "counts the message that was not taken",
            stage: "dead",
            language: Language::Python,
            edits: &[("enumerate(messages)", "enumerate(messages, 1)")],
        },
        Wrong {
            what: "takes a part for the whole",
            stage: "part",
            language: Language::Python,
            edits: &[(
                "rest = rest[os.write(fifo, rest):]",
                "rest = rest[:0 * os.write(fifo, rest)]",
            )],
        },
    ],
};

fn failing(scene: &Scene, messages: Vec<String>, count: &str) -> Player {
    Player::learner(scene, "sender", messages).ends(Ends::Failing).says(count)
}

/// Opens the FIFO, and reads nothing until the sender sleeps since there is no room.
fn die(partner: &mut Partner) -> Result<()> {
    let sender = partner.learner("sender")?;
    let place = partner.scene.place();
    let opened = open(place.as_str(), OFlag::O_RDONLY, Mode::empty());
    let fifo = partner.call("open(PLACE, O_RDONLY)", opened)?;
    partner.until("a full FIFO", || {
        let much = ioctl_fionread(&fifo).is_ok_and(|bytes| bytes > 32 * 1024);
        let sleeps = || !matches!(activity(sender), Activity::Other);
        (much && sleeps()).then_some(())
    })?;
    partner.log("the sender sleeps, since the FIFO is full");
    drop(fifo);
    partner.log("close(FIFO): there is no reader now");
    partner.until_all_have_ended()?;
    partner.call("unlink(PLACE)", std::fs::remove_file(&place))
}
