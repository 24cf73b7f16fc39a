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
                let message = message(&partner.scene);
                let (first, _second, _third) = exhausted(partner)?;
                partner.pause("the server cannot accept the third client");
                partner.log("the first client sends again");
                partner.write(&first, &message, "")?;
                let answer = partner.read_exactly(&first, message.len())?;
                partner.received(&answer)
            },
            hint: 1,
        },
        Stage {
            name: "asleep",
            about: "the server sleeps while the third client waits",
            players: server_first,
            partner: |partner| {
                let message = message(&partner.scene);
                let (first, _second, _third) = exhausted(partner)?;
                partner.must_sleep("server")?;
                partner.echoed(&first, &message)?;
                partner.received(&message)
            },
            hint: 2,
        },
        Stage {
            name: "later",
            about: "one client leaves: the third one is served",
            players: server_first,
            partner: |partner| {
                let message = message(&partner.scene);
                let (first, _second, third) = exhausted(partner)?;
                partner.pause("the server cannot accept the third client");
                drop(first);
                partner.log("close(): the first client leaves");
                let answer = partner.read_exactly(&third, message.len())?;
                partner.received(&answer)
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
fn exhausted(partner: &Partner) -> Result<(OwnedFd, OwnedFd, OwnedFd)> {
    let pid = partner.learner("server")?;
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).context("opendir")?;
    let open =
        open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let most = open.max().unwrap_or(2u64) + 3;
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
    partner.write(&third, &message, "the third client's message")?;
    Ok((first, second, third))
}
