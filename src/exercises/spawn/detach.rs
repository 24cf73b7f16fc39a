//! A command that lives longer than the program that starts it.

use std::fs::{read_dir, read_link};

use anyhow::Result;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getsid};

use bare::{Language, MeetingPlace};

use crate::partner::Partner;
use crate::row::{Begin, Ends, Exercise, Kind, Player, Stage, Wrong};
use crate::scene::Scene;
use os::proc::{Activity, activity, text};

pub(super) const DETACH: Exercise = Exercise {
    name: "detach",
    title: "a command that outlives its terminal",
    kind: Kind::Write,
    minutes: 20,
    after: &[],
    task: include_str!("detach/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("detach/solution.rs")),
        Some(include_str!("detach/solution.c")),
        Some(include_str!("detach/solution.py")),
    ],
    reasons: "What the command has, it gets between fork and execve: that is why the two are two \
              calls. setsid fails for the leader of a process group, and a forked child is none. \
              The pipe that is close-on-exec is how Command, subprocess and posix_spawn learn of \
              a failed execve: it brings the error number, or ends when execve closes it.",
    hints: [
        "Everything that the command is to have is set in the child, before execvp.",
        "open(\"/dev/null\", O_RDWR), and dup2 to 0, 1 and 2. What else is open there, and is not \
         close-on-exec?",
        "A pipe with O_CLOEXEC: the child writes its errno into it if execvp returns. The parent \
         closes its write end, and reads: 0 means that execve has closed the other one.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "the command runs, and its PID is at PLACE",
            players: |scene| starting(scene, &["sleep", "1000"]),
            partner: |partner| looks_at(partner, |_, _| Ok(())),
            hint: 1,
        },
        Stage {
            name: "session",
            about: "the command leads a session",
            players: |scene| starting(scene, &["sleep", "1000"]),
            partner: |partner| {
                looks_at(partner, |partner, pid| match getsid(Some(pid)) {
                    Ok(session) if session == pid => Ok(()),
                    Ok(_) => {
                        partner.wrong("another process leads the command's session")
                    }
                    Err(_) => partner.wrong("the command has ended"),
                })
            },
            hint: 1,
        },
        Stage {
            name: "streams",
            about: "the command has /dev/null three times, and nothing else",
            players: |scene| starting(scene, &["sleep", "1000"]),
            partner: |partner| looks_at(partner, has_null_alone),
            hint: 2,
        },
        Stage {
            name: "place",
            about: "the directory of the command is /",
            players: |scene| starting(scene, &["sleep", "1000"]),
            partner: |partner| {
                looks_at(partner, |partner, pid| {
                    match read_link(format!("/proc/{pid}/cwd")) {
                        Ok(dir) if dir.as_os_str() == "/" => Ok(()),
                        _ => {
                            partner.wrong("the command has another directory than /")
                        }
                    }
                })
            },
            hint: 1,
        },
        Stage {
            name: "missing",
            about: "there is no such command",
            players: |scene| {
                let detach =
                    Player::learner(scene, "detach", ["./no-such-command", "x"]);
                vec![Player::partner(), detach.ends(Ends::Failing)]
            },
            partner: |partner| {
                partner.until_all_have_ended()?;
                match std::fs::remove_file(partner.scene.place()) {
                    Ok(()) => {
                        partner.wrong("there is a file at PLACE, and no command")
                    }
                    Err(_) => Ok(()),
                }
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "writes its own PID",
            stage: "plain",
            language: Language::Python,
            edits: &[("print(child, file=file)", "print(os.getpid(), file=file)")],
        },
        Wrong {
            what: "makes a group, and no session",
            stage: "session",
            language: Language::Python,
            edits: &[("os.setsid()", "os.setpgid(0, 0)")],
        },
        Wrong {
            what: "keeps standard error",
            stage: "streams",
            language: Language::Python,
            edits: &[("range(3)", "range(2)")],
        },
        Wrong {
            what: "leaves a descriptor open",
            stage: "streams",
            language: Language::Python,
            edits: &[("    os.execvp(", "    os.dup2(null, 7)\n    os.execvp(")],
        },
        Wrong {
            what: "stays where it was started",
            stage: "place",
            language: Language::Python,
            edits: &[("    os.chdir(\"/\")\n", "")],
        },
        Wrong {
            what: "does not learn that execve has failed",
            stage: "missing",
            language: Language::Python,
            edits: &[("os.write(writing, errno", "str(errno")],
        },
    ],
};

fn starting(scene: &Scene, command: &[&str]) -> Vec<Player> {
    let detach = Player::learner(scene, "detach", command.to_vec()).prints("");
    vec![Player::partner(), detach]
}

/// Waits until the learner's program has ended, and looks at the command that it has started;
/// then ends the command, and removes the file.
fn looks_at(
    partner: &mut Partner,
    look: fn(&Partner, Pid) -> Result<()>,
) -> Result<()> {
    partner.until_all_have_ended()?;
    let place = partner.scene.place();
    let noted = std::fs::read_to_string(&place).unwrap_or_default();
    let _ = std::fs::remove_file(&place);
    let Some(pid) = noted.strip_suffix('\n').and_then(|pid| pid.parse().ok()) else {
        return partner
            .wrong(&format!("PLACE holds {noted:?}, which is no PID in a line"));
    };
    let pid = Pid::from_raw(pid);
    let runs = partner.until("the command", || {
        match activity(pid) {
            Activity::Ended => Some(false),
            // Until it sleeps, it may not be what it will be, or have a file of its own open.
            Activity::Other => None,
            Activity::Asleep(_) | Activity::AsleepSomewhere => {
                let name = text(format!("/proc/{pid}/comm")).unwrap_or_default();
                (name == "sleep\n").then_some(true)
            }
        }
    })?;
    if !runs {
        return partner.wrong("the process whose PID is at PLACE has ended");
    }
    partner.log("looks at the process whose PID is at PLACE");
    let seen = look(partner, pid);
    partner.signal(pid, Signal::SIGKILL, "the command has been looked at")?;
    seen
}

fn has_null_alone(partner: &Partner, pid: Pid) -> Result<()> {
    let entries =
        read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut all: Vec<String> = entries
        .map(|entry| {
            let link = read_link(entry.path()).unwrap_or_default();
            format!("{} {}", entry.file_name().display(), link.display())
        })
        .collect();
    all.sort();
    if all == ["0 /dev/null", "1 /dev/null", "2 /dev/null"] {
        return Ok(());
    }
    // A pipe has another number in each run.
    let all = all.join(", ").replace(['[', ']'], "");
    let all: Vec<&str> = all.split(':').collect();
    partner.wrong(&format!("the command has these descriptors: {}", all.join(" ")))
}
