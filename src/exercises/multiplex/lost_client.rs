//! `multiplex/lost-client`.

use anyhow::Result;

use bare::{Language, MeetingPlace};

use crate::draw::joined;
use crate::partner::Partner;
use crate::row::{Begin, Exercise, Kind, Player, Stage, Wrong};
use crate::scene::Scene;

pub(super) const ROW: Exercise = Exercise {
    name: "lost-client",
    title: "a lost client is its own affair: the others are served",
    kind: Kind::Mend,
    minutes: 10,
    after: &[],
    task: include_str!("lost_client/task.md"),
    begin: Begin::Bare("multiplex"),
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("lost_client/solution.rs")),
        Some(include_str!("lost_client/solution.c")),
        Some(include_str!("lost_client/solution.py")),
    ],
    reasons: "In a server of many clients a call's failure belongs to one of them: recv that gives \
              ECONNRESET, and send that gives EPIPE, end this connection as recv = 0 does. Only \
              what fails in poll, accept or the listening socket is the server's affair.",
    hints: [
        "The server ends with the name of an errno. Which call gave it, and for which client?",
        "recv gives ECONNRESET when the client has closed with answers unread; send gives EPIPE \
         when it has left: both are the end of this client, as recv = 0 is.",
        "Where recv or send fails for a client, close its socket and forget it, as you do when \
         recv returns 0.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "two clients at the same time",
            players: server_first,
            partner: |partner| {
                let [first, second] = messages(&partner.scene);
                let one = partner.connect()?;
                let other = partner.connect()?;
                partner.echoed(&other, &second)?;
                partner.echoed(&one, &first)?;
                hand_over(partner, &second)
            },
            hint: 1,
        },
        Stage {
            name: "reset",
            about: "a client leaves its answer unread, and another one stays",
            players: server_first,
            partner: |partner| {
                let [first, second] = messages(&partner.scene);
                let stays = partner.connect()?;
                partner.echoed(&stays, &second)?;
                partner.leave_unread(&first)?;
                partner.echoed(&stays, &second)?;
                hand_over(partner, &second)
            },
            hint: 2,
        },
        Stage {
            name: "full",
            about: "a client leaves while the server has answers for it",
            players: server_first,
            partner: |partner| {
                let [_, second] = messages(&partner.scene);
                let stays = partner.connect()?;
                partner.echoed(&stays, &second)?;
                let leaves = partner.connect()?;
                partner.fill(&leaves)?;
                drop(leaves);
                partner.log("close(): the answers were not read, on purpose");
                partner.echoed(&stays, &second)?;
                hand_over(partner, &second)
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "serves one client after the other",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "                clients[client.fileno()] = client",
                "                clients[client.fileno()] = client\n                \
                 while data := client.recv(4096):\n                    client.send(data)",
            )],
        },
        Wrong {
            what: "expects EPIPE alone",
            stage: "reset",
            language: Language::Python,
            edits: &[(
                "except (ConnectionResetError, BrokenPipeError)",
                "except BrokenPipeError",
            )],
        },
        Wrong {
            what: "ends when a client is lost",
            stage: "reset",
            language: Language::Python,
            edits: &[(
                "                    data = b\"\"  #",
                "                    sys.exit(0)  #",
            )],
        },
        Wrong {
            what: "expects it of recv alone",
            stage: "full",
            language: Language::Python,
            edits: &[(
                "                        clients[fd].send(data, MSG_NOSIGNAL)  #",
                "                        try:\n                            \
                 clients[fd].send(data, MSG_NOSIGNAL)\n                        \
                 except OSError as error:\n                            \
                 sys.exit(str(error))\n                        #",
            )],
        },
    ],
};

fn server_first(scene: &Scene) -> Vec<Player> {
    let nothing: [&str; 0] = [];
    let [_, second] = messages(scene);
    let server = Player::learner(scene, "server", nothing).prints("").idles();
    vec![server, Player::partner().prints(second)]
}

/// What two clients send.
fn messages(scene: &Scene) -> [Vec<u8>; 2] {
    let lines = scene.draw().lines(2);
    [joined(&lines[..1]), joined(&lines[1..])]
}

/// A client more, who comes and goes; what it received is compared.
fn hand_over(partner: &Partner, message: &[u8]) -> Result<()> {
    let answers = partner.ask(message)?;
    partner.received(&answers)
}
