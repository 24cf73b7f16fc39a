//! `udp/long`.

use bare::{Language, MeetingPlace};

use crate::row::{Begin, Exercise, Kind, Player, Stage, Wrong, no_partner};
use crate::scene::Scene;

pub(super) const ROW: Exercise = Exercise {
    name: "long",
    title: "both roles take a datagram of any length whole",
    kind: Kind::Mend,
    minutes: 10,
    after: &[],
    task: include_str!("long/task.md"),
    begin: Begin::Bare("udp"),
    places: &[MeetingPlace::Address],
    solutions: [
        Some(include_str!("long/solution.rs")),
        Some(include_str!("long/solution.c")),
        Some(include_str!("long/solution.py")),
    ],
    reasons: "What recv(2) has no room for is gone: the next call gets the next datagram. So the \
              buffer must hold the longest that may come: 65,535 less 20 bytes of IP and 8 of UDP \
              are 65,507. A program that has no room for that can see at least that bytes are \
              missing: with MSG_TRUNC in the flags recv returns the length that came.",
    hints: [
        "Of which size is the buffer that recv is given, and where does the rest of a datagram go?",
        "There are two buffers: the server's, and the client's for what comes back.",
        "65,507 bytes are the most: give both buffers as many.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "short messages come back",
            players: |scene| both(scene, scene.draw().line(20)),
            partner: no_partner,
            hint: 1,
        },
        Stage {
            name: "long",
            about: "a message of 20,000 bytes comes back",
            players: |scene| both(scene, "long ".repeat(4_000)),
            partner: no_partner,
            hint: 2,
        },
        Stage {
            name: "most",
            about: "a datagram of 65,507 bytes comes back",
            // The number and the length are 8 bytes of it.
            players: |scene| both(scene, "m".repeat(65_507 - 8)),
            partner: no_partner,
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "prints the number, too",
            stage: "plain",
            language: Language::Python,
            edits: &[("data[len(head):] + b\"\\n\"", "data + b\"\\n\"")],
        },
        Wrong {
            what: "has room in the client alone",
            stage: "long",
            language: Language::Python,
            edits: &[("sock.recvfrom(65507)", "sock.recvfrom(4096)")],
        },
        Wrong {
            what: "has room in the server alone",
            stage: "long",
            language: Language::Python,
            edits: &[("data = sock.recv(65507)", "data = sock.recv(4096)")],
        },
        Wrong {
            what: "has room for 64,000 bytes",
            stage: "most",
            language: Language::Python,
            edits: &[("data = sock.recv(65507)", "data = sock.recv(64000)")],
        },
    ],
};

/// The learner's server, and the learner's client with this message.
fn both(scene: &Scene, message: String) -> Vec<Player> {
    let answer = format!("{message}\n");
    let server = Player::learner(scene, "server", [""; 0]);
    let client = Player::learner(scene, "client", [message]);
    vec![server.prints("").idles(), client.prints(answer)]
}
