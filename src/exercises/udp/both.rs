//! `udp/both`.

use anyhow::Result;
use nix::sys::signal::Signal;

use bare::{Language, MeetingPlace};

use super::{ask, connected, end};
use crate::partner::Partner;
use crate::row::{Begin, Ends, Exercise, Kind, NOTHING, Player, Stage, Wrong};
use crate::scene::Scene;

pub(super) const ROW: Exercise = Exercise {
    name: "both",
    title: "a server of UDP and TCP at one port, in one thread",
    kind: Kind::Mend,
    minutes: 30,
    after: &["udp/once"],
    task: include_str!("both/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Address],
    solutions: [
        Some(include_str!("both/solution.rs")),
        Some(include_str!("both/solution.c")),
        Some(include_str!("both/solution.py")),
    ],
    reasons: "Ports of UDP and of TCP are two sets: one address may be bound by a socket of each, \
              as DNS does with port 53. poll(2) sleeps until any of them is ready, and then one \
              call is made that will not sleep: recvfrom, accept, or recv of a connection. An \
              empty datagram is answered as any other; an empty recv of a connection is its end.",
    hints: [
        "In which call does the server sleep, and which sockets does it not see meanwhile?",
        "poll(2) with the UDP socket, the listening socket, and each connection.",
        "For each that is ready one call: recvfrom and sendto; accept, and the new connection is \
         polled from then on; recv and send, and at 0 it is closed and polled no more.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "a client of TCP is answered, then one of UDP",
            players: server_first,
            partner: |partner| {
                let lines = partner.scene.draw().lines(2);
                ask_tcp(partner, &lines[0])?;
                ask_udp(partner, &lines[1])?;
                end(partner)
            },
            hint: 1,
        },
        Stage {
            name: "udp",
            about: "a client of UDP comes first, and sends several datagrams",
            players: server_first,
            partner: |partner| {
                for line in partner.scene.draw().lines(3) {
                    ask_udp(partner, &line)?;
                }
                end(partner)
            },
            hint: 2,
        },
        Stage {
            name: "silent",
            about: "a client of TCP is connected, and says nothing",
            players: server_first,
            partner: |partner| {
                let lines = partner.scene.draw().lines(3);
                let silent = partner.connect()?;
                partner.log("it says nothing, on purpose");
                partner.until_asleep(partner.learner("server")?)?; // it has accepted
                ask_udp(partner, &lines[0])?;
                ask_tcp(partner, &lines[1])?;
                drop(silent);
                partner.must_sleep("server")?;
                ask_udp(partner, &lines[2])?;
                end(partner)
            },
            hint: 2,
        },
        Stage {
            name: "empty",
            about: "an empty datagram comes: it is one, and no end",
            players: server_first,
            partner: |partner| {
                ask_udp(partner, "")?;
                ask_udp(partner, &partner.scene.draw().lines(1)[0])?;
                end(partner)
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "looks at UDP once a client of TCP has come",
            stage: "udp",
            language: Language::Python,
            edits: &[
                ("    poll.register(udp, select.POLLIN)\n", ""),
                (
                    "                poll.register(client, select.POLLIN)\n",
                    "                poll.register(client, select.POLLIN)\n                poll.register(udp, select.POLLIN)\n",
                ),
            ],
        },
        Wrong {
            what: "has another port for UDP",
            stage: "plain",
            language: Language::Python,
            edits: &[("    udp.bind((host, int(port)))", "    udp.bind((host, 0))")],
        },
        Wrong {
            what: "does not poll the UDP socket",
            stage: "plain",
            language: Language::Python,
            edits: &[("    poll.register(udp, select.POLLIN)\n", "")],
        },
        Wrong {
            what: "serves a connection to its end",
            stage: "silent",
            language: Language::Python,
            edits: &[(
                "                poll.register(client, select.POLLIN)\n                \
                 clients[client.fileno()] = client\n",
                "                while data := client.recv(4096):\n                    \
                 client.sendall(data)\n                client.close()\n",
            )],
        },
        Wrong {
            what: "looks again and again",
            stage: "plain",
            language: Language::Python,
            edits: &[("in poll.poll():", "in poll.poll(1):")],
        },
        Wrong {
            what: "takes an empty datagram for the end",
            stage: "empty",
            language: Language::Python,
            edits: &[(
                "                udp.sendto(data, client)",
                "                if data == b\"\":\n                    sys.exit(1)\n                \
                 udp.sendto(data, client)",
            )],
        },
    ],
};

fn server_first(scene: &Scene) -> Vec<Player> {
    let server = Player::learner(scene, "server", NOTHING).prints("");
    vec![server.ends(Ends::By(Signal::SIGTERM)).idles(), Player::partner()]
}

/// Is a client of UDP: sends a datagram that must come back.
fn ask_udp(partner: &Partner, text: &str) -> Result<()> {
    ask(partner, &connected(partner)?, text)
}

/// Is a client of TCP: sends a line that must come back, and closes.
fn ask_tcp(partner: &Partner, text: &str) -> Result<()> {
    partner.echoed(partner.connect()?, format!("{text}\n").as_bytes())
}
