//! `multiplex/no-reader`.

use std::os::fd::OwnedFd;

use anyhow::Result;

use bare::{Language, MeetingPlace};

use crate::draw::joined;
use crate::partner::Partner;
use crate::row::{Begin, Exercise, Kind, Player, Stage, Wrong};
use crate::scene::Scene;

pub(super) const ROW: Exercise = Exercise {
    name: "no-reader",
    title: "a client that never reads does not stop the others",
    kind: Kind::Mend,
    minutes: 30,
    after: &["multiplex/lost-client"],
    task: include_str!("no_reader/task.md"),
    begin: Begin::Bare("multiplex"),
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("no_reader/solution.rs")),
        Some(include_str!("no_reader/solution.c")),
        Some(include_str!("no_reader/solution.py")),
    ],
    reasons: "send with MSG_DONTWAIT takes what there is room for, and says how much. The rest \
              waits beside the client, and poll is asked for POLLOUT in place of POLLIN: so what \
              is kept is bounded by one recv, the client's own send sleeps in the end, and poll \
              sleeps meanwhile. POLLIN as well would make poll return at once, each time; \
              POLLOUT without need, too.",
    hints: [
        "The server sleeps in send for one client. Which flag lets send return at once? What does \
         it return if a part had room?",
        "Keep what send has not taken, beside the client. Ask poll for POLLOUT until it is sent. \
         Do you want to read more from this client meanwhile?",
        "A client has either an answer that waits, and then poll is asked for POLLOUT alone, or \
         none, and then for POLLIN alone.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "two clients at the same time",
            players: server_first,
            partner: |partner| {
                let message = message(&partner.scene);
                let stays = partner.connect()?;
                partner.echoed(&stays, &message)?;
                hand_over(partner)
            },
            hint: 1,
        },
        Stage {
            name: "others",
            about: "a client sends and does not read; another one is served",
            players: server_first,
            partner: |partner| {
                let (full, _) = full(partner)?;
                hand_over(partner)?;
                partner.leave(full)
            },
            hint: 1,
        },
        Stage {
            name: "asleep",
            about: "the server sleeps while it can send and read nothing",
            players: server_first,
            partner: |partner| {
                let idle = partner.connect()?;
                partner.echoed(&idle, &message(&partner.scene))?;
                let (full, _) = full(partner)?;
                partner.must_sleep("server")?;
                hand_over(partner)?;
                partner.leave(full)
            },
            hint: 3,
        },
        Stage {
            name: "whole",
            about: "the client reads at last: each byte comes back",
            players: server_first,
            partner: |partner| {
                let (full, sent) = full(partner)?;
                partner.finish(&full)?;
                let answers = partner.read_to_end(&full)?;
                if answers.len() != sent || answers.iter().any(|byte| *byte != b'x')
                {
                    return partner.wrong(&format!(
                        "of {sent} bytes {} came back, or others",
                        answers.len()
                    ));
                }
                partner.received(&message(&partner.scene))
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
            what: "sleeps in send",
            stage: "others",
            language: Language::Python,
            edits: &[("MSG_DONTWAIT | MSG_NOSIGNAL)", "MSG_NOSIGNAL)")],
        },
        Wrong {
            what: "keeps all that comes",
            stage: "others",
            language: Language::Python,
            edits: &[
                (
                    "            if not waiting[fd]:",
                    "            if select.select([fd], [], [], 0)[0]:",
                ),
                (
                    "select.POLLOUT if waiting[fd] else select.POLLIN",
                    "select.POLLIN | (select.POLLOUT if waiting[fd] else 0)",
                ),
                (
                    "                waiting[fd] = data",
                    "                waiting[fd] += data",
                ),
            ],
        },
        Wrong {
            what: "asks for POLLIN, and does not read",
            stage: "asleep",
            language: Language::Python,
            edits: &[(
                "select.POLLOUT if waiting[fd] else select.POLLIN",
                "select.POLLIN | select.POLLOUT if waiting[fd] else select.POLLIN",
            )],
        },
        Wrong {
            what: "always asks for POLLOUT",
            stage: "asleep",
            language: Language::Python,
            edits: &[
                (
                    "select.POLLOUT if waiting[fd] else select.POLLIN",
                    "select.POLLOUT if waiting[fd] else select.POLLIN | select.POLLOUT",
                ),
                (
                    "            if not waiting[fd]:",
                    "            if not waiting[fd]:\n                if not select.select([fd], [], [], 0)[0]:\n                    continue",
                ),
            ],
        },
        Wrong {
            what: "forgets what send has not taken",
            stage: "others",
            language: Language::Python,
            edits: &[(
                "                pass  # EAGAIN: full",
                "                waiting[fd] = b\"\"",
            )],
        },
        Wrong {
            what: "loses a byte where there is no room",
            stage: "whole",
            language: Language::Python,
            edits: &[(
                "                pass  # EAGAIN: full",
                "                waiting[fd] = waiting[fd][1:]",
            )],
        },
    ],
};

fn message(scene: &Scene) -> Vec<u8> {
    joined(&scene.draw().lines(1))
}

fn server_first(scene: &Scene) -> Vec<Player> {
    let nothing: [&str; 0] = [];
    let server = Player::learner(scene, "server", nothing).prints("").idles();
    vec![server, Player::partner().prints(message(scene))]
}

/// A client who has sent so many bytes that no more has room, and has read nothing.
fn full(partner: &Partner) -> Result<(OwnedFd, usize)> {
    let client = partner.connect()?;
    let sent = partner.fill(&client)?;
    Ok((client, sent))
}

/// Another client; what it received is compared.
fn hand_over(partner: &Partner) -> Result<()> {
    let answers = partner.ask(&message(&partner.scene))?;
    partner.received(&answers)
}
