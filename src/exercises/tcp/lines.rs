//! `tcp/lines`.

use std::fmt::Write;

use anyhow::Result;

use bare::{Language, MeetingPlace};

use crate::draw::joined;
use crate::partner::Partner;
use crate::row::{Begin, Exercise, Kind, Player, Stage, Wrong};
use crate::scene::Scene;

pub(super) const ROW: Exercise = Exercise {
    name: "lines",
    title: "a server that answers lines, however they come",
    kind: Kind::Write,
    minutes: 15,
    after: &["tcp/restart"],
    task: include_str!("lines/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Address],
    solutions: [
        Some(include_str!("lines/solution.rs")),
        Some(include_str!("lines/solution.c")),
        Some(include_str!("lines/solution.py")),
    ],
    reasons: "TCP carries bytes, and knows no messages: what one send sent can come in many recv, \
              and what many sent in one. So the state of the line lives outside the loop of recv. \
              Here it is a number; where the text is needed, it is a buffer, and there may be \
              several lines in it, or a part of one.",
    hints: [
        "What does recv return, if the client has sent half a line? If it has sent two lines?",
        "Keep what you know of the line so far outside the loop of recv: it ends where a newline \
         is, and nowhere else.",
        "Look at each byte that recv returned: a newline sends the answer, and begins a new line; \
         any other byte is counted. At recv = 0 nothing is answered.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "a line, its answer, and the next line",
            players: server_first,
            partner: |partner| {
                let client = partner.connect()?;
                for line in lines(&partner.scene) {
                    partner.write(&client, format!("{line}\n").as_bytes(), "")?;
                    let answer = format!("{}\n", line.len());
                    let answer = partner.read_exactly(&client, answer.len())?;
                    partner.received(&answer)?;
                }
                partner.finish(&client)?;
                let rest = partner.read_to_end(&client)?;
                partner.received(&rest)
            },
            hint: 1,
        },
        Stage {
            name: "halves",
            about: "a line that comes in two pieces",
            players: server_first,
            partner: |partner| {
                let client = partner.connect()?;
                let learner = partner.learner("server")?;
                let bytes = joined(&lines(&partner.scene));
                let (half, rest) = bytes.split_at(2);
                partner.write(
                    &client,
                    half,
                    "a part of the first line, on purpose",
                )?;
                partner.pause("the server reads it alone");
                partner.until_asleep(learner)?;
                partner.write(&client, rest, "the rest of it, and more lines")?;
                partner.finish(&client)?;
                let answers = partner.read_to_end(&client)?;
                partner.received(&answers)
            },
            hint: 2,
        },
        Stage {
            name: "many",
            about: "40 lines at once, before the first answer is read",
            players: server_first,
            partner: all_at_once,
            hint: 2,
        },
        Stage {
            name: "large",
            about: "a line of 200,000 bytes, and an empty one",
            players: server_first,
            partner: all_at_once,
            hint: 3,
        },
        Stage {
            name: "tail",
            about: "what comes behind the last newline is no line",
            players: server_first,
            partner: |partner| {
                let mut bytes = joined(&lines(&partner.scene));
                bytes.extend(b"no newline behind this");
                let answers = partner.ask(&bytes)?;
                partner.received(&answers)
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "counts the newline",
            stage: "plain",
            language: Language::Python,
            edits: &[
                ("length = 0  # of the line", "length = 1  # of the line"),
                ("                length = 0\n", "                length = 1\n"),
            ],
        },
        Wrong {
            what: "begins a line with each recv",
            stage: "halves",
            language: Language::Python,
            edits: &[(
                "        for byte in data:",
                "        length = 0\n        for byte in data:",
            )],
        },
        Wrong {
            what: "takes one line of each recv",
            stage: "halves",
            language: Language::Python,
            edits: &[(
                "                length = 0\n",
                "                length = 0\n                break\n",
            )],
        },
        Wrong {
            what: "takes ten lines of each recv at most",
            stage: "many",
            language: Language::Python,
            edits: &[
                (
                    "        for byte in data:",
                    "        answered = 0\n        for byte in data:",
                ),
                (
                    "                length = 0\n",
                    "                length = 0\n                answered += 1\n                if answered == 10:\n                    break\n",
                ),
            ],
        },
        Wrong {
            what: "has room for 65536 bytes",
            stage: "large",
            language: Language::Python,
            edits: &[(
                "                length += 1",
                "                length = min(length + 1, 65536)",
            )],
        },
        Wrong {
            what: "answers the tail",
            stage: "tail",
            language: Language::Python,
            edits: &[(
                "    client.close()",
                "    if length:\n        client.sendall(f\"{length}\\n\".encode())\n    client.close()",
            )],
        },
    ],
};

fn lines(scene: &Scene) -> Vec<String> {
    let mut draw = scene.draw();
    match scene.stage {
        "many" => draw.lines(40),
        "large" => vec![draw.line(200_000), String::new(), draw.line(7)],
        _ => draw.lines(3),
    }
}

fn server_first(scene: &Scene) -> Vec<Player> {
    let nothing: [&str; 0] = [];
    let server = Player::learner(scene, "server", nothing).prints("").idles();
    let mut answers = String::new();
    for line in lines(scene) {
        let _ = writeln!(answers, "{}", line.len());
    }
    vec![server, Player::partner().prints(answers)]
}

fn all_at_once(partner: &mut Partner) -> Result<()> {
    let answers = partner.ask(&joined(&lines(&partner.scene)))?;
    partner.received(&answers)
}
