//! A record in a file, stored by a mapping.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result};

use bare::{Language, MeetingPlace};

use super::super::partner::Partner;
use super::super::row::{Begin, Exercise, Kind, Player, Stage, Wrong};
use super::super::scene::Scene;

pub(super) const ROW: Exercise = Exercise {
    name: "record",
    title: "a record that is stored by a mapping, and that others see",
    kind: Kind::Mend,
    minutes: 10,
    after: &[],
    task: include_str!("record/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("record/solution.rs")),
        Some(include_str!("record/solution.c")),
        Some(include_str!("record/solution.py")),
    ],
    reasons: "MAP_SHARED changes the file's pages, which all processes have in common; with \
              MAP_PRIVATE a process changes a copy of its own. A mapping cannot make a file \
              longer: an access behind the end is SIGBUS, so ftruncate comes first, and only \
              where the file is too short, for it cuts a longer one.",
    hints: [
        "Who sees what is stored in a mapping? See MAP_SHARED and MAP_PRIVATE in mmap(2).",
        "ftruncate sets a length: a file that is longer is cut. Ask for the length first: \
         fstat(2).",
        "The new length is the greater one of the old length and 64 * (N + 1).",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "five records are there, and the last is stored anew",
            players,
            partner: look,
            hint: 1,
        },
        Stage {
            name: "keep",
            about: "five records are there, and the second is stored anew",
            players,
            partner: look,
            hint: 2,
        },
        Stage {
            name: "grow",
            about: "five records are there, and record 900 is stored",
            players,
            partner: look,
            hint: 3,
        },
        Stage {
            name: "new",
            about: "there is no file",
            players,
            partner: look,
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "stores in a copy",
            stage: "plain",
            language: Language::Python,
            edits: &[("mmap.MAP_SHARED", "mmap.MAP_PRIVATE")],
        },
        Wrong {
            what: "leaves the end of the old text",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "    memory[at:at + 64] = text.encode().ljust(64, b\"\\0\")\n",
                "    memory[at:at + len(text)] = text.encode()\n",
            )],
        },
        Wrong {
            what: "cuts what lies behind",
            stage: "keep",
            language: Language::Python,
            edits: &[(
                "    if os.fstat(file).st_size < at + 64:\n        os.ftruncate(file, at + 64)",
                "    os.ftruncate(file, at + 64)",
            )],
        },
        Wrong {
            what: "maps more than the file has",
            stage: "grow",
            language: Language::C,
            edits: &[(
                "        ok(ftruncate(file, end), \"ftruncate\");",
                "        (void)ftruncate;",
            )],
        },
        Wrong {
            what: "wants a file to be there",
            stage: "new",
            language: Language::Python,
            edits: &[("os.O_RDWR | os.O_CREAT, 0o600", "os.O_RDWR")],
        },
    ],
};

/// The record that a stage stores.
fn number(stage: &str) -> usize {
    match stage {
        "plain" => 4,
        "keep" => 1,
        "grow" => 900,
        _ => 2,
    }
}

fn players(scene: &Scene) -> Vec<Player> {
    let number = number(scene.stage).to_string();
    let text = scene.draw().line(20);
    vec![Player::partner(), Player::learner(scene, "set", [number, text])]
}

/// Makes the file; then it must be as it was, but for the record.
fn look(partner: &mut Partner) -> Result<()> {
    let place = partner.scene.place();
    let mut draw = partner.scene.draw();
    let (text, number) = (draw.line(20), number(partner.scene.stage));
    let mut wanted = Vec::new();
    if partner.scene.stage != "new" {
        wanted = draw.bytes(5 * 64);
        partner.call(
            "writes a file of 320 bytes to PLACE",
            std::fs::write(&place, &wanted),
        )?;
    }
    partner.until_all_have_ended()?;
    let got = std::fs::read(&place);
    let mode = std::fs::metadata(&place).map(|about| about.permissions());
    let got = partner.call("reads the file", got)?;
    std::fs::remove_file(&place).context("unlink")?;
    let at = number * 64;
    if wanted.len() < at + 64 {
        wanted.resize(at + 64, 0);
    }
    wanted[at..at + 64].fill(0);
    wanted[at..at + 20].copy_from_slice(text.as_bytes());
    if got.len() != wanted.len() {
        let (got, wanted) = (got.len(), wanted.len());
        return partner
            .wrong(&format!("the file has {got} bytes, and should have {wanted}"));
    }
    if got[at..at + 64] != wanted[at..at + 64] {
        return partner.wrong(&format!(
            "record {number} is not the text and bytes of 0 behind it"
        ));
    }
    if got != wanted {
        return partner.wrong(&format!(
            "bytes other than those of record {number} have changed"
        ));
    }
    if mode? != Permissions::from_mode(0o100_600) && partner.scene.stage == "new" {
        return partner.wrong("the mode of the new file is not 0600");
    }
    Ok(())
}
