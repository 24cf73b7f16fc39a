//! A reader that is not misled by a pid that is another process's by now.

use anyhow::{Context, Result};
use bare::{Language, MeetingPlace};
use nix::sys::prctl::set_name;

use super::super::partner::Partner;
use super::super::row::{
    Begin, Ends, Exercise, Kind, NOTHING, Player, Stage, Wrong, no_partner,
};
use super::super::scene::Scene;
use super::{Target, withdraw};

pub(super) const ROW: Exercise = Exercise {
    name: "stale",
    title: "a reader that knows its target from another process",
    kind: Kind::Mend,
    minutes: 15,
    after: &[],
    task: include_str!("stale/task.md"),
    begin: Begin::Bare("procvm"),
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("stale/solution.rs")),
        Some(include_str!("stale/solution.c")),
        Some(include_str!("stale/solution.py")),
    ],
    reasons: "A pid is used again; pid and start time together are not. The pidfd comes first: if the \
              start time that is read after it agrees, then the pidfd is of that very process. The \
              second field of the line is the program's name in brackets, which may have blanks and \
              brackets in it: so the fields are counted from the last bracket.",
    hints: [
        "Field 22 of /proc/PID/stat is the start time (proc_pid_stat(5)). 0 in PLACE: do not compare.",
        "Compare before the first call on the other process's memory.",
        "Field 2 is a name in brackets. Count from the last `)`: what follows is field 3.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "your target and your reader: the start is not told",
            players: |scene| {
                let line = scene.draw().line(20);
                let target = Player::learner(scene, "target", [line]);
                vec![target, reader(scene)]
            },
            partner: no_partner,
            hint: 1,
        },
        Stage {
            name: "told",
            about: "the start is told, and is right",
            players: |scene| vec![Player::partner(), reader(scene)],
            partner: right,
            hint: 1,
        },
        Stage {
            name: "name",
            about: "the same, of a program whose name is `a) R (b c`",
            players: |scene| vec![Player::partner(), reader(scene)],
            partner: |partner| {
                let named = set_name(c"a) R (b c");
                partner.call("prctl(PR_SET_NAME, \"a) R (b c\")", named)?;
                right(partner)
            },
            hint: 3,
        },
        Stage {
            name: "other",
            about: "the process at that pid has another start",
            players: |scene| {
                let reader = Player::learner(scene, "reader", NOTHING);
                vec![Player::partner(), reader.prints("").ends(Ends::Failing)]
            },
            partner: |partner| {
                let line = partner.scene.draw().line(20);
                let target = Target::published(partner, Some(1))?;
                target.offer(partner, 1, Some(&line))?;
                partner.until_all_have_ended()?;
                withdraw(partner)?;
                match target.is_written() {
                    false => Ok(()),
                    true => partner.wrong(
                        "your program has stored into the memory of a process that is \
                         not the target",
                    ),
                }
            },
            hint: 2,
        },
    ],
    wrong: &[
        Wrong {
            what: "refuses where the start is not told",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "    if start not in (b\"0\", began):",
                "    if start != began:",
            )],
        },
        Wrong {
            what: "takes the field after the start",
            stage: "told",
            language: Language::Python,
            edits: &[(".split()[19]", ".split()[20]")],
        },
        Wrong {
            what: "counts from the first bracket",
            stage: "name",
            language: Language::Python,
            edits: &[(".rpartition(b\")\")[2]", ".partition(b\")\")[2]")],
        },
        Wrong {
            what: "does not compare",
            stage: "other",
            language: Language::Python,
            edits: &[("    if start not in (b\"0\", began):", "    if not began:")],
        },
        Wrong {
            what: "compares afterwards",
            stage: "other",
            language: Language::Python,
            edits: &[
                (
                    "    if start not in (b\"0\", began):\n        sys.exit(\"PLACE is of another process\")\n",
                    "",
                ),
                (
                    "        if not address:\n            return\n",
                    "        if start not in (b\"0\", began):\n            sys.exit(\"PLACE is of another process\")\n        if not address:\n            return\n",
                ),
            ],
        },
    ],
};

/// The learner's reader, which prints the one message.
fn reader(scene: &Scene) -> Player {
    let printed = format!("{}\n", scene.draw().line(20));
    Player::learner(scene, "reader", NOTHING).prints(printed)
}

/// A target that says its own start, and offers a message and the end.
fn right(partner: &mut Partner) -> Result<()> {
    let line = partner.scene.draw().line(20);
    let target = Target::published(partner, Some(0))?;
    target.offer(partner, 1, Some(&line))?;
    target.until_taken(partner, 1)?;
    target.offer(partner, 2, None)?;
    target.until_taken(partner, 2).context("the end")?;
    withdraw(partner)
}
