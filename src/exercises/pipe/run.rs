//! What a command prints, and how it ends.

use bare::Language;

use crate::draw::Draw;
use crate::row::{Begin, Exercise, Kind, Player, Stage, Wrong, no_partner};
use crate::scene::Scene;

pub(super) const RUN: Exercise = Exercise {
    name: "run",
    title: "a program that runs a command, and keeps what it prints",
    kind: Kind::Mend,
    minutes: 20,
    after: &[],
    task: include_str!("run/task.md"),
    begin: Begin::Solution,
    places: &[],
    solutions: [
        Some(include_str!("run/solution.rs")),
        Some(include_str!("run/solution.c")),
        Some(include_str!("run/solution.py")),
    ],
    reasons: "Read to the end, then wait: waitpid before that sleeps until the command has ended, \
              and the command sleeps in write(2) until somebody reads. read(2) returns 0 when the \
              last descriptor of the write end is closed, and fork(2) has made a second one. 127 \
              is what shells return for a command that cannot be started.",
    hints: [
        "Each process has both ends after fork(2). Who must close which, so that read(2) can \
         return 0?",
        "A pipe holds 64 KiB. A command that prints more sleeps in write(2) until you read: does \
         your program read then?",
        "In the parent: close the write end, read until 0, and call waitpid after that. In the \
         child: dup2, close both ends, exec, and _exit(127) if exec returns.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "a command that prints a line",
            players: |scene| {
                let line = scene.draw().line(20);
                running(scene, &["echo", &line], &format!("status 0\n{line}\n"))
            },
            partner: no_partner,
            hint: 1,
        },
        Stage {
            name: "large",
            about: "a command that prints more than a pipe holds",
            players: |scene| {
                let first = 100_000 + scene.draw().below(10_000);
                let lines: String = (first..first + 50_000)
                    .map(|number| format!("{number}\n"))
                    .collect();
                let (first, last) =
                    (first.to_string(), (first + 49_999).to_string());
                running(
                    scene,
                    &["seq", &first, &last],
                    &format!("status 0\n{lines}"),
                )
            },
            partner: no_partner,
            hint: 2,
        },
        Stage {
            name: "status",
            about: "a command that fails",
            players: |scene| {
                let (line, status) = line_and_status(&mut scene.draw());
                let script = format!("echo '{line}'; exit {status}");
                let printed = format!("status {status}\n{line}\n");
                running(scene, &["sh", "-c", &script], &printed)
            },
            partner: no_partner,
            hint: 3,
        },
        Stage {
            name: "signal",
            about: "a command that is ended by a signal",
            players: |scene| {
                let line = scene.draw().line(20);
                let script = format!("echo '{line}'; kill -KILL $$");
                let printed = format!("signal 9\n{line}\n");
                running(scene, &["sh", "-c", &script], &printed)
            },
            partner: no_partner,
            hint: 3,
        },
        Stage {
            name: "missing",
            about: "a command that is not there",
            players: |scene| running(scene, &["./no-such-command"], "status 127\n"),
            partner: no_partner,
            hint: 3,
        },
        Stage {
            name: "inherited",
            about: "the command has no descriptor but 0, 1 and 2",
            players: |scene| {
                let script = "for n in 3 4 5 6 7 8 9; do test -e /proc/$$/fd/$n && echo $n; done; exit 0";
                running(scene, &["sh", "-c", script], "status 0\n")
            },
            partner: no_partner,
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "keeps the write end",
            stage: "plain",
            language: Language::Python,
            edits: &[("    os.close(writing)  #", "    #")],
        },
        Wrong {
            what: "waits before it reads",
            stage: "large",
            language: Language::Python,
            edits: &[
                (
                    "    printed = b\"\"\n",
                    "    printed = b\"\"\n    _, status = os.waitpid(child, 0)\n",
                ),
                ("    _, status = os.waitpid(child, 0)  #", "    #"),
            ],
        },
        Wrong {
            what: "prints the status of waitpid as it is",
            stage: "status",
            language: Language::Python,
            edits: &[("os.waitstatus_to_exitcode(status)", "status")],
        },
        Wrong {
            what: "takes a signal for an exit status",
            stage: "signal",
            language: Language::Python,
            edits: &[("f\"signal {-code}\" if code < 0 else ", "")],
        },
        Wrong {
            what: "lets the child go on when exec has failed",
            stage: "missing",
            language: Language::Python,
            edits: &[("            os._exit(127)", "            sys.exit(1)")],
        },
        Wrong {
            what: "gives the command the read end",
            stage: "inherited",
            language: Language::Python,
            edits: &[(
                "        os.dup2(writing, 1)",
                "        os.dup2(writing, 1)\n        os.set_inheritable(reading, True)",
            )],
        },
    ],
};

fn running(scene: &Scene, command: &[&str], printed: &str) -> Vec<Player> {
    vec![Player::learner(scene, "run", command.iter().copied()).prints(printed)]
}

fn line_and_status(draw: &mut Draw) -> (String, usize) {
    (draw.line(20), 3 + draw.below(100))
}
