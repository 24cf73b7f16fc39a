//! Design: a job runner that ends the whole family.

use anyhow::Result;
use nix::sys::signal::Signal;

use bare::Language;

use super::super::partner::Partner;
use super::super::row::{
    Begin, Ends, Exercise, Kind, Player, Stage, Wrong, no_partner,
};
use super::super::scene::Scene;

/// For the chapter signal.
pub(in super::super) const ROW: Exercise = Exercise {
    name: "jobs",
    title: "a runner that ends a job with the whole family",
    kind: Kind::Design,
    minutes: 60,
    after: &[],
    task: include_str!("jobs/task.md"),
    begin: Begin::Solution,
    places: &[],
    solutions: [
        Some(include_str!("jobs/solution.rs")),
        Some(include_str!("jobs/solution.c")),
        Some(include_str!("jobs/solution.py")),
    ],
    reasons: "A signal to a process reaches that one alone, and a signal to a process group \
              misses whoever has left the group. A subreaper inherits its orphaned descendants \
              in place of process 1, so that all of the family are found below it, and can be \
              waited for. Whoever forks while the list is read is found the next time: it is \
              read again until wait says ECHILD.",
    hints: [
        "A process whose parent ends is given to process 1, or to the nearest ancestor that has \
         called prctl(PR_SET_CHILD_SUBREAPER, 1).",
        "Read the children of your own process, and theirs, and send all of them the signal; wait \
         without sleeping (WNOHANG); begin again until there is no child: ECHILD.",
        "A process that ignores SIGTERM goes on: after two seconds, do the same with SIGKILL.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "a command prints a line, and ends",
            players: |scene| vec![run(scene, "echo hello").prints("hello\n")],
            partner: no_partner,
            hint: 1,
        },
        Stage {
            name: "status",
            about: "a command ends with status 3",
            players: |scene| {
                vec![
                    run(scene, "echo no >&2; exit 3").prints("").ends(Ends::Failing),
                ]
            },
            partner: no_partner,
            hint: 1,
        },
        Stage {
            name: "left",
            about: "the shell ends, and has left a process",
            players: |scene| {
                vec![
                    run(scene, &family(scene, "cat <&3 & echo done"))
                        .prints("done\n"),
                ]
            },
            partner: no_partner,
            hint: 2,
        },
        Stage {
            name: "term",
            about: "SIGTERM comes while two processes of the command sleep",
            players: |scene| ended(scene, "cat <&3 & cat <&3 & wait", ""),
            partner: terminate,
            hint: 2,
        },
        Stage {
            name: "cleanly",
            about: "the command has a handler for SIGTERM, which cleans up",
            players: |scene| {
                let job = "trap 'echo cleaned up; exit' TERM; cat <&3 & wait";
                ended(scene, job, "cleaned up\n")
            },
            partner: terminate,
            hint: 3,
        },
        Stage {
            name: "stubborn",
            about: "the command ignores SIGTERM",
            players: |scene| ended(scene, "trap '' TERM; cat <&3 & wait", ""),
            partner: terminate,
            hint: 3,
        },
        Stage {
            name: "session",
            about: "a process has a session of its own, and its parent has ended",
            players: |scene| ended(scene, "(setsid cat <&3 &); cat <&3", ""),
            partner: terminate,
            hint: 1,
        },
    ],
    wrong: &[
        Wrong {
            what: "spares what has a session of its own",
            stage: "session",
            language: Language::Python,
            edits: &[(
                "        found += pids\n",
                "        found += [pid for pid in pids if os.getsid(pid) == os.getsid(0)]\n",
            )],
        },
        Wrong {
            what: "keeps the output to itself",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "[\"sh\", \"-c\", command]",
                "[\"sh\", \"-c\", command], stdout=subprocess.DEVNULL",
            )],
        },
        Wrong {
            what: "ends with 0 whatever comes",
            stage: "status",
            language: Language::Python,
            edits: &[(
                "        status = job.wait()",
                "        status = job.wait() and 0",
            )],
        },
        Wrong {
            what: "leaves what the shell has left",
            stage: "left",
            language: Language::Python,
            edits: &[("    end_family(signal.SIGKILL)  # what", "    pass  # what")],
        },
        Wrong {
            what: "ends the shell alone",
            stage: "term",
            language: Language::Python,
            edits: &[(
                "        end_family(signal.SIGTERM, 2)\n",
                "        job.terminate(), job.wait(), print(\"ended\", file=sys.stderr), os._exit(143)\n",
            )],
        },
        Wrong {
            what: "kills at once",
            stage: "cleanly",
            language: Language::Python,
            edits: &[(
                "end_family(signal.SIGTERM, 2)",
                "end_family(signal.SIGKILL, 2)",
            )],
        },
        Wrong {
            what: "asks only",
            stage: "stubborn",
            language: Language::Python,
            edits: &[(
                "end_family(signal.SIGTERM, 2)",
                "end_family(signal.SIGTERM, 2), print(\"ended\", file=sys.stderr), os._exit(143)",
            )],
        },
        Wrong {
            what: "is no subreaper",
            stage: "left",
            language: Language::Python,
            edits: &[(
                "libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)",
                "libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)",
            )],
        },
    ],
};

fn run(scene: &Scene, command: &str) -> Player {
    Player::learner(scene, "run", [command])
}

/// A command whose `cat <&3` sleeps for ever: it reads from a pipe that it holds open itself.
pub(crate) fn family(scene: &Scene, command: &str) -> String {
    let fifo = scene.dir.join("fifo");
    let fifo = fifo.display();
    format!("mkfifo {fifo}; exec 3<>{fifo}; rm {fifo}; {command}")
}

fn ended(scene: &Scene, command: &str, printed: &str) -> Vec<Player> {
    let run = run(scene, &family(scene, command))
        .prints(printed)
        .ends(Ends::Failing)
        .idles();
    vec![run, Player::partner()]
}

fn terminate(partner: &mut Partner) -> Result<()> {
    let runner = partner.learner("run")?;
    partner.signal(runner, Signal::SIGTERM, "to your program alone")?;
    partner.until_all_have_ended()
}
