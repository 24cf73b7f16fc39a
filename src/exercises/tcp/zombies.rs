//! `tcp/zombies`.

use anyhow::Result;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use bare::{Language, MeetingPlace};
use os::proc::{Activity, activity};

use crate::draw::joined;
use crate::partner::{Partner, processes_of};
use crate::row::{Begin, Exercise, Kind, Player, Stage, Wrong, no_partner};
use crate::scene::Scene;

pub(super) const ROW: Exercise = Exercise {
    name: "zombies",
    title: "a forking server that leaves no zombie, and is not interrupted",
    kind: Kind::Mend,
    minutes: 20,
    after: &["tcp/lost-client"],
    task: include_str!("zombies/task.md"),
    begin: Begin::Bare("tcp_fork"),
    places: &[MeetingPlace::Address],
    solutions: [
        Some(include_str!("zombies/solution.rs")),
        Some(include_str!("zombies/solution.c")),
        Some(include_str!("zombies/solution.py")),
    ],
    reasons: "A child that has ended stays as a zombie until its parent waits for it, and this \
              parent sleeps in accept. If it ignores SIGCHLD, the kernel keeps no zombie, and no \
              call is interrupted: a line is enough. The last waitpid then sleeps until all \
              children have ended, and returns ECHILD. A handler that calls waitpid in a loop is \
              the longer way: without SA_RESTART it ends accept by EINTR, and one signal may stand \
              for several children.",
    hints: [
        "The server waits for its children only after an accept. Which signal does the kernel \
         send it when a child ends?",
        "sigaction(2), SIGCHLD: what becomes of children if it is ignored? And if it has a \
         handler: what does accept return when the handler ran?",
        "Either SIG_IGN for SIGCHLD, or a handler with SA_RESTART that calls waitpid(-1, …, \
         WNOHANG) until nothing is left.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "two clients",
            players: |scene| {
                let mut players = vec![server(scene, "2")];
                for message in scene.draw().lines(2) {
                    let line = format!("{message}\n");
                    let client = Player::learner(scene, "client", [message]);
                    players.push(client.prints(line));
                }
                players
            },
            partner: no_partner,
            hint: 1,
        },
        Stage {
            name: "zombies",
            about: "a client leaves, and no other comes: no zombie stays",
            players: |scene| vec![server(scene, "2"), Player::partner()],
            partner: |partner| {
                serve_one(partner)?;
                partner.ask(&message(&partner.scene)).map(drop)
            },
            hint: 2,
        },
        Stage {
            name: "three",
            about: "three children end at the same time",
            players: |scene| {
                let server = server(scene, "4");
                vec![server, Player::partner().prints(message(scene))]
            },
            partner: |partner| {
                let clients = [(); 3].map(|()| open(partner));
                let clients: Vec<_> = clients.into_iter().collect::<Result<_>>()?;
                let all = children(partner)?;
                partner.log("the children end while the server is stopped: one SIGCHLD is pending");
                let server = partner.stop_role("server")?;
                for client in &clients {
                    partner.finish(client)?;
                }
                for child in &all {
                    has_ended(partner, *child)?;
                }
                partner.signal(server, Signal::SIGCONT, "it goes on")?;
                for child in all {
                    gone(partner, child)?;
                }
                let answers = partner.ask(&message(&partner.scene))?;
                partner.received(&answers)
            },
            hint: 3,
        },
        Stage {
            name: "last",
            about: "the server waits for its last child before it ends",
            players: |scene| vec![server(scene, "1"), Player::partner()],
            partner: |partner| {
                let server = partner.learner("server")?; // later it may be its child
                let client = open(partner)?;
                partner.until_asleep(server)?;
                partner.pause(
                    "the server accepts nobody else, and its child still serves",
                );
                if activity(server) == Activity::Ended {
                    return partner.wrong("the server has ended before its child");
                }
                partner.echoed(&client, &message(&partner.scene))
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "serves one client alone",
            stage: "plain",
            language: Language::Python,
            edits: &[("        clients -= 1", "        clients = 0")],
        },
        Wrong {
            what: "waits when the next client comes",
            stage: "zombies",
            language: Language::Python,
            edits: &[("signal.signal(signal.SIGCHLD, signal.SIG_IGN)", "pass")],
        },
        Wrong {
            what: "is interrupted in accept",
            stage: "plain",
            language: Language::C,
            edits: &[
                (
                    "    signal(SIGCHLD, SIG_IGN);",
                    "    sigaction(SIGCHLD, &(struct sigaction){.sa_handler = reap}, NULL);",
                ),
                (
                    "static void server(",
                    "static void reap(int signal)\n{\n    (void)signal;\n    while (waitpid(-1, NULL, WNOHANG) > 0) {}\n}\n\nstatic void server(",
                ),
            ],
        },
        Wrong {
            what: "waits for one child a signal",
            stage: "three",
            language: Language::C,
            edits: &[
                (
                    "    signal(SIGCHLD, SIG_IGN);",
                    "    sigaction(SIGCHLD, &(struct sigaction){.sa_handler = reap, .sa_flags = SA_RESTART}, NULL);",
                ),
                (
                    "static void server(",
                    "static void reap(int signal)\n{\n    (void)signal;\n    waitpid(-1, NULL, WNOHANG);\n}\n\nstatic void server(",
                ),
            ],
        },
        Wrong {
            what: "does not wait for the last child",
            stage: "last",
            language: Language::Python,
            edits: &[("            os.waitpid(-1, 0)  #", "            break  #")],
        },
    ],
};

fn server(scene: &Scene, clients: &str) -> Player {
    Player::learner(scene, "server", [clients]).prints("").idles()
}

fn message(scene: &Scene) -> Vec<u8> {
    joined(&scene.draw().lines(1))
}

/// A client whose message has come back: its child serves.
fn open(partner: &Partner) -> Result<std::os::fd::OwnedFd> {
    let client = partner.connect()?;
    partner.echoed(&client, b"are you there?\n")?;
    Ok(client)
}

/// The processes of the server, but for its first one.
fn children(partner: &Partner) -> Result<Vec<Pid>> {
    let server = partner.learner("server")?;
    let mut all = processes_of(&partner.scene.dir);
    all.retain(|pid| *pid != server);
    if all.is_empty() {
        return partner.wrong("the server has no child that serves this client");
    }
    Ok(all)
}

/// A client comes and goes; its child must be gone.
fn serve_one(partner: &Partner) -> Result<()> {
    let client = open(partner)?;
    let all = children(partner)?;
    partner.finish(&client)?;
    all.into_iter().try_for_each(|child| gone(partner, child))
}

fn has_ended(partner: &Partner, child: Pid) -> Result<()> {
    partner.until("the child's end", || {
        (activity(child) == Activity::Ended).then_some(())
    })?;
    partner.log(&format!("the child {child} has ended"));
    Ok(())
}

/// Waits until the child has ended: nothing of it may be left while the server sleeps.
fn gone(partner: &Partner, child: Pid) -> Result<()> {
    has_ended(partner, child)?;
    let entry = format!("/proc/{child}");
    let server = partner.learner("server")?;
    let mut asleep = 0;
    // The server may just be about to wait for it: many looks, and it sleeps at each.
    while std::path::Path::new(&entry).exists() {
        asleep += usize::from(activity(server) != Activity::Other);
        if asleep == 20 {
            return partner.wrong(
                "a child of the server has ended, and is a zombie: nobody has waited for it",
            );
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    Ok(())
}
