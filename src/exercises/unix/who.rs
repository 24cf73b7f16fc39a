//! `unix/who`.

use std::os::fd::OwnedFd;

use anyhow::Result;
use nix::sys::signal::Signal;
use nix::unistd::{getgid, getpid, getuid};

use bare::{Language, MeetingPlace};
use wire::say::bytes;

use crate::partner::Partner;
use crate::row::{Begin, Exercise, Kind, Player, Stage, Wrong};
use crate::scene::Scene;

pub(super) const ROW: Exercise = Exercise {
    name: "who",
    title: "a server that tells each client who the client is",
    kind: Kind::Write,
    minutes: 10,
    after: &[],
    task: include_str!("who/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("who/solution.rs")),
        Some(include_str!("who/solution.c")),
        Some(include_str!("who/solution.py")),
    ],
    reasons: "SO_PEERCRED is what the kernel wrote down at connect(2): the process, user and group \
              of whoever called it. The client cannot change it, and need not send anything. \
              A process ID in a message is only what the client says.",
    hints: [
        "The calls are those of `ipclab bare unix`, without recv: socket, bind, listen, accept, \
         send, close, unlink. One more is needed: getsockopt.",
        "Neither recv nor a message is needed: the kernel knows the client since its connect.",
        "getsockopt(client, SOL_SOCKET, SO_PEERCRED, …) fills a struct ucred: pid, uid, gid. In \
         Rust it is sockopt::PeerCredentials.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "a client that sends nothing, and says that it will not",
            players: server_first,
            partner: |partner| {
                let client = partner.connect()?;
                partner.finish(&client)?;
                answer(partner, client)
            },
            hint: 1,
        },
        Stage {
            name: "silent",
            about: "a client that sends nothing, and could still do so",
            players: server_first,
            partner: |partner| {
                let client = partner.connect()?;
                answer(partner, client)
            },
            hint: 2,
        },
        Stage {
            name: "liar",
            about: "a client that says that it is another one",
            players: server_first,
            partner: |partner| {
                let server = partner.stop_role("server")?;
                let client = partner.connect()?;
                partner.write(&client, b"1 0 0\n", "process 1 is somebody else")?;
                partner.signal(server, Signal::SIGCONT, "it goes on")?;
                answer(partner, client)
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "tells who the server is",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "pid, uid, gid = struct",
                "pid, uid, gid = os.getpid(), 0, 0 #",
            )],
        },
        Wrong {
            what: "leaves the name",
            stage: "plain",
            language: Language::Python,
            edits: &[("    os.unlink(name)\n", "")],
        },
        Wrong {
            what: "waits for a message",
            stage: "silent",
            language: Language::Python,
            edits: &[("    pid, uid", "    client.recv(100)\n    pid, uid")],
        },
        Wrong {
            what: "believes the client",
            stage: "liar",
            language: Language::Python,
            edits: &[(
                "    client.sendall(",
                "    import select\n    if select.select([client], [], [], 0.3)[0]:\n        \
                 pid, uid, gid = map(int, client.recv(100).split() or (pid, uid, gid))\n    \
                 client.sendall(",
            )],
        },
    ],
};

fn server_first(scene: &Scene) -> Vec<Player> {
    let nothing: [&str; 0] = [];
    let server = Player::learner(scene, "server", nothing);
    vec![server.prints("").idles(), Player::partner()]
}

/// Reads the answer. It must name this process. What comes behind it is no matter: to a server
/// that closes with a message unread, the end is ECONNRESET.
fn answer(partner: &mut Partner, client: OwnedFd) -> Result<()> {
    let itself = format!("{} {} {}\n", getpid(), getuid(), getgid());
    let mut answer = Vec::new();
    while !answer.ends_with(b"\n") {
        let part = partner.read(&client, 100)?;
        if part.is_empty() {
            break;
        }
        answer.extend(part);
    }
    if answer == itself.as_bytes() {
        return Ok(());
    }
    let (itself, answer) = (itself.as_bytes(), &answer[..]);
    partner.wrong(&format!(
        "it is {}, and was told {}",
        bytes(itself),
        bytes(answer)
    ))
}
