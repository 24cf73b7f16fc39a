//! `multiplex/no-descriptor`.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use bare::{Language, MeetingPlace};

use crate::draw::joined;
use crate::partner::Partner;
use crate::row::{Begin, Exercise, Kind, Player, Stage, Wrong};
use crate::scene::Scene;

pub(super) const ROW: Exercise = Exercise {
    name: "no-descriptor",
    title: "a server that runs out of descriptors, and goes on",
    kind: Kind::Mend,
    minutes: 20,
    after: &["multiplex/lost-client"],
    task: include_str!("no_descriptor/task.md"),
    begin: Begin::Bare("multiplex"),
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("no_descriptor/solution.rs")),
        Some(include_str!("no_descriptor/solution.c")),
        Some(include_str!("no_descriptor/solution.py")),
    ],
    reasons: "accept that fails by EMFILE leaves the client in the backlog, so that poll says at \
              once again that the listening socket is ready: whoever only ignores the error uses \
              a whole CPU. So the server does not ask for the listening socket until a \
              descriptor is free again, which is when a client has left. ENFILE, of the whole \
              system, can end without that: our role tries again after a time.",
    hints: [
        "accept fails by EMFILE. Is that the end of the server, or of a client?",
        "When accept has failed so, the client still waits. What does poll say then, at once and \
         each time? Which socket should it not be asked for?",
        "After EMFILE, do not ask poll for the listening socket: events = 0. When you have \
         closed a client's socket, ask again: events = POLLIN.",
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
                let answers = partner.ask(&message)?;
                partner.received(&answers)
            },
            hint: 1,
        },
        Stage {
            name: "others",
            about: "no descriptor for a third client: the other two are served",
            players: server_first,
            partner: |partner| {
                let clients = exhausted(partner)?;
                partner.pause("the server cannot accept the third client");
                end(partner, clients)
            },
            hint: 1,
        },
        Stage {
            name: "asleep",
            about: "the server sleeps while the third client waits",
            players: server_first,
            partner: |partner| {
                let clients = exhausted(partner)?;
                partner.must_sleep("server")?;
                end(partner, clients)
            },
            hint: 2,
        },
        Stage {
            name: "later",
            about: "one client leaves: the third one is served",
            players: server_first,
            partner: |partner| {
                let message = message(&partner.scene);
                let [first, second, third] = exhausted(partner)?;
                partner.write(&third, &message, "the third client's message")?;
                partner.pause("the server cannot accept the third client");
                partner.log("the first client leaves");
                partner.leave(first)?;
                let answer = partner.read_exactly(&third, message.len())?;
                partner.received(&answer)?;
                partner.leave(third)?;
                partner.leave(second)
            },
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
            what: "ends, and says why",
            stage: "others",
            language: Language::Python,
            edits: &[(
                "                    poll.modify(listener, 0)  #",
                "                    sys.exit(\"no descriptor\")  #",
            )],
        },
        Wrong {
            what: "tries again and again",
            stage: "asleep",
            language: Language::Python,
            edits: &[(
                "                    poll.modify(listener, 0)  #",
                "                    #",
            )],
        },
        Wrong {
            what: "tries again after a time",
            stage: "asleep",
            language: Language::Python,
            edits: &[(
                "                    poll.modify(listener, 0)  #",
                "                    import time\n                    time.sleep(0.01)  #",
            )],
        },
        Wrong {
            what: "never asks again",
            stage: "later",
            language: Language::Python,
            edits: &[(
                "                poll.modify(listener, select.POLLIN)  #",
                "                #",
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

/// Two clients that are served, and a third one that waits: there are no descriptors for more.
fn exhausted(partner: &Partner) -> Result<[OwnedFd; 3]> {
    let pid = partner.learner("server")?;
    let is_open =
        |fd: &u64| std::fs::symlink_metadata(format!("/proc/{pid}/fd/{fd}")).is_ok();
    // Two numbers that are not in use are left below the limit.
    let second = (0..).filter(|fd| !is_open(fd)).nth(1).context("a number")?;
    let most = second + 1;
    let now = prlimit(
        Pid::from_raw(pid.as_raw()),
        Resource::Nofile,
        Rlimit { current: Some(most), maximum: Some(most) },
    );
    partner.call(&format!("prlimit(the server, RLIMIT_NOFILE, {most})"), now)?;
    let message = message(&partner.scene);
    let first = partner.connect()?;
    partner.echoed(&first, &message)?;
    let second = partner.connect()?;
    partner.echoed(&second, &message)?;
    let third = partner.connect()?;
    Ok([first, second, third])
}

/// The first client is served still. Then all leave, the third one first.
fn end(partner: &Partner, [first, second, third]: [OwnedFd; 3]) -> Result<()> {
    let message = message(&partner.scene);
    partner.log("the first client sends again");
    partner.write(&first, &message, "")?;
    let answer = partner.read_exactly(&first, message.len())?;
    partner.received(&answer)?;
    drop(third);
    partner.log("close(): the third client does not wait any longer");
    partner.leave(first)?;
    partner.leave(second)
}
