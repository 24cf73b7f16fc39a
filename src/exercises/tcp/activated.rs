//! `tcp/activated`.

use std::fs::File;
use std::net::TcpListener;
use std::os::fd::OwnedFd;

use anyhow::Result;

use bare::{Language, MeetingPlace};

use crate::partner::Partner;
use crate::row::{Begin, Ends, Exercise, Kind, Player, Stage, Wrong, no_partner};
use crate::scene::Scene;

pub(super) const ROW: Exercise = Exercise {
    name: "activated",
    title: "a server that takes the socket it is lent, or makes its own",
    kind: Kind::Write,
    minutes: 20,
    after: &["tcp/restart"],
    task: include_str!("activated/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Address],
    solutions: [
        Some(include_str!("activated/solution.rs")),
        Some(include_str!("activated/solution.c")),
        Some(include_str!("activated/solution.py")),
    ],
    reasons: "A descriptor outlives execve(2), so a listening socket can be made by another process than \
              the one that serves it. Its backlog belongs to the socket: clients that come before \
              the server has begun, or between two servers, wait there. The environment outlives \
              fork(2) and execve(2), and tells every descendant of descriptor 3: only LISTEN_PID \
              says whose that is. What one of them has as descriptor 3, may be anything: so it is \
              looked at before it is used, and close-on-exec is set.",
    hints: [
        "getenv LISTEN_PID, and compare it with getpid(). Where it is another's, or not set, go on \
         as the program does that you began with.",
        "Descriptor 3 is bound, and listens: accept(3) is all that is to do. bind at PLACE would fail \
         by EADDRINUSE.",
        "getsockopt(3, SOL_SOCKET, SO_ACCEPTCONN) fails for what is no socket, and stores 0 for one that \
         does not listen.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "own",
            about: "nothing is lent: a server of its own",
            players: |scene| vec![server(scene).prints("").idles(), client(scene)],
            partner: read_line,
            hint: 1,
        },
        Stage {
            name: "lent",
            about: "descriptor 3 listens at PLACE, and a client waits there",
            players: |scene| {
                let server = server(scene).prints("");
                let server = match TcpListener::bind(scene.place()) {
                    Ok(listener) => server.lent(listener, "$$"),
                    // What was to be lent is there already: it is told by bind's error.
                    Err(_) => server,
                };
                vec![client(scene), server]
            },
            partner: read_line,
            hint: 2,
        },
        Stage {
            name: "another",
            about: "LISTEN_PID is the PID of another process, whose socket descriptor 3 is",
            players: |scene| {
                let server = server(scene).prints("");
                let server = match TcpListener::bind("127.0.0.1:0") {
                    Ok(listener) => server.lent(listener, "$PPID"),
                    Err(_) => server,
                };
                vec![server.idles(), client(scene)]
            },
            partner: read_line,
            hint: 1,
        },
        Stage {
            name: "no-socket",
            about: "descriptor 3 is /dev/null",
            players: |scene| useless(scene, File::open("/dev/null")),
            partner: no_partner,
            hint: 3,
        },
        Stage {
            name: "deaf",
            about: "descriptor 3 is a socket that does not listen",
            players: |scene| {
                useless(scene, std::net::UdpSocket::bind("127.0.0.1:0"))
            },
            partner: no_partner,
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "sends no newline",
            stage: "own",
            language: Language::Python,
            edits: &[(" + b\"\\n\"", "")],
        },
        Wrong {
            what: "compares with the pid of its parent",
            stage: "lent",
            language: Language::Python,
            edits: &[("str(os.getpid())", "str(os.getppid())")],
        },
        Wrong {
            what: "asks whether there is a number",
            stage: "another",
            language: Language::Python,
            edits: &[(
                "os.environ.get(\"LISTEN_PID\") == str(os.getpid())",
                "\"LISTEN_PID\" in os.environ",
            )],
        },
        Wrong {
            what: "makes its own socket where the lent one is none",
            stage: "no-socket",
            language: Language::C,
            edits: &[
                (
                    "        ok(getsockopt(3, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length), \"getsockopt\");",
                    "        if (getsockopt(3, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length))\n            goto own;",
                ),
                (
                    "    int listener = ok(socket(",
                    "own:;\n    int listener = ok(socket(",
                ),
            ],
        },
        Wrong {
            what: "makes its own socket where the lent one does not listen",
            stage: "deaf",
            language: Language::C,
            edits: &[
                (
                    "            fprintf(stderr, \"descriptor 3 does not listen\\n\");\n            exit(1);",
                    "            goto own;",
                ),
                (
                    "    int listener = ok(socket(",
                    "own:;\n    int listener = ok(socket(",
                ),
            ],
        },
    ],
};

fn message(scene: &Scene) -> String {
    scene.draw().line(12)
}

fn server(scene: &Scene) -> Player {
    Player::learner(scene, "server", [message(scene)])
}

/// A server that is lent what it cannot use.
fn useless(scene: &Scene, lent: std::io::Result<impl Into<OwnedFd>>) -> Vec<Player> {
    let server = server(scene).prints("").ends(Ends::Failing);
    vec![match lent {
        Ok(lent) => server.lent(lent, "$$"),
        Err(_) => server,
    }]
}

/// The partner, who gets the message.
fn client(scene: &Scene) -> Player {
    Player::partner().prints(message(scene) + "\n")
}

/// Hands over what the server sends.
fn read_line(partner: &mut Partner) -> Result<()> {
    let client = partner.connect()?;
    let data = partner.read_to_end(&client)?;
    partner.received(&data)
}
