//! A filter whose output is not late.

use std::fs::File;

use anyhow::Result;

use bare::{Language, MeetingPlace};
use wire::standard;

use crate::draw::joined;
use crate::partner::Partner;
use crate::row::{Begin, Exercise, Kind, Player, Stage, Wrong};
use crate::scene::Scene;

pub(super) const AT_ONCE: Exercise = Exercise {
    name: "at-once",
    title: "a filter whose lines are in the pipe as soon as they are read",
    kind: Kind::Mend,
    minutes: 10,
    after: &[],
    task: include_str!("at_once/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("at_once/solution.rs")),
        Some(include_str!("at_once/solution.c")),
        Some(include_str!("at_once/solution.py")),
    ],
    reasons: "The C library and Python (unless PYTHONUNBUFFERED is set) write to a terminal at each \
              newline, and to a pipe when 4 to 8 KiB have come. Rust's stdout writes at each newline, \
              unless a BufWriter is around it. A flush a line costs a write(2) a line: where nobody \
              waits for the answer, the buffer is right. `stdbuf -oL` asks a C program for it from \
              outside.",
    hints: [
        "The kernel hands bytes on as soon as write(2) is called. The program calls something \
         else, which calls write later.",
        "Standard output has a buffer in your process: in C by stdio (setvbuf(3)), in Python by \
         sys.stdout, in Rust by BufWriter.",
        "Flush after each line: fflush(stdout), output.flush().",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "three lines, and the end",
            players,
            partner: |partner| {
                play(partner, |partner, fifo, _| {
                    partner.write(fifo, &joined(&partner.scene.draw().lines(3)), "")
                })
            },
            hint: 1,
        },
        Stage {
            name: "last",
            about: "the last line has no newline",
            players,
            partner: |partner| {
                play(partner, |partner, fifo, _| {
                    let lines = joined(&partner.scene.draw().lines(3));
                    partner.write(
                        fifo,
                        &lines[..lines.len() - 1],
                        "no newline at the end",
                    )
                })
            },
            hint: 2,
        },
        Stage {
            name: "answer",
            about: "each line is sent when the one before it has come back",
            players,
            partner: |partner| play(partner, one_by_one),
            hint: 3,
        },
        Stage {
            name: "halves",
            about: "a line comes in two pieces, and the second is late",
            players,
            partner: |partner| {
                play(partner, |partner, fifo, _| {
                    let lines = joined(&partner.scene.draw().lines(3));
                    let (first, rest) = lines.split_at(2);
                    partner.write(fifo, first, "a part of the first line")?;
                    partner.pause("the program reads it alone");
                    partner.write(fifo, rest, "")
                })
            },
            hint: 2,
        },
    ],
    wrong: &[
        Wrong {
            what: "counts from 0",
            stage: "plain",
            language: Language::Python,
            edits: &[("enumerate(lines, 1)", "enumerate(lines)")],
        },
        Wrong {
            what: "drops the last line",
            stage: "last",
            language: Language::Python,
            edits: &[(
                "            numbered =",
                "            if not line.endswith(b\"\\n\"): break\n            numbered =",
            )],
        },
        Wrong {
            what: "flushes at the end",
            stage: "answer",
            language: Language::Python,
            edits: &[(
                "            output.flush()  #",
                "            pass\n        output.flush()  #",
            )],
        },
        Wrong {
            what: "takes a read for a line",
            stage: "halves",
            language: Language::Python,
            edits: &[
                ("open(name, \"rb\")", "open(name, \"rb\", buffering=0)"),
                (
                    "in enumerate(lines, 1):",
                    "in enumerate((line for data in iter(lambda: lines.read(4096), b\"\") \
                     for line in data.splitlines()), 1):",
                ),
            ],
        },
    ],
};

/// The program reads from a FIFO that is there, and prints into the partner's standard input.
fn players(scene: &Scene) -> Vec<Player> {
    scene.make_fifo(&scene.place());
    let lines = scene.draw().lines(3);
    let numbered: String =
        (1..).zip(&lines).map(|(count, line)| format!("{count} {line}\n")).collect();
    vec![
        Player::learner(scene, "number", [""; 0]).piped(),
        Player::partner().prints(numbered),
    ]
}

/// Opens the FIFO, sends, closes it, and takes the rest of what the program prints.
fn play(
    partner: &mut Partner,
    send: fn(&Partner, &File, &mut Vec<u8>) -> Result<()>,
) -> Result<()> {
    let place = partner.scene.place();
    let fifo = File::options().write(true).open(&place);
    let fifo = partner.call("open(PLACE, O_WRONLY)", fifo)?;
    let mut printed = Vec::new();
    send(partner, &fifo, &mut printed)?;
    drop(fifo);
    partner.log("close(PLACE)");
    printed.extend(partner.read_to_end(standard::input()?)?);
    partner.call("unlink(PLACE)", std::fs::remove_file(&place))?;
    partner.received(&printed)
}

fn one_by_one(partner: &Partner, fifo: &File, printed: &mut Vec<u8>) -> Result<()> {
    for line in partner.scene.draw().lines(3) {
        partner.write(fifo, &joined(&[line]), "and waits for the answer")?;
        loop {
            let part = partner.read(standard::input()?, 4096)?;
            printed.extend(&part);
            if part.is_empty() || part.ends_with(b"\n") {
                break;
            }
        }
    }
    Ok(())
}
