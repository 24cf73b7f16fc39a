//! A file that is published whole, or not at all.

use bare::{Language, MeetingPlace};

use crate::draw::joined;
use crate::row::{Begin, Ends, Exercise, Kind, Player, Stage, Wrong, no_partner};
use crate::scene::Scene;

pub(super) const FULL_DISK: Exercise = Exercise {
    name: "full-disk",
    title: "a sender that publishes a whole file, or none",
    kind: Kind::Mend,
    minutes: 15,
    after: &[],
    task: include_str!("full_disk/task.md"),
    begin: Begin::Bare("file"),
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("full_disk/solution.rs")),
        Some(include_str!("full_disk/solution.c")),
        Some(include_str!("full_disk/solution.py")),
    ],
    reasons: "write(2) that finds room for a part stores it, and returns its length; the next one \
              has the error. So a loop that writes the rest is also what finds the full disk. Some \
              file systems tell later: in fsync(2), whose result counts as well. rename(2) comes \
              last, so that the old file is there until the new one is whole.",
    hints: [
        "write(2) returns how many bytes it has stored. Compare that with what you gave it.",
        "Write the rest in a loop, until nothing is left or a call fails. dprintf and write_all do \
         that; os.write and nix's write do not.",
        "When a call fails, unlink the unfinished file, and rename nothing. PLACE itself is never \
         opened to write.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "there is room: the receiver prints all messages",
            players: |scene| {
                let messages = scene.draw().lines(3);
                vec![
                    Player::learner(scene, "sender", &messages),
                    Player::learner(scene, "receiver", [""; 0])
                        .prints(joined(&messages)),
                ]
            },
            partner: no_partner,
            hint: 1,
        },
        Stage {
            name: "full",
            about: "there is room for a part: nothing is published",
            players: failing,
            partner: |partner| {
                partner.until_all_have_ended()?;
                let place = partner.scene.place();
                let _ = std::fs::remove_file(format!("{place}.tmp"));
                match std::fs::read(&place) {
                    Err(_) => Ok(()),
                    Ok(part) => {
                        let _ = std::fs::remove_file(&place);
                        partner.wrong(&format!(
                            "a part was published as the whole: {} bytes at PLACE",
                            part.len()
                        ))
                    }
                }
            },
            hint: 2,
        },
        Stage {
            name: "old",
            about: "an older file is at PLACE: it stays as it was",
            players: failing,
            partner: |partner| {
                let place = partner.scene.place();
                let old = joined(&partner.scene.draw().lines(2));
                let put = std::fs::write(&place, &old);
                partner.call("puts an older file at PLACE", put)?;
                partner.until_all_have_ended()?;
                let _ = std::fs::remove_file(format!("{place}.tmp"));
                let now = std::fs::read(&place).ok();
                let _ = std::fs::remove_file(&place);
                match now {
                    Some(now) if now == old => Ok(()),
                    Some(_) => partner.wrong("the older file at PLACE has changed"),
                    None => partner.wrong("the older file at PLACE is gone"),
                }
            },
            hint: 3,
        },
        Stage {
            name: "left",
            about: "nothing is left of the unfinished file",
            players: |scene| failing(scene).split_off(1),
            partner: no_partner,
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "publishes nothing",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "        os.rename(unfinished, name)  #",
                "        os.unlink(unfinished)  #",
            )],
        },
        Wrong {
            what: "does not look at what write returns",
            stage: "full",
            language: Language::Python,
            edits: &[(
                "rest = rest[os.write(file, rest):]",
                "rest = rest[:0 * os.write(file, rest)]",
            )],
        },
        Wrong {
            what: "says nothing when it fails",
            stage: "full",
            language: Language::Python,
            edits: &[("sys.exit(f\"{name}: {error.strerror}\")", "sys.exit(1)")],
        },
        Wrong {
            what: "removes the older file first",
            stage: "old",
            language: Language::Python,
            edits: &[(
                "    try:\n",
                "    if os.path.exists(name):\n        os.unlink(name)\n    try:\n",
            )],
        },
        Wrong {
            what: "leaves the unfinished file",
            stage: "left",
            language: Language::Python,
            edits: &[("        os.unlink(unfinished)  #", "        #")],
        },
    ],
};

/// The partner, and a sender that has room for a part of its second message.
fn failing(scene: &Scene) -> Vec<Player> {
    let mut draw = scene.draw();
    // The older file of the stage, which is drawn first.
    let _ = draw.lines(2);
    let messages = [draw.line(100), draw.line(20_000)];
    let sender = Player::learner(scene, "sender", messages);
    vec![Player::partner(), sender.prints("").ends(Ends::Failing).room(10_000)]
}
