//! Design: a pipeline with back-pressure.

use std::io::Write;

use anyhow::Result;

use bare::Language;

use super::super::partner::Partner;
use super::super::row::{
    Begin, Ends, Exercise, Kind, Player, Stage, Wrong, no_partner,
};
use super::super::scene::Scene;

/// For the chapter pipe.
pub(in super::super) const ROW: Exercise = Exercise {
    name: "pipeline",
    title: "a pipeline of commands, in which the fast wait for the slow",
    kind: Kind::Design,
    minutes: 45,
    after: &[],
    task: include_str!("pipeline/task.md"),
    begin: Begin::Solution,
    places: &[],
    solutions: [
        Some(include_str!("pipeline/solution.rs")),
        Some(include_str!("pipeline/solution.c")),
        Some(include_str!("pipeline/solution.py")),
    ],
    reasons: "A pipe is full at 64 KiB, and its writer sleeps: so the slowest command sets the \
              pace of all, and memory stays small however much runs through. A reader sees the \
              end, and a writer SIGPIPE, only when nobody else holds the other end: the parent \
              closes both ends as soon as the child has them. Whoever ignores SIGPIPE, as the \
              Python and Rust runtimes do, must not hand that on.",
    hints: [
        "Start all before you wait for any: a command sleeps when the pipe is full, until the \
         next one reads.",
        "Close each end of a pipe in the parent once the child that needs it has been started. \
         Who else would keep it open?",
        "SIGPIPE that is ignored stays ignored in what execve starts. Set it to the default \
         first: subprocess and std::process do that unless they are told not to.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "three commands: cat | tr a-z A-Z | cat",
            players: |scene| {
                let line = format!("{}\n", scene.draw().line(30));
                let run = run(scene, &["cat", "tr a-z A-Z", "cat"]);
                vec![run.prints(line.to_uppercase()).reading(line)]
            },
            partner: no_partner,
            hint: 1,
        },
        Stage {
            name: "large",
            about: "300,000 bytes run through three commands",
            players: |scene| {
                let bytes = scene.draw().bytes(300_000);
                vec![
                    run(scene, &["cat", "cat", "cat"])
                        .prints(bytes.clone())
                        .reading(bytes),
                ]
            },
            partner: no_partner,
            hint: 1,
        },
        Stage {
            name: "stops",
            about: "the second command reads three lines, the first would write 9,999,999",
            players: |scene| {
                vec![run(scene, &["seq 9999999", "head -n 3"]).prints("1\n2\n3\n")]
            },
            partner: no_partner,
            hint: 2,
        },
        Stage {
            name: "signals",
            about: "a command is ended by SIGPIPE",
            players: |scene| {
                vec![
                    run(scene, &["kill -PIPE $$; echo SIGPIPE is ignored", "cat"])
                        .prints(""),
                ]
            },
            partner: no_partner,
            hint: 3,
        },
        Stage {
            name: "pressure",
            about: "the last command does not read for a while: all others sleep",
            players: |scene| {
                let last = format!("{}; head -n 2", held_up(scene));
                let run = run(scene, &["seq 9999999", "cat", &last])
                    .prints("1\n2\n")
                    .idles();
                vec![run, Player::partner()]
            },
            partner: |partner| {
                match partner.plays(MANY) {
                true => release(partner),
                false => partner.wrong(
                    "the first command has ended, though nobody has read what it wrote: it was \
                     kept in between",
                ),
            }
            },
            hint: 1,
        },
        Stage {
            name: "status",
            about: "the last command ends with status 3",
            players: |scene| {
                let last = "cat; echo no >&2; exit 3";
                vec![
                    run(scene, &["echo yes", last])
                        .prints("yes\n")
                        .ends(Ends::Failing),
                ]
            },
            partner: no_partner,
            hint: 2,
        },
        Stage {
            name: "first",
            about: "the first command ends with status 3, and the last with 0",
            players: |scene| {
                vec![run(scene, &["echo yes; exit 3", "cat"]).prints("yes\n")]
            },
            partner: no_partner,
            hint: 2,
        },
        Stage {
            name: "all",
            about: "the last command ends before the first",
            players: |scene| {
                let first = format!("exec >&-; {}", held_up(scene));
                vec![
                    run(scene, &[&first, "cat"]).prints("").idles(),
                    Player::partner(),
                ]
            },
            partner: |partner| match partner.plays("run") {
                true => release(partner),
                false => partner.wrong("it did not wait for the first command"),
            },
            hint: 2,
        },
    ],
    wrong: &[
        Wrong {
            what: "starts the last one alone",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "    for command in commands:\n",
                "    for command in commands[-1:]:\n",
            )],
        },
        Wrong {
            what: "waits for each before it starts the next",
            stage: "large",
            language: Language::Python,
            edits: &[(
                "        children.append(child)\n",
                "        children.append(child)\n        child.wait()\n",
            )],
        },
        Wrong {
            what: "keeps the pipes open",
            stage: "stops",
            language: Language::Python,
            edits: &[(
                "            source.close()  # ours: the command's own is enough\n",
                "            globals().setdefault(\"kept\", []).append(source)\n",
            )],
        },
        Wrong {
            what: "hands on that SIGPIPE is ignored",
            stage: "signals",
            language: Language::Python,
            edits: &[(
                "stdin=source, stdout=output)",
                "stdin=source, stdout=output, restore_signals=False)",
            )],
        },
        Wrong {
            what: "keeps what the slow one does not take",
            stage: "pressure",
            language: Language::Python,
            edits: &[(
                "        source = child.stdout\n",
                "        source = child.stdout\n        if command == \"cat\" and len(children) == 2 and source:\n            \
                 import tempfile\n            kept = tempfile.TemporaryFile()\n            \
                 kept.write(source.read())\n            kept.seek(0)\n            source.close()\n            source = kept\n",
            )],
        },
        Wrong {
            what: "ends with 0 whatever comes",
            stage: "status",
            language: Language::Python,
            edits: &[(
                "    sys.exit(statuses[-1] if statuses[-1] >= 0 else 128 - statuses[-1])",
                "    sys.exit(0)",
            )],
        },
        Wrong {
            what: "ends with the status of whoever failed",
            stage: "first",
            language: Language::Python,
            edits: &[(
                "    sys.exit(statuses[-1] if statuses[-1] >= 0 else 128 - statuses[-1])",
                "    sys.exit(next((status for status in statuses if 0 < status < 128), 0))",
            )],
        },
        Wrong {
            what: "waits for the last alone",
            stage: "all",
            language: Language::Python,
            edits: &[(
                "[child.wait() for child in children]",
                "[children[-1].wait()]",
            )],
        },
    ],
};

/// The word of `seq` that tells it from others.
const MANY: &str = "9999999";

fn run(scene: &Scene, commands: &[&str]) -> Player {
    Player::learner(scene, "run", commands)
}

/// What a command does that waits for the partner: it reads a line from a FIFO of its own.
fn held_up(scene: &Scene) -> String {
    let fifo = scene.dir.join("go");
    let fifo = fifo.display();
    format!("mkfifo {fifo}; read go < {fifo}; rm {fifo}")
}

/// Lets such a command go on.
fn release(partner: &Partner) -> Result<()> {
    let fifo =
        std::fs::File::options().write(true).open(partner.scene.dir.join("go"));
    let mut fifo = partner.call("opens the FIFO that a command waits at", fifo)?;
    partner.call("lets the command go on", fifo.write_all(b"go\n"))?;
    partner.until_all_have_ended()
}
