//! `tcp/silent`.

use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::unistd::write;
use rustix::event::{PollFd, PollFlags};
use rustix::net::sockopt::set_socket_recv_buffer_size;

use bare::{Language, MeetingPlace};
use os::calls::poll_until;
use wire::standard;

use crate::partner::Partner;
use crate::row::{Begin, Ends, Exercise, Kind, Player, Stage, Wrong};
use crate::scene::Scene;

pub(super) const ROW: Exercise = Exercise {
    name: "silent",
    title: "a client with a deadline, whatever the server does",
    kind: Kind::Mend,
    minutes: 20,
    after: &["tcp/lines"],
    task: include_str!("silent/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Address],
    solutions: [
        Some(include_str!("silent/solution.rs")),
        Some(include_str!("silent/solution.c")),
        Some(include_str!("silent/solution.py")),
    ],
    reasons: "A timeout is for one call: a server that sends a byte now and then begins it anew each \
              time. So the client notes when all must be over, and gives each call what is left \
              until then: the calls that send, too, since a server that does not read makes them \
              sleep. Where no time is left, no call is made. After a timeout the connection is \
              closed: what was sent of the question, nobody can take back.",
    hints: [
        "In which of its calls does the client sleep? Each of them may be the one that never \
         returns.",
        "SO_RCVTIMEO and SO_SNDTIMEO are for one call, and so is a timeout of poll(2): how long may \
         the next call take, if the time for all of them is over at a certain moment?",
        "deadline = now + MILLISECONDS, by the clock CLOCK_MONOTONIC. Before each connect, send and \
         recv: left = deadline - now. None left: give up. Else set both options to it.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "an answer that the client sleeps for",
            players: in_time,
            partner: |partner| {
                let Some(client) = asked(partner)? else {
                    return partner.wrong(EARLY);
                };
                partner.must_sleep("client")?;
                answer_with(partner, &client, answer(&partner.scene).as_bytes())
            },
            hint: 1,
        },
        Stage {
            name: "slow",
            about: "an answer that comes in pieces, and in time",
            players: in_time,
            partner: |partner| {
                let Some(client) = asked(partner)? else {
                    return partner.wrong(EARLY);
                };
                let text = answer(&partner.scene);
                for piece in text.as_bytes().chunks(8) {
                    partner.pause("on purpose; there is time enough");
                    answer_with(partner, &client, piece)?;
                }
                Ok(())
            },
            hint: 2,
        },
        Stage {
            name: "silent",
            about: "a server that says nothing",
            players: |scene| too_late(scene, question(scene)),
            partner: |partner| {
                let _client = asked(partner)?;
                partner.log("says nothing, on purpose");
                partner.until_none_is_left()
            },
            hint: 1,
        },
        Stage {
            name: "drip",
            about: "a byte now and then, for much longer than there is time",
            players: |scene| too_late(scene, question(scene)),
            partner: |partner| {
                let Some(client) = asked(partner)? else { return Ok(()) };
                partner.log(
                    "sends 60 bytes, each after a tenth of a second, on purpose",
                );
                for _ in 0..60 {
                    std::thread::sleep(Duration::from_millis(100));
                    if write(&client, b".").is_err() {
                        break; // the client has left, as it should
                    }
                }
                let _ = write(&client, b"\n");
                partner.until_none_is_left()
            },
            hint: 2,
        },
        Stage {
            name: "unread",
            about: "a server that does not read a long question",
            players: |scene| too_late(scene, vec![b'x'; 16 << 20]),
            partner: |partner| {
                let _client = accepted(partner)?;
                partner.log("reads nothing, on purpose");
                partner.until_none_is_left()
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "looks a hundred times a second",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "        data = sock.recv(4096)",
                "        sock.settimeout(0.01)\n        try:\n            data = \
                 sock.recv(4096)\n        except TimeoutError:\n            continue",
            )],
        },
        Wrong {
            what: "prints what the first recv returned",
            stage: "slow",
            language: Language::Python,
            edits: &[(
                "        answer += data\n",
                "        answer += data\n        break\n",
            )],
        },
        Wrong {
            what: "gives each call a twentieth of a second",
            stage: "plain",
            language: Language::Python,
            edits: &[("    sock.settimeout(left)", "    sock.settimeout(0.05)")],
        },
        Wrong {
            what: "ends well without an answer",
            stage: "silent",
            language: Language::Python,
            edits: &[(
                "            sys.exit(f\"no answer: {error}\")",
                "            sys.exit(0)",
            )],
        },
        Wrong {
            what: "gives each call the whole time",
            stage: "drip",
            language: Language::Python,
            edits: &[(
                "    left = deadline - monotonic()\n    if left <= 0:\n        raise \
                 TimeoutError(\"the time is over\")\n    sock.settimeout(left)",
                "    sock.settimeout(int(sys.argv[3]) / 1000)",
            )],
        },
        Wrong {
            what: "limits recv alone",
            stage: "unread",
            language: Language::Python,
            edits: &[(
                "    while question:\n        limit(sock, deadline)\n",
                "    while question:\n        sock.settimeout(None)\n",
            )],
        },
    ],
};

fn question(scene: &Scene) -> Vec<u8> {
    format!("{}\n", scene.draw().line(12)).into_bytes()
}

fn answer(scene: &Scene) -> String {
    format!("{}\n", scene.draw().lines(5).concat())
}

/// A client with much more time than it needs.
fn in_time(scene: &Scene) -> Vec<Player> {
    let client = Player::learner(scene, "client", ["60000"]);
    let client = client.reading(question(scene)).prints(answer(scene));
    vec![Player::partner(), client]
}

/// A client whose time runs out.
fn too_late(scene: &Scene, question: Vec<u8>) -> Vec<Player> {
    let client = Player::learner(scene, "client", ["700"]);
    let client = client.reading(question).prints("").ends(Ends::Failing);
    vec![Player::partner(), client]
}

/// The learner's client, once it has connected; none if it has given up before, which on a slow
/// machine it may.
fn accepted(partner: &Partner) -> Result<Option<TcpStream>> {
    let listener = TcpListener::bind(partner.scene.place());
    let listener = partner.call("bind(PLACE), listen()", listener)?;
    // What a socket holds differs from machine to machine.
    set_socket_recv_buffer_size(&listener, 64 << 10).context("SO_RCVBUF")?;
    // The check closes standard input once all of the learner's processes have ended.
    let input = PollFd::from_borrowed_fd(standard::input()?, PollFlags::IN);
    let mut fds = [PollFd::new(&listener, PollFlags::IN), input];
    poll_until(&mut fds, None).context("poll")?;
    if fds[0].revents().is_empty() {
        partner.log("the client has given up before it has connected");
        return Ok(None);
    }
    let (client, _) = partner.call("accept()", listener.accept())?;
    Ok(Some(client))
}

/// The same, and its question is read; none if it has given up before.
fn asked(partner: &Partner) -> Result<Option<TcpStream>> {
    let Some(client) = accepted(partner)? else { return Ok(None) };
    let mut left = question(&partner.scene).len();
    while left > 0 {
        match partner.read(&client, left) {
            Ok(part) if !part.is_empty() => left -= part.len(),
            _ => return Ok(None),
        }
    }
    Ok(Some(client))
}

/// Sends a part of the answer to a client that has time enough.
fn answer_with(partner: &Partner, client: &TcpStream, part: &[u8]) -> Result<()> {
    match partner.write(client, part, "a part of the answer") {
        Ok(()) => Ok(()),
        Err(_) => partner.wrong(EARLY),
    }
}

/// What is wrong with a client that leaves in time.
const EARLY: &str = "your client has left before it had the whole answer";
