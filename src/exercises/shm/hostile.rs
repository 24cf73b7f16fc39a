//! A slot that another process fills with what cannot be.

use anyhow::Result;

use bare::{Language, MeetingPlace};

use super::super::draw::joined;
use super::super::partner::Partner;
use super::super::row::{
    Begin, Ends, Exercise, Kind, NOTHING, Player, Stage, Wrong, no_partner,
};
use super::super::scene::Scene;
use super::super::slot::Slot;
use super::{open, remove};

pub(super) const ROW: Exercise = Exercise {
    name: "hostile",
    title: "both roles believe no number that another process may store",
    kind: Kind::Mend,
    minutes: 15,
    after: &[],
    task: include_str!("hostile/task.md"),
    begin: Begin::Bare("shm"),
    places: &[MeetingPlace::Name],
    solutions: [
        Some(include_str!("hostile/solution.rs")),
        Some(include_str!("hostile/solution.c")),
        Some(include_str!("hostile/solution.py")),
    ],
    reasons: "Each number from shared memory is loaded once into a variable of the process's own, \
              and compared there: between two loads the other process could store another one. \
              For the sender each answer but 0 is an error, or it would never sleep again: \
              FUTEX_WAIT returns EAGAIN at once.",
    hints: [
        "Which numbers may stand in the length while the receiver waits? Which ones while the \
         sender waits?",
        "Load the length once, into a variable; compare and use the variable.",
        "FUTEX_WAIT returns EAGAIN at once if the word is not the number that was given: a loop \
         around it that waits for 0 alone never sleeps.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "your sender and your receiver still meet",
            players: both,
            partner: no_partner,
            hint: 1,
        },
        Stage {
            name: "long",
            about: "the length is 4,093: one more than there is room for",
            players: receiver,
            partner: |partner| lie(partner, 4093),
            hint: 1,
        },
        Stage {
            name: "huge",
            about: "the length is 2,147,483,648",
            players: receiver,
            partner: |partner| lie(partner, 1 << 31),
            hint: 2,
        },
        Stage {
            name: "answer",
            about: "the receiver answers with a length that is not 0",
            players: |scene| {
                let message = scene.draw().lines(1);
                vec![
                    Player::learner(scene, "sender", message)
                        .ends(Ends::Failing)
                        .idles(),
                    Player::partner(),
                ]
            },
            partner: |partner| {
                let slot = Slot::map(partner, &open(partner)?)?;
                let length = slot.next(0);
                partner.log(&format!("a line of {length} bytes is there"));
                slot.set(partner, length + 3)?;
                partner.until_all_have_ended()?;
                remove(partner)
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "refuses all",
            stage: "plain",
            language: Language::Python,
            edits: &[("elif length > 4092:", "elif length > 0:")],
        },
        Wrong {
            what: "forgets that the length itself takes room",
            stage: "long",
            language: Language::Python,
            edits: &[("elif length > 4092:", "elif length > 4096:")],
        },
        Wrong {
            what: "takes the length for a signed number",
            stage: "huge",
            language: Language::C,
            edits: &[
                ("length > sizeof slot->line", "(int)length > 4092"),
                (
                    "slot->line, length), \"write\"",
                    "slot->line, length % 4096), \"write\"",
                ),
            ],
        },
        Wrong {
            what: "leaves the name",
            stage: "long",
            language: Language::Python,
            edits: &[("            libc.shm_unlink(name.encode())\n", "")],
        },
        Wrong {
            what: "never sleeps again",
            stage: "answer",
            language: Language::Python,
            edits: &[("SEQ_CST)) == len(line):", "SEQ_CST)) != 0:")],
        },
        Wrong {
            what: "takes any answer for 0",
            stage: "answer",
            language: Language::Python,
            edits: &[(
                "        if now != 0:\n            sys.exit(f\"{name}: the length became {now}\")\n",
                "",
            )],
        },
    ],
};

/// The receiver, and then the sender with three lines.
pub(super) fn both(scene: &Scene) -> Vec<Player> {
    let messages = scene.draw().lines(3);
    vec![
        Player::learner(scene, "receiver", NOTHING)
            .prints(joined(&messages))
            .idles(),
        Player::learner(scene, "sender", messages),
    ]
}

fn receiver(scene: &Scene) -> Vec<Player> {
    vec![
        Player::learner(scene, "receiver", NOTHING)
            .prints("")
            .ends(Ends::Failing)
            .idles(),
        Player::partner(),
    ]
}

/// Stores a full slot with a length that is no line's.
fn lie(partner: &mut Partner, length: u32) -> Result<()> {
    let slot = Slot::map(partner, &open(partner)?)?;
    slot.publish(partner, &partner.scene.draw().bytes(4092), length)?;
    partner.until_all_have_ended()
}
