//! `unix/both-full`.

use std::os::unix::net::UnixListener;

use anyhow::{Context, Result};
use nix::sys::socket::SockFlag;
use nix::unistd::{read, write};

use bare::{Language, MeetingPlace};
use os::calls::accept4;

use crate::draw::joined;
use crate::partner::Partner;
use crate::row::{Begin, Ends, Exercise, Kind, Player, Stage, Wrong};
use crate::scene::Scene;

pub(super) const ROW: Exercise = Exercise {
    name: "both-full",
    title: "a client that reads its answers while it still sends",
    kind: Kind::Mend,
    minutes: 25,
    after: &["unix/who"],
    task: include_str!("both_full/task.md"),
    begin: Begin::Bare("unix"),
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("both_full/solution.rs")),
        Some(include_str!("both_full/solution.c")),
        Some(include_str!("both_full/solution.py")),
    ],
    reasons: "A server that answers as it reads stops reading when its answers find no room. So \
              whoever sends must read meanwhile. A thread, or a process, for each direction is \
              the shortest way; poll(2) with a socket that does not block is the other one. \
              What goes wrong in the second thread has to reach the exit status.",
    hints: [
        "The client sleeps in write, and the server in send. Who of the two could read?",
        "Send and receive at the same time: a thread or a child process for one of them, or \
         poll(2) for POLLIN and POLLOUT with a socket that does not block.",
        "When the server is gone, a write fails by EPIPE: MSG_NOSIGNAL, or SIGPIPE ignored, lets \
         you see it. Whoever sends must hand the failure on to the exit status.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "three messages, and their answers",
            players: client_second,
            partner: serve,
            hint: 1,
        },
        Stage {
            name: "large",
            about: "1,200,000 bytes to a server that answers as it reads",
            players: client_second,
            partner: serve,
            hint: 2,
        },
        Stage {
            name: "gone",
            about: "the server leaves in the middle: your client says so, and fails",
            players: |scene| {
                let client = Player::learner(scene, "client", messages(scene));
                vec![Player::partner(), client.ends(Ends::Failing)]
            },
            partner: |partner| {
                let (listener, place) = listen(partner)?;
                let client = accept4(&listener, SockFlag::SOCK_CLOEXEC);
                let client = partner.call("accept()", client)?;
                partner.read(&client, 100)?;
                drop(client);
                partner.log("close(): there is more to read, on purpose");
                partner.call("unlink(PLACE)", std::fs::remove_file(place))
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "does not say that nothing more comes",
            stage: "plain",
            language: Language::Python,
            edits: &[("        sock.shutdown(SHUT_WR)  #", "        #")],
        },
        Wrong {
            what: "sends all, and reads then",
            stage: "large",
            language: Language::Python,
            edits: &[(
                "pool.submit(send_all)",
                "pool.submit(send_all)\n        sender.result()",
            )],
        },
        Wrong {
            what: "does not look how the sending went",
            stage: "gone",
            language: Language::Python,
            edits: &[
                (
                    "        while data := sock.recv(4096):",
                    "        while data := recv():",
                ),
                (
                    "    def send_all():",
                    "    def recv():\n        try:\n            return sock.recv(4096)\n        \
                 except ConnectionResetError:\n            return b\"\"\n\n    def send_all():",
                ),
                ("        sender.result()  # raises", "        # raises"),
            ],
        },
        Wrong {
            what: "is ended by SIGPIPE",
            stage: "gone",
            language: Language::C,
            edits: &[
                (
                    "    signal(SIGPIPE, SIG_IGN); /* if the server has left, write fails by \
                     EPIPE */\n",
                    "",
                ),
                (
                    "    if (ok(fork(), \"fork\") == 0) {",
                    "    if (ok(fork(), \"fork\") != 0) {",
                ),
                ("        exit(0);", "        exit(wait(NULL) == -1);"),
            ],
        },
    ],
};

/// What the client of a stage sends.
fn messages(scene: &Scene) -> Vec<String> {
    let mut draw = scene.draw();
    match scene.stage {
        // An argument has room for 128 KiB.
        "plain" => draw.lines(3),
        _ => (0..12).map(|_| draw.line(999).repeat(100)).collect(),
    }
}

fn client_second(scene: &Scene) -> Vec<Player> {
    let messages = messages(scene);
    let client = Player::learner(scene, "client", messages.clone());
    vec![Player::partner(), client.prints(joined(&messages))]
}

fn listen(partner: &Partner) -> Result<(UnixListener, String)> {
    let place = partner.scene.place();
    let listener =
        partner.call("bind(PLACE), listen()", UnixListener::bind(&place))?;
    Ok((listener, place))
}

/// Is the bare server: sends back what it has read, and only then reads on.
fn serve(partner: &mut Partner) -> Result<()> {
    let (listener, place) = listen(partner)?;
    let client =
        partner.call("accept()", accept4(&listener, SockFlag::SOCK_CLOEXEC))?;
    partner
        .log("sends back what it has read, 4096 bytes or fewer, and reads on then");
    let mut data = [0; 4096];
    let mut all = 0;
    loop {
        let n = read(&client, &mut data).context("read")?;
        if n == 0 {
            break;
        }
        all += n;
        let mut rest = &data[..n];
        while !rest.is_empty() {
            rest = &rest[write(&client, rest).context("write")?..];
        }
    }
    partner.log(&format!(
        "read() = 0: the end, after {} bytes",
        wire::say::grouped(all as u64)
    ));
    drop(client);
    partner.call("unlink(PLACE)", std::fs::remove_file(place))
}
