//! Two streams of one command.

use std::fs::File;

use anyhow::Context;

use bare::Language;

use crate::row::{Begin, Exercise, Kind, Player, Stage, Wrong, no_partner};
use crate::scene::Scene;

pub(super) const STREAMS: Exercise = Exercise {
    name: "streams",
    title: "a program that keeps a command's output and its errors apart",
    kind: Kind::Mend,
    minutes: 30,
    after: &["pipe/run"],
    task: include_str!("streams/task.md"),
    begin: Begin::Solution,
    places: &[],
    solutions: [
        Some(include_str!("streams/solution.rs")),
        Some(include_str!("streams/solution.c")),
        Some(include_str!("streams/solution.py")),
    ],
    reasons: "Whoever reads one pipe to its end waits for a command that may sleep, since the other \
              pipe is full. poll(2) sleeps for both. A pipe that has ended is ready for ever: it \
              must leave the set. Two threads would do as well; Python has it as \
              subprocess.communicate, Rust as Command::output.",
    hints: [
        "The command sleeps in write(2) to standard error, whose pipe is full, while you sleep in \
         read(2) for standard output.",
        "poll(2) sleeps until one of several descriptors has data or has ended. Read once from \
         each that is ready.",
        "Take a descriptor out of the set when its read returns 0, in poll by fd = -1: otherwise \
         poll returns at once, again and again. Go on until both are out.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "a line on each",
            players: |scene| {
                let (out, err) = words(scene);
                let script = format!("echo '{out}'; echo '{err}' >&2");
                running(scene, &script, (&out, 1), (&err, 1))
            },
            partner: no_partner,
            hint: 1,
        },
        Stage {
            name: "errors",
            about: "200,000 bytes on standard error, then a line on standard output",
            players: |scene| {
                let (out, err) = words(scene);
                let script =
                    format!("yes '{err}' | head -n 20000 >&2; echo '{out}'");
                running(scene, &script, (&out, 1), (&err, 20_000))
            },
            partner: no_partner,
            hint: 1,
        },
        Stage {
            name: "output",
            about: "200,000 bytes on standard output, then a line on standard error",
            players: |scene| {
                let (out, err) = words(scene);
                let script =
                    format!("yes '{out}' | head -n 20000; echo '{err}' >&2");
                running(scene, &script, (&out, 20_000), (&err, 1))
            },
            partner: no_partner,
            hint: 2,
        },
        Stage {
            name: "idle",
            about: "standard output ends at once, and standard error is late",
            players: |scene| {
                let late = late(scene);
                scene.make_fifo(&late);
                let (_, err) = words(scene);
                let script = format!("exec >&-; cat '{late}' >&2");
                let mut players = running(scene, &script, ("", 0), (&err, 1));
                players[0].idles = true;
                players.push(Player::partner());
                players
            },
            partner: |partner| {
                let fifo = File::options().write(true).open(late(&partner.scene));
                let fifo = partner.call("lets the command go on", fifo)?;
                let (_, err) = words(&partner.scene);
                partner.write(&fifo, format!("{err}\n").as_bytes(), "")?;
                let removed = std::fs::remove_file(late(&partner.scene));
                removed.context("unlink")
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "mixes the two",
            stage: "plain",
            language: Language::Python,
            edits: &[
                ("stderr=pipe)", "stderr=subprocess.STDOUT)"),
                ("b\"\", child.stderr: b\"\"}", "b\"\"}"),
                ("out, err = kept.values()", "out, err = *kept.values(), b\"\""),
            ],
        },
        Wrong {
            what: "reads one after the other",
            stage: "errors",
            language: Language::Python,
            edits: &[(
                "for ready, _ in streams.select():",
                "for ready, _ in [(list(streams.get_map().values())[0], 1)]:",
            )],
        },
        Wrong {
            what: "reads the errors first",
            stage: "output",
            language: Language::Python,
            edits: &[(
                "for ready, _ in streams.select():",
                "for ready, _ in [(list(streams.get_map().values())[-1], 1)]:",
            )],
        },
        Wrong {
            what: "asks poll for a stream that has ended",
            stage: "idle",
            language: Language::Python,
            edits: &[
                (
                    "while streams.get_map():",
                    "ended = set()\n            while len(ended) < 2:",
                ),
                ("streams.unregister(ready.fileobj)", "ended.add(ready.fileobj)"),
            ],
        },
    ],
};

/// A word for each stream.
fn words(scene: &Scene) -> (String, String) {
    let mut draw = scene.draw();
    (draw.line(9), draw.line(9))
}

/// The FIFO from which the command reads what comes late.
fn late(scene: &Scene) -> String {
    scene.dir.join("late").display().to_string()
}

/// The program runs a script that prints so many lines on each stream.
fn running(
    scene: &Scene,
    script: &str,
    out: (&str, usize),
    err: (&str, usize),
) -> Vec<Player> {
    let [out, err] =
        [out, err].map(|(word, count)| format!("{word}\n").repeat(count));
    let printed =
        format!("status 0\nout {}\n{out}err {}\n{err}", out.len(), err.len());
    vec![Player::learner(scene, "run", ["sh", "-c", script]).prints(printed)]
}
