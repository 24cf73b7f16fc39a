//! `multiplex/edge`.

use anyhow::Result;
use nix::sys::signal::Signal;

use bare::{Language, MeetingPlace};

use crate::draw::joined;
use crate::partner::Partner;
use crate::row::{Begin, Exercise, Kind, Player, Stage, Wrong};
use crate::scene::Scene;

pub(super) const ROW: Exercise = Exercise {
    name: "edge",
    title: "an edge-triggered server that leaves nothing unread",
    kind: Kind::Mend,
    minutes: 20,
    after: &["multiplex/lost-client"],
    task: include_str!("edge/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("edge/solution.rs")),
        Some(include_str!("edge/solution.c")),
        Some(include_str!("edge/solution.py")),
    ],
    reasons: "EPOLLET tells once that something has come, and not again that something is still \
              there. So each event is followed by calls until EAGAIN: recv on a connection, accept \
              on a listening socket, where one event may stand for several clients. epoll_wait is \
              one of the calls that a stop and SIGCONT end by EINTR even without a handler: \
              signal(7) lists them.",
    hints: [
        "With EPOLLET, how many events are there for 20,000 bytes that come at once? How many \
         recv does the server call for each event?",
        "Call recv until it gives EAGAIN, with MSG_DONTWAIT. Do the same with accept, on a \
         listening socket that does not block.",
        "epoll_wait gives EINTR when the process was stopped and goes on: call it again. Python \
         does so itself.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "a client with a short message",
            players: server_first,
            partner: |partner| hand_over(partner, &sent(&partner.scene)),
            hint: 1,
        },
        Stage {
            name: "large",
            about: "a message of 20,000 bytes comes at once",
            players: server_first,
            partner: |partner| hand_over(partner, &sent(&partner.scene)),
            hint: 1,
        },
        Stage {
            name: "stopped",
            about: "the server is stopped, and goes on",
            players: server_first,
            partner: |partner| {
                let pid = partner.stop_role("server")?;
                partner.signal(pid, Signal::SIGCONT, "it goes on")?;
                hand_over(partner, &sent(&partner.scene))
            },
            hint: 3,
        },
        Stage {
            name: "burst",
            about: "three clients have connected before the server looks",
            players: server_first,
            partner: |partner| {
                let pid = partner.stop_role("server")?;
                let all = [(); 3].map(|()| partner.connect());
                partner.signal(pid, Signal::SIGCONT, "it goes on")?;
                let bytes = sent(&partner.scene);
                for client in all.into_iter().rev().collect::<Result<Vec<_>>>()? {
                    partner.echoed(&client, &bytes)?;
                }
                partner.received(&bytes)
            },
            hint: 2,
        },
    ],
    wrong: &[
        Wrong {
            what: "leaves the name",
            stage: "plain",
            language: Language::Python,
            edits: &[("    os.unlink(name)\n", "")],
        },
        Wrong {
            what: "one recv for each event",
            stage: "large",
            language: Language::Python,
            edits: &[
                (
                    "                    while data := clients[fd].recv(4096, MSG_DONTWAIT):",
                    "                    if data := clients[fd].recv(4096, MSG_DONTWAIT):",
                ),
                (
                    "                    clients.pop(fd)",
                    "                    else:\n                        clients.pop(fd)",
                ),
            ],
        },
        Wrong {
            what: "does not expect EINTR",
            stage: "stopped",
            language: Language::C,
            edits: &[(
                "        if (count == -1 && errno == EINTR) /* stopped and continued: signal(7) */\n            continue;\n",
                "",
            )],
        },
        Wrong {
            what: "one accept for each event",
            stage: "burst",
            language: Language::Python,
            edits: &[(
                "                    while True:  # until EAGAIN",
                "                    if True:  # one",
            )],
        },
    ],
};

fn sent(scene: &Scene) -> Vec<u8> {
    let mut draw = scene.draw();
    match scene.stage {
        "large" => joined(&[draw.line(20_000)]),
        _ => joined(&draw.lines(1)),
    }
}

fn server_first(scene: &Scene) -> Vec<Player> {
    let nothing: [&str; 0] = [];
    let server = Player::learner(scene, "server", nothing).prints("").idles();
    vec![server, Player::partner().prints(sent(scene))]
}

/// A client whose message comes back while the connection stays open.
fn hand_over(partner: &Partner, bytes: &[u8]) -> Result<()> {
    let client = partner.connect()?;
    partner.write(&client, bytes, "")?;
    let answer = partner.read_exactly(&client, bytes.len())?;
    partner.received(&answer)
}
