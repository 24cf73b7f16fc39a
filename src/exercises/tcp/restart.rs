//! `tcp/restart`.

use bare::{Language, MeetingPlace};

use crate::partner::{Partner, processes_of};
use crate::row::{Begin, Ends, Exercise, Kind, Player, Stage, Wrong};
use crate::scene::Scene;

pub(super) const ROW: Exercise = Exercise {
    name: "restart",
    title: "a server that can be started again at once",
    kind: Kind::Mend,
    minutes: 10,
    after: &[],
    task: include_str!("restart/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Address],
    solutions: [
        Some(include_str!("restart/solution.rs")),
        Some(include_str!("restart/solution.c")),
        Some(include_str!("restart/solution.py")),
    ],
    reasons: "Whoever closes a connection first keeps it for a minute in TIME_WAIT, so that late \
              packets are not taken for a new connection's. bind refuses the address meanwhile, \
              unless SO_REUSEADDR is set before it. A server that listens is still refused: that \
              is what tells it from SO_REUSEPORT, with which both servers would listen.",
    hints: [
        "`ss -tan` shows what is left of the connection after the server has ended.",
        "socket(7) has an option that lets bind take an address of which only TIME_WAIT is left. \
         It is set before bind.",
        "SO_REUSEADDR, and not SO_REUSEPORT: with the latter a second server listens beside the \
         first one.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "a client gets the message",
            players: |scene| vec![server(scene, 0).idles(), client(scene, 0)],
            partner: read_once,
            hint: 1,
        },
        Stage {
            name: "again",
            about: "the server has closed first, and starts again at once",
            players: |scene| {
                let both = [0, 1].map(|n| [server(scene, n), client(scene, n)]);
                both.into_iter().flatten().collect()
            },
            partner: read_once,
            hint: 2,
        },
        Stage {
            name: "live",
            about: "a server listens at PLACE: a second one fails",
            players: |scene| {
                let second = server(scene, 1).ends(Ends::Failing);
                vec![server(scene, 0), second, client(scene, 0)]
            },
            partner: |partner| {
                let second = message(&partner.scene, 1);
                let is_second = |pid: &nix::unistd::Pid| {
                    let words = std::fs::read(format!("/proc/{pid}/cmdline"));
                    words.is_ok_and(|words| {
                        words
                            .split(|byte| *byte == 0)
                            .any(|word| word == second.as_bytes())
                    })
                };
                if processes_of(&partner.scene.dir).iter().any(is_second) {
                    return partner
                        .wrong("two servers listen at PLACE at the same time");
                }
                read_once(partner)
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "sends no newline",
            stage: "plain",
            language: Language::Python,
            edits: &[(" + b\"\\n\"", "")],
        },
        Wrong {
            what: "sets the option too late",
            stage: "again",
            language: Language::Python,
            edits: &[
                ("    listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)\n", ""),
                (
                    "    listener.listen(5)",
                    "    listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)\n    listener.listen(5)",
                ),
            ],
        },
        Wrong {
            what: "sets SO_REUSEPORT",
            stage: "live",
            language: Language::Python,
            edits: &[("SOL_SOCKET, SO_REUSEADDR, 1", "SOL_SOCKET, 15, 1")],
        },
    ],
};

/// The message of the first server, or of the second one.
fn message(scene: &Scene, number: usize) -> String {
    scene.draw().lines(2).swap_remove(number)
}

fn server(scene: &Scene, number: usize) -> Player {
    Player::learner(scene, "server", [message(scene, number)]).prints("")
}

/// The partner, who gets this server's message.
fn client(scene: &Scene, number: usize) -> Player {
    Player::partner().prints(message(scene, number) + "\n")
}

/// Hands over what a server sends.
fn read_once(partner: &mut Partner) -> anyhow::Result<()> {
    let client = partner.connect()?;
    let data = partner.read_to_end(&client)?;
    partner.received(&data)
}
