//! `unix/cut`.

use std::os::unix::net::UnixDatagram;

use anyhow::Result;

use bare::{Language, MeetingPlace};

use crate::draw::joined;
use crate::partner::Partner;
use crate::row::{Begin, Exercise, Kind, NOTHING, Player, Stage, Wrong, no_partner};
use crate::scene::Scene;

pub(super) const ROW: Exercise = Exercise {
    name: "cut",
    title: "both roles take a datagram of any length whole",
    kind: Kind::Mend,
    minutes: 15,
    after: &["unix/who"],
    task: include_str!("cut/task.md"),
    begin: Begin::Bare("unix_dgram"),
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("cut/solution.rs")),
        Some(include_str!("cut/solution.c")),
        Some(include_str!("cut/solution.py")),
    ],
    reasons: "What does not fit into recv's buffer is lost, and recv says nothing of it. With \
              MSG_PEEK and MSG_TRUNC it returns the datagram's own length, and leaves the \
              datagram in the queue: so the buffer can be made as long as the datagram is.",
    hints: [
        "How many bytes does the receiver have room for? What becomes of the others?",
        "recv(2), MSG_TRUNC: it returns the datagram's own length. MSG_PEEK: the datagram stays in \
         the queue, and the next recv takes it.",
        "recv with MSG_PEEK and MSG_TRUNC, then a buffer of that length, then recvfrom. In Python \
         it is recv_into, which returns a number.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "your server and your client still meet",
            players: |scene| {
                let messages = scene.draw().lines(3);
                let client = Player::learner(scene, "client", messages.clone());
                vec![
                    Player::learner(scene, "server", NOTHING).prints("").idles(),
                    client.prints(joined(&messages)),
                ]
            },
            partner: no_partner,
            hint: 1,
        },
        Stage {
            name: "server",
            about: "your server gets datagrams of more than 4096 bytes",
            players: server_first,
            partner: ask,
            hint: 2,
        },
        Stage {
            name: "client",
            about: "your client gets answers of more than 4096 bytes",
            players: |scene| {
                let messages = messages(scene);
                let client = Player::learner(scene, "client", messages.clone());
                vec![Player::partner(), client.prints(joined(&messages))]
            },
            partner: serve,
            hint: 2,
        },
        Stage {
            name: "large",
            about: "your server gets a datagram of 150,000 bytes",
            players: server_first,
            partner: ask,
            hint: 3,
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
            what: "the server has room for 4096 bytes",
            stage: "server",
            language: Language::Python,
            edits: &[(
                "receive(sock)  # sleeps until a",
                "sock.recvfrom(4096)  # sleeps until a",
            )],
        },
        Wrong {
            what: "takes the datagram in pieces",
            stage: "server",
            language: Language::Python,
            edits: &[(
                "    return sock.recvfrom(length + 1)",
                "    data, sender = sock.recvfrom(4096)\n    while len(data) < length:\n        \
                 data += sock.recv(4096)\n    return data, sender",
            )],
        },
        Wrong {
            what: "the client has room for 4096 bytes",
            stage: "client",
            language: Language::Python,
            edits: &[("data, _ = receive(sock)", "data = sock.recv(4096)")],
        },
        Wrong {
            what: "has room for 65536 bytes",
            stage: "large",
            language: Language::Python,
            edits: &[("sock.recvfrom(length + 1)", "sock.recvfrom(65536)")],
        },
    ],
};

fn messages(scene: &Scene) -> Vec<String> {
    let mut draw = scene.draw();
    let length = 5000 + draw.below(3000);
    match scene.stage {
        "large" => vec![draw.line(1500).repeat(100)],
        _ => vec![draw.line(length), draw.line(4097), draw.line(3)],
    }
}

fn server_first(scene: &Scene) -> Vec<Player> {
    let server = Player::learner(scene, "server", NOTHING);
    let answers = joined(&messages(scene));
    vec![server.prints("").idles(), Player::partner().prints(answers)]
}

/// Is a client: sends each message, and hands over each answer.
fn ask(partner: &mut Partner) -> Result<()> {
    let own = partner.scene.dir.join("partner");
    let socket =
        partner.call("bind(a name of its own)", UnixDatagram::bind(&own))?;
    let connected = socket.connect(partner.scene.place());
    partner.call("connect(PLACE)", connected)?;
    let mut data = vec![0; 1 << 20];
    for message in messages(&partner.scene) {
        let sent = format!("send({} bytes)", message.len());
        partner.call(&sent, socket.send(message.as_bytes()))?;
        let n = partner.call("recv()", socket.recv(&mut data))?;
        partner.log(&format!("gets {n} bytes"));
        partner.received(&data[..n])?;
        partner.received(b"\n")?;
    }
    partner.call("send(0 bytes): the goodbye", socket.send(b""))?;
    partner.call("recv()", socket.recv(&mut data))?;
    partner.call("unlink(its own name)", std::fs::remove_file(own))
}

/// Is a server: sends each datagram back, the goodbye as well.
fn serve(partner: &mut Partner) -> Result<()> {
    let place = partner.scene.place();
    let socket = partner.call("bind(PLACE)", UnixDatagram::bind(&place))?;
    let mut data = vec![0; 1 << 20];
    loop {
        let (n, client) = partner.call("recvfrom()", socket.recv_from(&mut data))?;
        let sent = socket.send_to_addr(&data[..n], &client);
        partner.call(&format!("sendto({n} bytes)"), sent)?;
        if n == 0 {
            return partner.call("unlink(PLACE)", std::fs::remove_file(&place));
        }
    }
}
