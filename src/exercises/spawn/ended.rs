//! How a command has ended.

use bare::Language;

use crate::row::{Begin, Exercise, Kind, Player, Stage, Wrong, no_partner};
use crate::scene::Scene;

pub(super) const ENDED: Exercise = Exercise {
    name: "ended",
    title: "a program that says how a command has ended",
    kind: Kind::Write,
    minutes: 10,
    after: &[],
    task: include_str!("ended/task.md"),
    begin: Begin::Solution,
    places: &[],
    solutions: [
        Some(include_str!("ended/solution.rs")),
        Some(include_str!("ended/solution.c")),
        Some(include_str!("ended/solution.py")),
    ],
    reasons: "waitpid(2) stores one number for three cases: ended by itself, by a signal, or \
              stopped. WIFSIGNALED tells the second from the first. Of what exit(3) is given, \
              the low 8 bits arrive. If execvp(3) returns, it has failed, and the child is still a \
              copy of the parent: it must end there, or two processes go on in the parent's code.",
    hints: [
        "Three calls are enough: fork, execvp in the child, waitpid in the parent.",
        "The status has two parts: WIFSIGNALED says whether a signal has ended the command, WTERMSIG \
         which one, and WEXITSTATUS what exit(3) was given.",
        "execvp returns only when it has failed. Then write why to standard error, and leave the \
         child by _exit(127).",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "a command that prints, and ends well",
            players: |scene| runner(scene, "echo hello", "hello\nstatus 0\n"),
            partner: no_partner,
            hint: 1,
        },
        Stage {
            name: "status",
            about: "a command that ends with status 3",
            players: |scene| runner(scene, "exit 3", "status 3\n"),
            partner: no_partner,
            hint: 2,
        },
        Stage {
            name: "signal",
            about: "a command that SIGTERM ends",
            players: |scene| runner(scene, "kill -TERM $$", "signal 15\n"),
            partner: no_partner,
            hint: 2,
        },
        Stage {
            name: "missing",
            about: "a command that is not there",
            players: |scene| {
                let words = ["./no-such-command"];
                vec![Player::learner(scene, "runner", words).prints("status 127\n")]
            },
            partner: no_partner,
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "closes the command's standard output",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "    if child == 0:\n",
                "    if child == 0:\n        os.close(1)\n",
            )],
        },
        Wrong {
            what: "prints the number of waitpid",
            stage: "status",
            language: Language::Python,
            edits: &[("os.WEXITSTATUS(status)", "status")],
        },
        Wrong {
            what: "does not ask for a signal",
            stage: "signal",
            language: Language::Python,
            edits: &[("os.WIFSIGNALED(status)", "False")],
        },
        Wrong {
            what: "goes on in the parent's code",
            stage: "missing",
            language: Language::Python,
            edits: &[(
                "        os._exit(127)  # only if execvp has failed\n",
                "        return\n",
            )],
        },
    ],
};

/// The learner's program, which runs a shell.
fn runner(scene: &Scene, script: &str, prints: &str) -> Vec<Player> {
    vec![Player::learner(scene, "runner", ["sh", "-c", script]).prints(prints)]
}
