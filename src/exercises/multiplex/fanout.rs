//! `multiplex/fanout`.

use std::os::fd::OwnedFd;

use anyhow::Result;
use nix::sys::inotify::AddWatchFlags;

use bare::{Language, MeetingPlace};
use wire::standard;

use crate::draw::joined;
use crate::partner::{Partner, descriptors};
use crate::row::{Begin, Exercise, Kind, NOTHING, Player, Stage, Wrong};
use crate::scene::Scene;

pub(super) const ROW: Exercise = Exercise {
    name: "fanout",
    title: "a server that sends each line to many, and waits for none",
    kind: Kind::Mend,
    minutes: 20,
    after: &[],
    task: include_str!("fanout/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("fanout/solution.rs")),
        Some(include_str!("fanout/solution.c")),
        Some(include_str!("fanout/solution.py")),
    ],
    reasons: "One that sends to many must not sleep for one. What becomes of the one that has no room is \
              the server's choice, and must be one: to close it is the simplest, and what \
              Redis does beyond a bound; to drop lines for it, as dbus-daemon does, and to keep them up \
              to a bound, are the others. A client that has left is the same case with another errno: \
              EPIPE, ECONNRESET.",
    hints: [
        "Which call sleeps for a client that does not read? Which flag of that call says that it is \
         not to sleep?",
        "send with MSG_DONTWAIT says EAGAIN, or how much had room. EPIPE and ECONNRESET say that the \
         client has left: they end this client, not the server.",
        "If send has not taken all, close that client and go on with the next one.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "two clients, and three lines",
            players,
            partner: |partner| {
                begin(partner)?;
                let (one, two) = (join(partner)?, join(partner)?);
                for line in partner.scene.draw().lines(3) {
                    publish(partner, &[&one, &two], &line)?;
                }
                Ok(())
            },
            hint: 1,
        },
        Stage {
            name: "late",
            about: "a client that comes between two lines",
            players,
            partner: |partner| {
                begin(partner)?;
                let one = join(partner)?;
                let lines = partner.scene.draw().lines(2);
                publish(partner, &[&one], &lines[0])?;
                let two = join(partner)?;
                publish(partner, &[&one, &two], &lines[1])
            },
            hint: 1,
        },
        Stage {
            name: "left",
            about: "a client leaves, and the lines go on",
            players,
            partner: |partner| {
                begin(partner)?;
                let (one, two) = (join(partner)?, join(partner)?);
                let lines = partner.scene.draw().lines(3);
                publish(partner, &[&one, &two], &lines[0])?;
                drop(one);
                partner.log("the first client has left");
                publish(partner, &[&two], &lines[1])?;
                publish(partner, &[&two], &lines[2])
            },
            hint: 2,
        },
        Stage {
            name: "asleep",
            about: "the first client never reads; the second gets 1,000 lines",
            players,
            partner: |partner| {
                begin(partner)?;
                let (_asleep, two) = (join(partner)?, join(partner)?);
                thousand(partner, &two)
            },
            hint: 1,
        },
        Stage {
            name: "freed",
            about: "five clients that never read: what the server keeps of them",
            players,
            partner: |partner| {
                begin(partner)?;
                let two = join(partner)?;
                let server = partner.learner("publish")?;
                let before = descriptors(server)?;
                let asleep: Result<Vec<_>> = (0..5).map(|_| join(partner)).collect();
                let _asleep = asleep?;
                thousand(partner, &two)?;
                partner.must_sleep("publish")?;
                let now = descriptors(server)?;
                partner.log(&format!("it had {before} descriptors, and has {now}"));
                match now > before {
                    true => partner.wrong(&format!(
                        "with one client it had {before} descriptors; with one client \
                         again, and five that have no room, it has {now}"
                    )),
                    false => Ok(()),
                }
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "tells the first client alone",
            stage: "plain",
            language: Language::Python,
            edits: &[("in clients[:]:", "in clients[:1]:")],
        },
        Wrong {
            what: "takes clients before the first line alone",
            stage: "late",
            language: Language::Python,
            edits: &[
                (
                    "clients, begun = [], b\"\"",
                    "clients, begun, told = [], b\"\", False",
                ),
                (
                    "clients.append(listener.accept()[0])",
                    "clients += [listener.accept()[0]][told:]",
                ),
                (
                    "            whole = b\"\"",
                    "            told = True\n            whole = b\"\"",
                ),
            ],
        },
        Wrong {
            what: "lets one client's error end it",
            stage: "left",
            language: Language::Python,
            edits: &[("    except OSError:", "    except BlockingIOError:")],
        },
        Wrong {
            what: "sleeps for the one that does not read",
            stage: "asleep",
            language: Language::Python,
            edits: &[(
                "client.send(lines, MSG_DONTWAIT | MSG_NOSIGNAL)",
                "client.send(lines, MSG_NOSIGNAL)",
            )],
        },
        Wrong {
            what: "never closes a client without room",
            stage: "freed",
            language: Language::C,
            edits: &[(
                "if (!tell(clients[i], data, whole)) {",
                "if (!tell(clients[i], data, whole) && errno != EAGAIN) {",
            )],
        },
    ],
};

/// The partner writes into the server's standard input, and is its clients.
fn players(scene: &Scene) -> Vec<Player> {
    let server = Player::learner(scene, "publish", NOTHING);
    vec![Player::partner().piped(), server.prints("")]
}

/// Waits until the server has its name.
fn begin(partner: &Partner) -> Result<()> {
    partner.until_made(AddWatchFlags::empty()).map(drop)
}

/// A client that the server has accepted: it sleeps again.
fn join(partner: &Partner) -> Result<OwnedFd> {
    let client = partner.connect_soon()?;
    partner.must_sleep("publish")?;
    Ok(client)
}

/// Publishes a line, which each of these clients must get.
fn publish(partner: &Partner, clients: &[&OwnedFd], line: &str) -> Result<()> {
    let line = joined(&[line.to_owned()]);
    partner.write(standard::output()?, &line, "a line to publish")?;
    for client in clients {
        if partner.read_exactly(client, line.len())? != line {
            return partner.wrong("a client got something else than the line");
        }
    }
    Ok(())
}

/// A thousand lines of a thousand bytes, which this client reads, each before the next comes.
fn thousand(partner: &Partner, client: &OwnedFd) -> Result<()> {
    let line = joined(&[partner.scene.draw().line(999)]);
    partner.log("a thousand lines of 1,000 bytes; a client that reads each");
    for number in 1..=1000 {
        let mut rest = &line[..];
        while !rest.is_empty() {
            rest = &rest[nix::unistd::write(standard::output()?, rest)?..];
        }
        let mut got: Vec<u8> = Vec::new();
        while got.len() < line.len() {
            let mut buffer = vec![0; line.len() - got.len()];
            match nix::unistd::read(client, &mut buffer)? {
                0 => {
                    return partner.wrong(&format!("the end came at line {number}"));
                }
                n => got.extend(&buffer[..n]),
            }
        }
        if got != line {
            return partner.wrong(&format!("line {number} came as another one"));
        }
    }
    partner.log("all of them have come");
    Ok(())
}
