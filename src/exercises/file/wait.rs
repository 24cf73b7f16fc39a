//! A receiver that waits for its file.

use std::fs::{hard_link, remove_file, rename};

use anyhow::Result;

use bare::{Language, MeetingPlace};

use crate::draw::joined;
use crate::partner::Partner;
use crate::row::{Begin, Exercise, Kind, Player, Stage, Wrong};
use crate::scene::Scene;

pub(super) const WAIT: Exercise = Exercise {
    name: "wait",
    title: "a receiver that sleeps until its file is there",
    kind: Kind::Write,
    minutes: 25,
    after: &[],
    task: include_str!("wait/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("wait/solution.rs")),
        Some(include_str!("wait/solution.c")),
        None,
    ],
    reasons: "The watch comes first, and the look second: a file that comes between the two is \
              found by the look, and one that comes after the look is told by the watch. The other \
              way round it may be missed, and the receiver sleeps for ever. IN_MOVED_TO is \
              rename(2), IN_CREATE is link(2). Whatever the event, the answer is to look again.",
    hints: [
        "inotify_init1(2) gives a descriptor, inotify_add_watch(2) says which directory, and a \
         read of the descriptor sleeps until something happens there.",
        "Watch the directory of PLACE: the file itself is not there yet, so it cannot be watched. \
         IN_CREATE alone does not tell of rename(2).",
        "First the watch, then a loop: open PLACE; if that is ENOENT, read events and try again. \
         What the events say does not matter.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "first",
            about: "the file is there first",
            players: |scene| {
                let _ = std::fs::write(scene.place(), sent(scene));
                vec![receiver(scene)]
            },
            partner: |_| Ok(()),
            hint: 3,
        },
        Stage {
            name: "rename",
            about: "the receiver is first; the file comes by rename(2)",
            players: waiting,
            partner: |partner| publish(partner),
            hint: 1,
        },
        Stage {
            name: "link",
            about: "the file comes by link(2)",
            players: waiting,
            partner: |partner| {
                let (from, to) = (unfinished(&partner.scene), partner.scene.place());
                partner.call("link(PLACE.tmp, PLACE)", hard_link(&from, to))?;
                partner.call("unlink(PLACE.tmp)", remove_file(from))
            },
            hint: 2,
        },
        Stage {
            name: "others",
            about: "other files come and go before it",
            players: waiting,
            partner: |partner| {
                let receiver = partner.learner("receiver")?;
                for other in partner.scene.draw().lines(3) {
                    let other = partner.scene.dir.join(other.replace(' ', "_"));
                    partner
                        .call("makes another file", std::fs::write(&other, "no"))?;
                    partner.pause("the receiver looks, and waits again");
                    partner.until_asleep(receiver)?;
                    partner.call("removes it", remove_file(other))?;
                }
                publish(partner)
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "waits for a file that is there",
            stage: "first",
            language: Language::C,
            edits: &[(
                "    int file;\n    while",
                "    int file;\n    char first[4096];\n    ok(read(watch, first, sizeof first), \"read\");\n    while",
            )],
        },
        Wrong {
            what: "looks every millisecond",
            stage: "rename",
            language: Language::C,
            edits: &[(
                "        ok(read(watch, events, sizeof events), \"read\");",
                "        memset(events, 0, sizeof events);\n        usleep(1000);",
            )],
        },
        Wrong {
            what: "hears of rename alone",
            stage: "link",
            language: Language::C,
            edits: &[("IN_CREATE | IN_MOVED_TO", "IN_MOVED_TO")],
        },
        Wrong {
            what: "takes any file for its own",
            stage: "others",
            language: Language::C,
            edits: &[
                (
                    "    while ((file = open(name, O_RDONLY)) == -1 && errno == ENOENT) {",
                    "    if ((file = open(name, O_RDONLY)) == -1 && errno == ENOENT) {",
                ),
                (
                    "        ok(read(watch, events, sizeof events), \"read\");",
                    "        ok(read(watch, events, sizeof events), \"read\");\n        file = open(name, O_RDONLY);",
                ),
            ],
        },
    ],
};

fn sent(scene: &Scene) -> Vec<u8> {
    joined(&scene.draw().lines(3))
}

fn receiver(scene: &Scene) -> Player {
    Player::learner(scene, "receiver", [""; 0]).prints(sent(scene))
}

/// The receiver is first. The file is there, under another name.
fn waiting(scene: &Scene) -> Vec<Player> {
    let _ = std::fs::write(unfinished(scene), sent(scene));
    vec![receiver(scene).idles(), Player::partner()]
}

fn unfinished(scene: &Scene) -> String {
    format!("{}.tmp", scene.place())
}

fn publish(partner: &Partner) -> Result<()> {
    let (from, to) = (unfinished(&partner.scene), partner.scene.place());
    partner.call("rename(PLACE.tmp, PLACE)", rename(from, to))
}
