//! An object of another program under the name.

use anyhow::{Context, Result};

use bare::{Language, MeetingPlace};
use os::shm_file::segment_path;

use super::super::partner::Partner;
use super::super::row::{
    Begin, Ends, Exercise, Kind, Player, Stage, Wrong, no_partner,
};
use super::super::scene::Scene;
use super::hostile::both;
use super::{make, remove};

pub(super) const ROW: Exercise = Exercise {
    name: "stranger",
    title: "both roles leave another program's object alone",
    kind: Kind::Mend,
    minutes: 10,
    after: &[],
    task: include_str!("stranger/task.md"),
    begin: Begin::Bare("shm"),
    places: &[MeetingPlace::Name],
    solutions: [
        Some(include_str!("stranger/solution.rs")),
        Some(include_str!("stranger/solution.c")),
        Some(include_str!("stranger/solution.py")),
    ],
    reasons: "fstat asks the object that was opened, before anything is changed. A size of 0 is \
              a slot that the other side has made and not yet made longer. A size alone is a weak \
              mark: the role (ipclab shm) begins its object with a word of its own.",
    hints: [
        "Which call tells the size of an object that is open?",
        "Ask before ftruncate: an object that is too short is no slot, either.",
        "0 is new, 4,096 is a slot, and all else is another program's.",
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
            name: "large",
            about: "an object of 8,192 bytes is there: the receiver refuses it",
            players: |scene| refused(scene, "receiver"),
            partner: |partner| look(partner, 8192),
            hint: 1,
        },
        Stage {
            name: "small",
            about: "an object of 100 bytes is there: the receiver refuses it",
            players: |scene| refused(scene, "receiver"),
            partner: |partner| look(partner, 100),
            hint: 2,
        },
        Stage {
            name: "sender",
            about: "an object of 100 bytes is there: the sender refuses it",
            players: |scene| refused(scene, "sender"),
            partner: |partner| look(partner, 100),
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "refuses a slot that the other side has made",
            stage: "plain",
            language: Language::Python,
            edits: &[("if size not in (0, 4096):", "if size != 0:")],
        },
        Wrong {
            what: "asks when it has changed the size",
            stage: "large",
            language: Language::Python,
            edits: &[(
                "    size = os.fstat(memory).st_size\n",
                "    os.truncate(memory, 4096); size = os.fstat(memory).st_size\n",
            )],
        },
        Wrong {
            what: "refuses larger ones alone",
            stage: "small",
            language: Language::Python,
            edits: &[("if size not in (0, 4096):", "if size > 4096:")],
        },
        Wrong {
            what: "looks in the receiver alone",
            stage: "sender",
            language: Language::Python,
            edits: &[(
                "if size not in (0, 4096):",
                "if size not in (0, 4096) and sys.argv[1] == \"receiver\":",
            )],
        },
    ],
};

fn refused(scene: &Scene, role: &str) -> Vec<Player> {
    let messages = if role == "sender" { scene.draw().lines(1) } else { Vec::new() };
    vec![
        Player::partner(),
        Player::learner(scene, role, messages).prints("").ends(Ends::Failing),
    ]
}

/// Makes an object of this size; it must be as it was when the learner's program has gone.
fn look(partner: &mut Partner, size: u64) -> Result<()> {
    make(partner, size)?;
    let path = segment_path(&partner.scene.place());
    // A length that the bare receiver would take for the end: it would not sleep.
    let mut bytes = partner.scene.draw().bytes(size as usize);
    bytes[..4].fill(0xff);
    std::fs::write(&path, &bytes).context("write")?;
    partner.until_all_have_ended()?;
    let now = std::fs::read(&path);
    let Ok(now) = now else {
        return partner
            .wrong("the object at PLACE, of another program, has been removed");
    };
    if now.len() != bytes.len() {
        let (before, now) = (bytes.len(), now.len());
        let _ = remove(partner);
        return partner.wrong(&format!(
            "the object at PLACE had {before} bytes, and has {now} now"
        ));
    }
    remove(partner)?;
    match now == bytes {
        true => Ok(()),
        false => partner.wrong("the bytes of the object at PLACE have been changed"),
    }
}
