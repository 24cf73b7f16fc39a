//! `udp/again`.

use std::net::{SocketAddr, UdpSocket};

use anyhow::Result;

use bare::{Language, MeetingPlace};
use wire::say::bytes;

use super::{first, next};
use crate::draw::joined;
use crate::partner::Partner;
use crate::row::{Begin, Ends, Exercise, Kind, Player, Stage, Wrong, no_partner};
use crate::scene::Scene;

pub(super) const ROW: Exercise = Exercise {
    name: "again",
    title: "a client that sends again what was lost",
    kind: Kind::Mend,
    minutes: 25,
    after: &[],
    task: include_str!("again/task.md"),
    begin: Begin::Bare("udp"),
    places: &[MeetingPlace::Address],
    solutions: [
        Some(include_str!("again/solution.rs")),
        Some(include_str!("again/solution.c")),
        Some(include_str!("again/solution.py")),
    ],
    reasons: "Nobody tells a client that its datagram was lost: it can only wait, and then send \
              the same datagram again. It cannot know whether the message or the answer was lost, \
              so an answer may come twice, and late: the number says to which message it belongs. \
              And it must give up at some time, since nobody tells that the server is gone, \
              either.",
    hints: [
        "What does recv do if no answer comes? Which call waits for an answer, and for a time?",
        "poll(2) with a timeout; in Python, socket.settimeout. When it is over, send the same \
         datagram again, with the same number.",
        "A function of its own sends a datagram, waits, and sends it again, at most eight times. \
         It takes an answer only if it begins with the number and the length that were sent; the \
         goodbye waits for an empty one.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "your server and your client still meet",
            players: |scene| {
                let messages = scene.draw().lines(3);
                let server = Player::learner(scene, "server", [""; 0]);
                vec![server.prints("").idles(), client(scene, messages)]
            },
            partner: no_partner,
            hint: 1,
        },
        Stage {
            name: "lost",
            about: "the network loses each message once",
            players: server_first,
            partner: |partner| serve(partner, Fault::Loses),
            hint: 2,
        },
        Stage {
            name: "late",
            about: "the answer to a message comes twice, and late",
            players: server_first,
            partner: |partner| serve(partner, Fault::AnswersLate),
            hint: 3,
        },
        Stage {
            name: "goodbye",
            about: "the network loses the goodbye",
            players: server_first,
            partner: |partner| serve(partner, Fault::LosesGoodbye),
            hint: 3,
        },
        Stage {
            name: "silent",
            about: "the server does not answer any more: the client gives up",
            players: |scene| {
                let messages = scene.draw().lines(3);
                let client = Player::learner(scene, "client", messages.clone());
                let printed = joined(&messages[..1]);
                vec![Player::partner(), client.prints(printed).ends(Ends::Failing)]
            },
            partner: |partner| {
                let socket = bound(partner)?;
                let (data, from) = first(partner, &socket)?;
                back(partner, &socket, &data, from)?;
                partner.log("does not answer any more, on purpose");
                partner.until_none_is_left()
            },
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
            what: "waits for ever",
            stage: "lost",
            language: Language::Python,
            edits: &[("    sock.settimeout(0.25)\n", "")],
        },
        Wrong {
            what: "sends it again under a new number",
            stage: "lost",
            language: Language::Python,
            edits: &[(
                "        sock.send(datagram)\n",
                "        sock.send(datagram.replace(b\" \", b\"%d \" % (tries % 10), 1) if tries \
                 else datagram)\n",
            )],
        },
        Wrong {
            what: "takes any answer",
            stage: "late",
            language: Language::Python,
            edits: &[(
                "                if is_answer(data):",
                "                if True:",
            )],
        },
        Wrong {
            what: "says goodbye once",
            stage: "goodbye",
            language: Language::Python,
            edits: &[(
                "    ask(sock, b\"\", lambda data: data == b\"\")",
                "    sock.send(b\"\")\n    sock.settimeout(None)\n    sock.recv(4096)",
            )],
        },
        Wrong {
            what: "ends well without an answer",
            stage: "silent",
            language: Language::Python,
            edits: &[(
                "    sys.exit(\"no answer: is the server gone?\")",
                "    sys.exit(0)",
            )],
        },
    ],
};

/// What the network does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    Loses,
    AnswersLate,
    LosesGoodbye,
}

fn client(scene: &Scene, messages: Vec<String>) -> Player {
    let answers = joined(&messages);
    Player::learner(scene, "client", messages).prints(answers)
}

fn server_first(scene: &Scene) -> Vec<Player> {
    vec![Player::partner(), client(scene, scene.draw().lines(3))]
}

fn bound(partner: &Partner) -> Result<UdpSocket> {
    let bound = UdpSocket::bind(partner.scene.place());
    partner.call("bind(PLACE): UDP", bound)
}

/// The next datagram, which is due.
fn due(
    partner: &Partner,
    socket: &UdpSocket,
    what: &str,
) -> Result<(Vec<u8>, SocketAddr)> {
    match next(partner, socket)? {
        Some(came) => Ok(came),
        None => partner.wrong(&format!("Your client did not send {what}.")),
    }
}

/// sendto(2): an answer.
fn back(
    partner: &Partner,
    socket: &UdpSocket,
    data: &[u8],
    to: SocketAddr,
) -> Result<()> {
    let sent = socket.send_to(data, to);
    partner.call(&format!("sendto({})", bytes(data)), sent).map(drop)
}

/// What is due after an answer.
const NEXT: &str = "the next message, or a goodbye";

/// Is a server, and a network with this fault, until the goodbye.
fn serve(partner: &mut Partner, fault: Fault) -> Result<()> {
    let socket = bound(partner)?;
    let mut before: Option<Vec<u8>> = None;
    let mut came = first(partner, &socket)?;
    loop {
        let (data, from) = came;
        if before.as_ref() == Some(&data) {
            // It has waited for less than a slow machine takes: it has its answer again.
            back(partner, &socket, &data, from)?;
            came = due(partner, &socket, NEXT)?;
            continue;
        }
        let loses = match data.is_empty() {
            true => fault == Fault::LosesGoodbye,
            false => fault == Fault::Loses,
        };
        if loses {
            partner.log("the network loses it, on purpose");
            let (again, _) = due(partner, &socket, "it again")?;
            if again != data {
                let (was, is) = (bytes(&data), bytes(&again));
                return partner.wrong(&format!(
                    "{was} was lost, and your client sent {is}: the same datagram is due again."
                ));
            }
        }
        if let (Fault::AnswersLate, Some(before)) = (fault, &before) {
            partner.log("first comes the answer before it once more, on purpose");
            back(partner, &socket, before, from)?;
        }
        back(partner, &socket, &data, from)?;
        if data.is_empty() {
            return Ok(());
        }
        before = Some(data);
        came = due(partner, &socket, NEXT)?;
    }
}
