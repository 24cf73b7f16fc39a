//! A guard whose end is the end of what it has started, by a pipe that is held for life.

use anyhow::Result;
use nix::sys::signal::Signal;

use bare::Language;

use crate::design::jobs::family;
use crate::partner::Partner;
use crate::row::{Begin, Ends, Exercise, Kind, Player, Stage, Wrong};
use crate::scene::Scene;

pub(super) const LIFELINE: Exercise = Exercise {
    name: "lifeline",
    title: "a guard whose death is the end of its command",
    kind: Kind::Design,
    minutes: 45,
    after: &["spawn/detach"],
    task: include_str!("lifeline/task.md"),
    begin: Begin::Solution,
    places: &[],
    solutions: [
        Some(include_str!("lifeline/solution.rs")),
        Some(include_str!("lifeline/solution.c")),
        Some(include_str!("lifeline/solution.py")),
    ],
    reasons: "Nobody can act when SIGKILL comes, so another process must notice: it sleeps in a \
              read of a pipe whose one write end is the guard's. The watcher has closed its own \
              copy, and execve closes the command's. It is in a session of its own, so that \
              what ends the guard's group does not end the watcher first. Both parent and child call \
              setpgid, or the watcher could kill a group that is not made yet.",
    hints: [
        "A third process can wait for the guard's end: it is no relation of the command, and \
         nothing kills it.",
        "A pipe: the guard has the write end, and nobody else. What does the third process's \
         read(2) return when the guard is killed? Who else has a copy of the write end after fork?",
        "The command leads a process group (setpgid in the child, and in the parent), and the \
         third process calls kill(-command, SIGKILL).",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "a command prints a line, and ends",
            players: |scene| {
                vec![Player::partner(), guard(scene, "echo hello").prints("hello\n")]
            },
            partner: none_is_left,
            hint: 1,
        },
        Stage {
            name: "status",
            about: "a command ends with status 3",
            players: |scene| {
                vec![
                    Player::partner(),
                    guard(scene, "echo no >&2; exit 3")
                        .prints("")
                        .ends(Ends::Failing),
                ]
            },
            partner: none_is_left,
            hint: 1,
        },
        Stage {
            name: "killed",
            about: "SIGKILL comes to the guard while the command sleeps",
            players: |scene| killed(scene, "exec cat <&3", Signal::SIGKILL),
            partner: |partner| strike(partner, Signal::SIGKILL),
            hint: 2,
        },
        Stage {
            name: "family",
            about: "the same, and the command has started another process",
            players: |scene| {
                killed(scene, "cat <&3 & cat <&3 & wait", Signal::SIGKILL)
            },
            partner: |partner| strike(partner, Signal::SIGKILL),
            hint: 3,
        },
        Stage {
            name: "term",
            about: "SIGTERM comes to the guard, and the command ignores SIGTERM",
            players: |scene| {
                killed(scene, "trap '' TERM; cat <&3 & wait", Signal::SIGTERM)
            },
            partner: |partner| strike(partner, Signal::SIGTERM),
            hint: 3,
        },
        Stage {
            name: "left",
            about: "the command ends, and has left a process in its group",
            players: |scene| {
                let script = family(scene, "cat <&3 & echo done");
                vec![Player::partner(), guard(scene, &script).prints("done\n")]
            },
            partner: none_is_left,
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "keeps the output to itself",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "            os.setpgid(0, 0)",
                "            os.setpgid(0, 0), os.close(1)",
            )],
        },
        Wrong {
            what: "ends with 0 whatever comes",
            stage: "status",
            language: Language::Python,
            edits: &[("status if status >= 0 else", "0 if status >= 0 else")],
        },
        Wrong {
            what: "has a watcher that waits for itself",
            stage: "plain",
            language: Language::Python,
            edits: &[("        os.close(held)  # or it", "        pass  # or it")],
        },
        Wrong {
            what: "has a watcher that does not wait",
            stage: "killed",
            language: Language::Python,
            edits: &[(
                "        os.setsid()  # no key",
                "        os._exit(0)  # no key",
            )],
        },
        Wrong {
            what: "ends the command alone",
            stage: "family",
            language: Language::Python,
            edits: &[(
                "os.killpg(command, signal.SIGKILL)",
                "os.kill(command, signal.SIGKILL)",
            )],
        },
        Wrong {
            what: "asks only",
            stage: "term",
            language: Language::Python,
            edits: &[(
                "os.killpg(command, signal.SIGKILL)",
                "os.killpg(command, signal.SIGTERM)",
            )],
        },
        Wrong {
            what: "has the watcher end with its command",
            stage: "left",
            language: Language::Python,
            edits: &[
                (
                    "    sys.exit(status if",
                    "    os.killpg(command, 0) if status else os.kill(watcher, signal.SIGKILL)\n    \
                 sys.exit(status if",
                ),
                ("    if os.fork() == 0:", "    if (watcher := os.fork()) == 0:"),
            ],
        },
    ],
};

fn guard(scene: &Scene, script: &str) -> Player {
    Player::learner(scene, "guard", ["sh", "-c", script])
}

fn killed(scene: &Scene, script: &str, by: Signal) -> Vec<Player> {
    let guard = guard(scene, &family(scene, script)).prints("").ends(Ends::By(by));
    vec![guard.idles(), Player::partner()]
}

/// The guard has ended, and then what watched it.
fn none_is_left(partner: &mut Partner) -> Result<()> {
    partner.until_all_have_ended()?;
    partner.until_none_is_left()
}

fn strike(partner: &mut Partner, signal: Signal) -> Result<()> {
    let guard = partner.learner("guard")?;
    partner.signal(guard, signal, "to your program alone")?;
    partner.until_none_is_left()
}
