//! `tcp/lost-client`.

use bare::{Language, MeetingPlace};

use crate::draw::joined;
use crate::row::{Begin, Exercise, Kind, Player, Stage, Wrong, no_partner};
use crate::scene::Scene;

pub(super) const ROW: Exercise = Exercise {
    name: "lost-client",
    title: "a server that a lost client does not end",
    kind: Kind::Mend,
    minutes: 15,
    after: &["tcp/restart"],
    task: include_str!("lost_client/task.md"),
    begin: Begin::Bare("tcp_iterative"),
    places: &[MeetingPlace::Address],
    solutions: [
        Some(include_str!("lost_client/solution.rs")),
        Some(include_str!("lost_client/solution.c")),
        Some(include_str!("lost_client/solution.py")),
    ],
    reasons: "A client that closes with answers unread, or is killed so, resets the connection: \
              the server's next recv fails by ECONNRESET, a send by EPIPE or ECONNRESET. That is \
              the end of this connection, and of nothing else: it is said, and the next client is \
              accepted. What fails in socket, bind or accept still ends the server.",
    hints: [
        "Which call of the server fails, and by which errno? Its message says so, and \
         `ipclab trace` shows it.",
        "ECONNRESET from recv, ECONNRESET or EPIPE from send: close this client's socket, and go \
         on with accept.",
        "Put what serves one client into a function of its own. Where it fails, say so on \
         standard error, and count the client as served.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "two clients, one after the other",
            players: |scene| {
                let mut players = vec![server(scene)];
                for message in scene.draw().lines(2) {
                    let line = format!("{message}\n");
                    let client = Player::learner(scene, "client", [message]);
                    players.push(client.prints(line));
                }
                players
            },
            partner: no_partner,
            hint: 1,
        },
        Stage {
            name: "reset",
            about: "a client leaves its answer unread; the next one is served",
            players: |scene| vec![server(scene), next(scene)],
            partner: |partner| {
                let [first, second] = messages(&partner.scene);
                partner.leave_unread(&first)?;
                let answers = partner.ask(&second)?;
                partner.received(&answers)
            },
            hint: 2,
        },
        Stage {
            name: "full",
            about: "a client leaves while the server sleeps in send",
            players: |scene| vec![server(scene), next(scene)],
            partner: |partner| {
                let [_, second] = messages(&partner.scene);
                let client = partner.connect()?;
                partner.fill(&client)?;
                drop(client);
                partner.log("close(): the answers were not read, on purpose");
                let answers = partner.ask(&second)?;
                partner.received(&answers)
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "ends after the first client",
            stage: "plain",
            language: Language::Python,
            edits: &[("        clients -= 1", "        break")],
        },
        Wrong {
            what: "does not count the lost client",
            stage: "reset",
            language: Language::Python,
            edits: &[(
                "            print(f\"a client was lost: {error}\", file=sys.stderr)",
                "            continue",
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
            what: "expects it of recv alone",
            stage: "full",
            language: Language::Python,
            edits: &[(
                "        client.sendall(data)  #",
                "        import select\n        select.poll().poll(0)\n        \
                      try:\n            client.sendall(data)\n        except OSError as error:\n            \
                      sys.exit(str(error))\n        #",
            )],
        },
    ],
};

fn server(scene: &Scene) -> Player {
    Player::learner(scene, "server", ["2"]).prints("").idles()
}

/// What the two clients send.
fn messages(scene: &Scene) -> [Vec<u8>; 2] {
    let lines = scene.draw().lines(2);
    [joined(&lines[..1]), joined(&lines[1..])]
}

/// The partner, who hands over what the second client has received.
fn next(scene: &Scene) -> Player {
    let [_, second] = messages(scene);
    Player::partner().prints(second)
}
