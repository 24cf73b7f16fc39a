//! A parent that survives whatever its child does.

use bare::Language;

use crate::row::{Begin, Ends, Exercise, Kind, Player, Stage, Wrong, no_partner};
use crate::scene::Scene;

pub(super) const FILTER: Exercise = Exercise {
    name: "filter",
    title: "a parent that survives what its child does",
    kind: Kind::Mend,
    minutes: 30,
    after: &[],
    task: include_str!("filter/task.md"),
    begin: Begin::Bare("spawn"),
    places: &[],
    solutions: [
        Some(include_str!("filter/solution.rs")),
        Some(include_str!("filter/solution.c")),
        Some(include_str!("filter/solution.py")),
    ],
    reasons: "poll says which of the two pipes can be used without a sleep, and O_NONBLOCK has a \
              write take what there is room for: without it a long write sleeps although poll \
              has said that there is room. O_NONBLOCK belongs to the open file of our end, so the \
              child sees nothing of it. To ignore SIGPIPE is the parent's own affair: what \
              is ignored is inherited, so it is ignored after the fork, or reset before execve.",
    hints: [
        "Who sleeps in which call when the command prints 200,000 bytes before it reads? A pipe \
         holds 65,536.",
        "Wait for both pipes at once: poll(2) with POLLIN for the one, and POLLOUT for the other. \
         Set O_NONBLOCK on the end that you write to.",
        "EPIPE means that nobody will read the rest: forget it, close the pipe, and go on reading. \
         In C it comes only if SIGPIPE is ignored. What the parent ignores before fork(2), the \
         command ignores as well.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "a filter, and a short message",
            players: |scene| {
                let line = scene.draw().line(20).to_lowercase();
                let answer = format!("{}\n", line.to_uppercase());
                vec![command(scene, &line, "tr a-z A-Z").prints(answer)]
            },
            partner: no_partner,
            hint: 1,
        },
        Stage {
            name: "status",
            about: "a command that ends with status 3",
            players: |scene| {
                let player = command(scene, "hello", "cat; echo no >&2; exit 3");
                vec![player.prints("hello\n").ends(Ends::Failing)]
            },
            partner: no_partner,
            hint: 1,
        },
        Stage {
            name: "chatty",
            about: "a command that prints 200,000 bytes before it reads",
            players: |scene| {
                let long = "m".repeat(100_000);
                let prints = format!("{}{long}\n", "x".repeat(200_000));
                let script = "head -c 200000 /dev/zero | tr '\\0' x; cat";
                vec![command(scene, &long, script).prints(prints)]
            },
            partner: no_partner,
            hint: 2,
        },
        Stage {
            name: "deaf",
            about: "a command that closes its standard input, and answers",
            players: |scene| {
                let script = "exec 0<&-; echo answer";
                vec![command(scene, &"m".repeat(100_000), script).prints("answer\n")]
            },
            partner: no_partner,
            hint: 3,
        },
        Stage {
            name: "sigpipe",
            about: "a command that SIGPIPE should end",
            players: |scene| {
                let player = command(scene, "hello", "kill -PIPE $$; echo alive");
                vec![player.prints("").ends(Ends::Failing)]
            },
            partner: no_partner,
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "sends no newline",
            stage: "plain",
            language: Language::Python,
            edits: &[("os.fsencode(message) + b\"\\n\"", "os.fsencode(message)")],
        },
        Wrong {
            what: "ends with 0 whatever comes",
            stage: "status",
            language: Language::Python,
            edits: &[("status if status >= 0 else", "0 if status >= 0 else")],
        },
        Wrong {
            what: "sleeps in a write",
            stage: "chatty",
            language: Language::Python,
            edits: &[(
                "os.set_blocking(to_child, False)",
                "os.set_blocking(to_child, True)",
            )],
        },
        Wrong {
            what: "gives up at EPIPE",
            stage: "deaf",
            language: Language::Python,
            edits: &[(
                "rest = b\"\"  # the child",
                "sys.exit(\"EPIPE\")  # the child",
            )],
        },
        Wrong {
            what: "has the command ignore SIGPIPE",
            stage: "sigpipe",
            language: Language::Python,
            edits: &[("signal.signal(signal.SIGPIPE, signal.SIG_DFL)", "pass")],
        },
    ],
};

/// The learner's parent, which runs a shell.
fn command(scene: &Scene, message: &str, script: &str) -> Player {
    Player::learner(scene, "parent", [message, "sh", "-c", script])
}
