//! A mapped file that another process cuts short.

use std::fs::File;

use anyhow::Result;

use bare::{Language, MeetingPlace};

use super::super::draw::joined;
use super::super::partner::Partner;
use super::super::row::{
    Begin, Ends, Exercise, Kind, Player, Stage, Wrong, no_partner,
};
use super::super::scene::Scene;
use super::super::slot::Slot;

pub(super) const ROW: Exercise = Exercise {
    name: "shrunk",
    title: "both roles say it when their mapped file is cut short",
    kind: Kind::Mend,
    minutes: 30,
    after: &["mmap/record"],
    task: include_str!("shrunk/task.md"),
    begin: Begin::Bare("mmap"),
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("shrunk/solution.rs")),
        Some(include_str!("shrunk/solution.c")),
        None,
    ],
    reasons: "Asking fstat before each access does not help: the file may be cut between the two. \
              A handler for SIGBUS may call what signal-safety(7) lists: write and _exit are \
              enough. It must not return, for the access would be repeated, and fail again. \
              Python has no way: its handlers run later, between two instructions of its own.",
    hints: [
        "No call fails here: the kernel sends a signal. Which one, and what does a process do \
         with it that has no handler?",
        "A handler for SIGBUS, set before the file is mapped, in both roles.",
        "In the handler, call write(2) and _exit(2), and nothing that allocates or prints. Do not \
         return from it.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "your sender and your receiver still meet",
            players: |scene| {
                let messages = scene.draw().lines(3);
                vec![
                    Player::learner(scene, "receiver", [""; 0])
                        .prints(joined(&messages))
                        .idles(),
                    Player::learner(scene, "sender", messages),
                ]
            },
            partner: no_partner,
            hint: 1,
        },
        Stage {
            name: "receiver",
            about: "the file is cut to 0 bytes when the receiver wakes",
            players: |scene| cut_short(scene, "receiver"),
            partner: |partner| cut(partner, "receiver"),
            hint: 2,
        },
        Stage {
            name: "sender",
            about: "the file is cut to 0 bytes when the sender wakes",
            players: |scene| cut_short(scene, "sender"),
            partner: |partner| cut(partner, "sender"),
            hint: 2,
        },
    ],
    wrong: &[
        Wrong {
            what: "leaves the file",
            stage: "plain",
            language: Language::C,
            edits: &[(
                "    ok(unlink(name), \"unlink\"); /* the sender has sent all */\n",
                "    (void)unlink;\n",
            )],
        },
        Wrong {
            what: "says nothing",
            stage: "receiver",
            language: Language::C,
            edits: &[(
                "write(2, \"the file was cut short\\n\", 23) == -1",
                "unlink(\"\") == 0",
            )],
        },
        Wrong {
            what: "ends as if all were well",
            stage: "receiver",
            language: Language::C,
            edits: &[("    _exit(1);", "    _exit(0);")],
        },
        Wrong {
            what: "has a handler in the receiver alone",
            stage: "sender",
            language: Language::C,
            edits: &[
                ("    signal(SIGBUS, cut_short);\n", ""),
                (
                    "    for (unsigned length;",
                    "    signal(SIGBUS, cut_short);\n    for (unsigned length;",
                ),
            ],
        },
    ],
};

fn cut_short(scene: &Scene, role: &str) -> Vec<Player> {
    let messages = if role == "sender" { scene.draw().lines(2) } else { Vec::new() };
    vec![
        Player::learner(scene, role, messages)
            .prints("")
            .ends(Ends::Failing)
            .idles(),
        Player::partner(),
    ]
}

/// Cuts the file short while the role sleeps, and then makes it wake.
fn cut(partner: &mut Partner, role: &str) -> Result<()> {
    let place = partner.scene.place();
    let opened = File::options().read(true).write(true).open(&place);
    let file = partner.call("open(PLACE)", opened)?;
    let slot = Slot::map(partner, &file)?;
    let learner = partner.learner(role)?;
    slot.cut(partner, learner, &file, if role == "sender" { 0 } else { 7 })?;
    partner.until_all_have_ended()?;
    partner.call("unlink(PLACE)", std::fs::remove_file(&place))
}
