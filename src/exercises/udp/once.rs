//! `udp/once`.

use nix::sys::signal::Signal;

use bare::{Language, MeetingPlace};

use super::{ask, connected, datagram, end, send};
use crate::draw::joined;
use crate::row::{Begin, Ends, Exercise, Kind, NOTHING, Player, Stage, Wrong};
use crate::scene::Scene;

pub(super) const ROW: Exercise = Exercise {
    name: "once",
    title: "a server that does once what it is told twice",
    kind: Kind::Mend,
    minutes: 20,
    after: &["udp/again"],
    task: include_str!("once/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Address],
    solutions: [
        Some(include_str!("once/solution.rs")),
        Some(include_str!("once/solution.c")),
        Some(include_str!("once/solution.py")),
    ],
    reasons: "A client that got no answer sends again, and the server cannot see whether the \
              message or the answer was lost. So it remembers, for each client's address and port, \
              the last number. The same number again is answered again, and not carried out: at \
              most once. A smaller number was overtaken; its client has had its answer. What is \
              remembered here grows with each client; a server that stays needs a limit.",
    hints: [
        "By what do you know that a datagram is one that you had before? And from whom?",
        "Keep the last number of each client: recvfrom says the client's address and port. The \
         same number: answer, and do not print. A smaller one: neither.",
        "A table from address and port to the last number. Before it, compare LENGTH with the \
         bytes that came: what was cut is as good as lost.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "each message is printed, and sent back",
            players: |scene| printing(scene, 3),
            partner: |partner| {
                let client = connected(partner)?;
                for (number, message) in (1..).zip(partner.scene.draw().lines(3)) {
                    ask(partner, &client, &datagram(number, &message))?;
                }
                end(partner)
            },
            hint: 1,
        },
        Stage {
            name: "twice",
            about: "a message comes twice: it is printed once, and answered twice",
            players: |scene| printing(scene, 2),
            partner: |partner| {
                let client = connected(partner)?;
                for (number, message) in (1..).zip(partner.scene.draw().lines(2)) {
                    let text = datagram(number, &message);
                    ask(partner, &client, &text)?;
                    partner.log("the answer was lost: it is sent again");
                    ask(partner, &client, &text)?;
                }
                end(partner)
            },
            hint: 2,
        },
        Stage {
            name: "two",
            about: "two clients use the same numbers",
            players: |scene| printing(scene, 4),
            partner: |partner| {
                let clients = [connected(partner)?, connected(partner)?];
                for (at, message) in partner.scene.draw().lines(4).iter().enumerate()
                {
                    let text = datagram(1 + at / 2, message);
                    ask(partner, &clients[at % 2], &text)?;
                }
                end(partner)
            },
            hint: 2,
        },
        Stage {
            name: "late",
            about: "a message comes again after the next one: it is dropped",
            players: |scene| printing(scene, 3),
            partner: |partner| {
                let client = connected(partner)?;
                let lines = partner.scene.draw().lines(3);
                let text = |number: usize| datagram(number, &lines[number - 1]);
                ask(partner, &client, &text(1))?;
                ask(partner, &client, &text(2))?;
                partner.log("the first one comes late, a second time");
                send(partner, &client, &text(1))?;
                ask(partner, &client, &text(3))?;
                end(partner)
            },
            hint: 2,
        },
        Stage {
            name: "cut",
            about: "a message was cut on its way: it is dropped, and comes again",
            players: |scene| printing(scene, 2),
            partner: |partner| {
                let client = connected(partner)?;
                for (number, message) in (1..).zip(partner.scene.draw().lines(2)) {
                    let text = datagram(number, &message);
                    partner.log("the network cuts it, on purpose");
                    send(partner, &client, &text[..text.len() - 1])?;
                    ask(partner, &client, &text)?;
                }
                end(partner)
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "prints the whole datagram",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "os.write(1, message + b\"\\n\")",
                "os.write(1, data + b\"\\n\")",
            )],
        },
        Wrong {
            what: "does not answer what it knows",
            stage: "twice",
            language: Language::Python,
            edits: &[(
                "        if number < known:\n",
                "        if number <= known:\n",
            )],
        },
        Wrong {
            what: "remembers one number for all",
            stage: "two",
            language: Language::Python,
            edits: &[
                ("last.get(client, 0)", "last.get(0, 0)"),
                ("last[client] = number", "last[0] = number"),
            ],
        },
        Wrong {
            what: "takes a smaller number for a new one",
            stage: "late",
            language: Language::Python,
            edits: &[
                (
                    "        if number < known:\n            continue  # it was overtaken\n",
                    "",
                ),
                ("        if number > known:\n", "        if number != known:\n"),
            ],
        },
        Wrong {
            what: "does not look at the length",
            stage: "cut",
            language: Language::Python,
            edits: &[(
                "        if len(message) != int(length):\n            continue  # it was cut\n",
                "",
            )],
        },
    ],
};

/// The server, which prints so many messages, and the partner.
fn printing(scene: &Scene, count: usize) -> Vec<Player> {
    let server = Player::learner(scene, "server", NOTHING);
    let printed = joined(&scene.draw().lines(count));
    let server = server.prints(printed).ends(Ends::By(Signal::SIGTERM)).idles();
    vec![server, Player::partner()]
}
