//! A waiter that sees that its notifier has left.

use bare::{Language, MeetingPlace};

use super::super::partner::Partner;
use super::super::row::{
    Begin, Ends, Exercise, Kind, Player, Stage, Wrong, no_partner,
};
use super::super::scene::Scene;
use super::{add, be_passed, end_at_once, until_taken};

pub(super) const ROW: Exercise = Exercise {
    name: "end",
    title: "a waiter that sees its notifier leave",
    kind: Kind::Mend,
    minutes: 15,
    after: &["eventfd/reader"],
    task: include_str!("end/task.md"),
    begin: Begin::Bare("eventfd"),
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("end/solution.rs")),
        Some(include_str!("end/solution.c")),
        Some(include_str!("end/solution.py")),
    ],
    reasons: "Whoever has an eventfd open may write to it, the waiter too: so the kernel cannot know \
              that no number will come. Of the connection it knows: when the notifier ends, however \
              it ends, its end is closed. What the notifier wrote it wrote before that, so the \
              waiter takes what is in the eventfd first, and looks at the connection then.",
    hints: [
        "The connection over which the eventfd was passed is still open: poll(2) tells when it ends.",
        "poll may report both. Then there is a number to take, and perhaps it is enough.",
        "Leave only when poll reports the connection and not the eventfd: unlink, one line on \
         standard error, status 1.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "the notifier writes what the waiter waits for, and stays",
            players: |scene| {
                let waiter = waiter(scene).prints(format!("took {TOTAL}\n"));
                vec![waiter, Player::partner()]
            },
            partner: |partner| {
                let (event, _connection) = be_passed(partner)?;
                add(partner, &event, TOTAL)?;
                partner.until_all_have_ended()
            },
            hint: 1,
        },
        Stage {
            name: "killed",
            about: "the notifier is killed before its last number",
            players: |scene| {
                let waiter = waiter(scene).prints(format!("took {}\n", TOTAL - 1));
                vec![waiter.ends(Ends::Failing), Player::partner()]
            },
            partner: |partner| {
                let (event, _connection) = be_passed(partner)?;
                partner.must_sleep("waiter")?;
                add(partner, &event, TOTAL - 1)?;
                until_taken(partner, &event)?;
                partner.log("leaves");
                Ok(())
            },
            hint: 1,
        },
        Stage {
            name: "none",
            about: "the notifier leaves without a number",
            players: |scene| {
                let waiter = waiter(scene).prints("");
                vec![waiter.ends(Ends::Failing), Player::partner()]
            },
            partner: |partner| {
                be_passed(partner)?;
                partner.log("leaves");
                Ok(())
            },
            hint: 3,
        },
        Stage {
            name: "last",
            about: "the last number and the end come at the same time",
            players: |scene| {
                let waiter = waiter(scene).prints(format!("took {TOTAL}\n"));
                vec![waiter, Player::partner()]
            },
            partner: |partner| at_once(partner, TOTAL),
            hint: 2,
        },
        Stage {
            name: "almost",
            about: "the same, and the number is one too small",
            players: |scene| {
                let waiter = waiter(scene).prints(format!("took {}\n", TOTAL - 1));
                vec![waiter.ends(Ends::Failing), Player::partner()]
            },
            partner: |partner| at_once(partner, TOTAL - 1),
            hint: 2,
        },
        Stage {
            name: "both",
            about: "your waiter and your notifier",
            players: |scene| {
                let waiter = waiter(scene).prints(format!("took {TOTAL}\n"));
                let number = TOTAL.to_string();
                vec![waiter.idles(), Player::learner(scene, "notifier", [number])]
            },
            partner: no_partner,
            hint: 1,
        },
    ],
    wrong: &[
        Wrong {
            what: "waits for the end, too",
            stage: "plain",
            language: Language::Python,
            edits: &[("    while taken < total:", "    while True:")],
        },
        Wrong {
            what: "ends well when no number has come",
            stage: "none",
            language: Language::Python,
            edits: &[(
                "            os.unlink(name)\n            sys",
                "            os.unlink(name)\n            if taken == 0:\n                sys.exit(0)\n            sys",
            )],
        },
        Wrong {
            what: "takes the end for a sign that all has come",
            stage: "almost",
            language: Language::Python,
            edits: &[
                (
                    "        if event not in dict(poll.poll()):",
                    "        ready = dict(poll.poll())\n        if event not in ready:",
                ),
                (
                    "        taken += number\n",
                    "        taken += number\n        if notifier.fileno() in ready:\n            break\n",
                ),
            ],
        },
        Wrong {
            what: "writes the number in the network's byte order",
            stage: "both",
            language: Language::Python,
            edits: &[(
                "os.write(event, struct.pack(\"Q\", number))",
                "os.write(event, struct.pack(\">Q\", number))",
            )],
        },
        Wrong {
            what: "looks again and again",
            stage: "killed",
            language: Language::Python,
            edits: &[(
                "        if event not in dict(poll.poll()):",
                "        while not (ready := dict(poll.poll(0))):\n            pass\n        if event not in ready:",
            )],
        },
        Wrong {
            what: "does not look at the connection",
            stage: "killed",
            language: Language::Python,
            edits: &[("    poll.register(notifier, select.POLLIN)\n", "")],
        },
        Wrong {
            what: "leaves the name",
            stage: "killed",
            language: Language::Python,
            edits: &[(
                "            os.unlink(name)\n            sys",
                "            sys",
            )],
        },
        Wrong {
            what: "ends as if all were well",
            stage: "killed",
            language: Language::Python,
            edits: &[(
                "            sys.exit(f\"the notifier has left: took {taken} of {total}\")\n",
                "            sys.exit(0)\n",
            )],
        },
        Wrong {
            what: "looks at the connection first",
            stage: "last",
            language: Language::Python,
            edits: &[(
                "        if event not in dict(poll.poll()):",
                "        if notifier.fileno() in dict(poll.poll()):",
            )],
        },
    ],
};

/// What the waiter waits for.
const TOTAL: u64 = 5;

fn waiter(scene: &Scene) -> Player {
    Player::learner(scene, "waiter", [TOTAL.to_string()])
}

/// Writes a number and leaves, while the waiter is stopped.
fn at_once(partner: &Partner, number: u64) -> anyhow::Result<()> {
    let (event, connection) = be_passed(partner)?;
    end_at_once(partner, "waiter", &event, number, connection)
}
