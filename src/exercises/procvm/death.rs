//! A reader that sees that its target has ended.

use bare::{Language, MeetingPlace};

use super::super::row::{
    Begin, Ends, Exercise, Kind, NOTHING, Player, Stage, Wrong, no_partner,
};
use super::super::scene::Scene;
use super::{Target, withdraw};

pub(super) const ROW: Exercise = Exercise {
    name: "death",
    title: "a reader that sees its target end",
    kind: Kind::Mend,
    minutes: 20,
    after: &["procvm/reader"],
    task: include_str!("death/task.md"),
    begin: Begin::Bare("procvm"),
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("death/solution.rs")),
        Some(include_str!("death/solution.c")),
        Some(include_str!("death/solution.py")),
    ],
    reasons: "The reader's copy of the eventfd keeps it open: that the target has ended is no end of \
              file there. The pidfd becomes readable when the process ends, so poll waits for both. \
              When both are readable the pidfd decides: the memory has gone with the process, and \
              what was offered cannot be read any more.",
    hints: [
        "pidfd_open(2) has made a descriptor already. When is it readable?",
        "poll(2) waits for the eventfd and for the pidfd, which must stay open until then.",
        "If poll reports the pidfd: one line on standard error, status 1.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "your target and your reader",
            players: |scene| {
                let lines = scene.draw().lines(3);
                let target = Player::learner(scene, "target", lines.clone());
                let printed: String =
                    lines.iter().map(|line| format!("{line}\n")).collect();
                let reader = Player::learner(scene, "reader", NOTHING);
                vec![target, reader.prints(printed)]
            },
            partner: no_partner,
            hint: 1,
        },
        Stage {
            name: "end",
            about: "the target offers two messages, with a pause, and the end",
            players: |scene| vec![Player::partner(), reader(scene, 2)],
            partner: |partner| {
                let lines = partner.scene.draw().lines(2);
                let target = Target::published(partner, None)?;
                for (number, line) in (1..).zip(&lines) {
                    partner.must_sleep("reader")?;
                    target.offer(partner, number, Some(line))?;
                    target.until_taken(partner, number)?;
                }
                target.offer(partner, 3, None)?;
                target.until_taken(partner, 3)?;
                withdraw(partner)
            },
            hint: 2,
        },
        Stage {
            name: "killed",
            about: "the target ends while the reader waits for its second message",
            players: |scene| {
                vec![Player::partner(), reader(scene, 1).ends(Ends::Failing)]
            },
            partner: |partner| {
                let lines = partner.scene.draw().lines(1);
                let target = Target::published(partner, None)?;
                target.offer(partner, 1, Some(&lines[0]))?;
                target.until_taken(partner, 1)?;
                partner.must_sleep("reader")?;
                withdraw(partner)?;
                partner.log("ends");
                Ok(())
            },
            hint: 2,
        },
        Stage {
            name: "silent",
            about: "the target ends before its first message",
            players: |scene| {
                vec![Player::partner(), reader(scene, 0).ends(Ends::Failing)]
            },
            partner: |partner| {
                let _target = Target::published(partner, None)?;
                partner.must_sleep("reader")?;
                withdraw(partner)?;
                partner.log("ends");
                Ok(())
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "stores what it has taken at the wrong place",
            stage: "plain",
            language: Language::Python,
            edits: &[("ours, at + 24)", "ours, at + 16)")],
        },
        Wrong {
            what: "looks again and again",
            stage: "end",
            language: Language::Python,
            edits: &[
                ("dict(poll.poll())", "dict(poll.poll(0))"),
                (
                    "            os.eventfd_read(offered)",
                    "            if offered in ready:\n                os.eventfd_read(offered)",
                ),
            ],
        },
        Wrong {
            what: "waits for the eventfd alone",
            stage: "killed",
            language: Language::Python,
            edits: &[("    poll.register(process, select.POLLIN)\n", "")],
        },
        Wrong {
            what: "ends as if the target had said so",
            stage: "killed",
            language: Language::Python,
            edits: &[(
                "                sys.exit(\"the target has ended before it said so\")\n",
                "                sys.exit(0)\n",
            )],
        },
        Wrong {
            what: "looks at the pidfd once a message has come",
            stage: "silent",
            language: Language::Python,
            edits: &[
                ("    poll.register(process, select.POLLIN)\n", ""),
                (
                    "        os.eventfd_write(taken, 1)  # wakes the target\n",
                    "        os.eventfd_write(taken, 1)  # wakes the target\n        poll.register(process, select.POLLIN)\n",
                ),
            ],
        },
    ],
};

/// The learner's reader, which prints so many of the lines.
fn reader(scene: &Scene, lines: usize) -> Player {
    let lines = scene.draw().lines(lines);
    let printed: String = lines.iter().map(|line| format!("{line}\n")).collect();
    Player::learner(scene, "reader", NOTHING).prints(printed)
}
