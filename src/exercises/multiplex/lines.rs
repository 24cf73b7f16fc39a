//! `multiplex/lines`.

use std::fmt::Write;

use anyhow::Context;
use nix::unistd::write;

use bare::{Language, MeetingPlace};

use crate::draw::joined;
use crate::row::{Begin, Exercise, Kind, Player, Stage, Wrong};
use crate::scene::Scene;

pub(super) const ROW: Exercise = Exercise {
    name: "lines",
    title: "half a line from one client does not stop the others",
    kind: Kind::Mend,
    minutes: 20,
    after: &["multiplex/lost-client", "tcp/lines"],
    task: include_str!("lines/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("lines/solution.rs")),
        Some(include_str!("lines/solution.c")),
        Some(include_str!("lines/solution.py")),
    ],
    reasons: "poll says that recv will not sleep once. Whoever calls it again for the rest of a \
              line sleeps in recv, and all other clients with it. So each client has a state of \
              its own, which survives until poll says that more has come: here how long its line \
              is so far.",
    hints: [
        "Start the server, type half a line in one client, and a line in another one. In which \
         call does the server sleep?",
        "One recv for each time that poll says ready, never a second one. What it brought may be \
         half a line: where is it kept until the rest comes?",
        "Keep the length of the line so far beside each client's socket. A newline sends the \
         answer and sets it to 0.",
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
                    let length = format!("{}\n", line.len()).len();
                    let answer = partner.read_exactly(&client, length)?;
                    partner.received(&answer)?;
                }
                Ok(())
            },
            hint: 1,
        },
        Stage {
            name: "halves",
            about: "a client stops in the middle of a line; another one is served",
            players: server_first,
            partner: |partner| {
                let bytes = joined(&lines(&partner.scene));
                let (half, rest) = bytes.split_at(2);
                let slow = partner.connect()?;
                let other = partner.connect()?;
                partner.write(&slow, half, "a part of a line, on purpose")?;
                partner.pause("the server reads it");
                partner.write(&other, b"12345\n", "another client's line")?;
                if partner.read_exactly(&other, 2)? != b"5\n" {
                    return partner.wrong("the other client's answer is not 5");
                }
                partner.write(&slow, rest, "the rest of it, and more lines")?;
                partner.finish(&slow)?;
                let answers = partner.read_to_end(&slow)?;
                partner.received(&answers)
            },
            hint: 2,
        },
        Stage {
            name: "many",
            about: "a hundred clients at once, each with a line",
            players: |scene| {
                let all: String = (0..100).map(|n| format!("{n}\n")).collect();
                vec![server(scene), Player::partner().prints(all)]
            },
            partner: |partner| {
                partner.log("connects 100 times; client n sends a line of n bytes");
                let mut clients = Vec::new();
                for n in 0..100 {
                    let client = partner.try_to_connect()?;
                    let line = format!("{:z<n$}\n", "");
                    write(&client, line.as_bytes()).context("write")?;
                    clients.push(client);
                }
                for (n, client) in clients.iter().enumerate() {
                    let length = format!("{n}\n").len();
                    let answer = partner.read_exactly(client, length)?;
                    partner.received(&answer)?;
                }
                Ok(())
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
                (
                    "                lengths[fd] = 0\n",
                    "                lengths[fd] = 1\n",
                ),
                ("lengths[client.fileno()] = 0", "lengths[client.fileno()] = 1"),
            ],
        },
        Wrong {
            what: "reads on to the end of the line",
            stage: "halves",
            language: Language::Python,
            edits: &[(
                "            data = clients[fd].recv(4096)",
                "            data = clients[fd].recv(4096)\n            \
                 while data and not data.endswith(b\"\\n\"):\n                data += clients[fd].recv(4096)",
            )],
        },
        Wrong {
            what: "forgets half a line",
            stage: "halves",
            language: Language::Python,
            edits: &[(
                "            answers = b\"\"\n",
                "            answers = b\"\"\n            lengths[fd] = 0\n",
            )],
        },
        Wrong {
            what: "has one state for all clients",
            stage: "halves",
            language: Language::Python,
            edits: &[
                (
                    "                    lengths[fd] += 1",
                    "                    for other in lengths:\n                        lengths[other] += 1",
                ),
                (
                    "                    lengths[fd] = 0\n                else",
                    "                    for other in lengths:\n                        lengths[other] = 0\n                else",
                ),
                (
                    "f\"{lengths[fd]}\\n\".encode()",
                    "(f\"{lengths[fd]}\\n\".encode())",
                ),
            ],
        },
        Wrong {
            what: "has room for sixty clients",
            stage: "many",
            language: Language::Python,
            edits: &[(
                "                lengths[client.fileno()] = 0",
                "                lengths[client.fileno()] = 0\n                if len(clients) == 60:\n                    poll.unregister(listener)",
            )],
        },
    ],
};

fn lines(scene: &Scene) -> Vec<String> {
    scene.draw().lines(3)
}

fn server(scene: &Scene) -> Player {
    let nothing: [&str; 0] = [];
    Player::learner(scene, "server", nothing).prints("").idles()
}

fn server_first(scene: &Scene) -> Vec<Player> {
    let mut answers = String::new();
    for line in lines(scene) {
        let _ = writeln!(answers, "{}", line.len());
    }
    vec![server(scene), Player::partner().prints(answers)]
}
