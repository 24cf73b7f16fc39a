//! Children that are all collected.

use std::fs::{File, remove_file};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use bare::{Language, MeetingPlace};
use os::proc::{Activity, activity, children, text};

use crate::partner::Partner;
use crate::row::{Begin, Exercise, Kind, Player, Stage, Wrong};
use crate::scene::Scene;

pub(super) const CHILDREN: Exercise = Exercise {
    name: "children",
    title: "a parent that collects each of its children at once",
    kind: Kind::Mend,
    minutes: 20,
    after: &["signal/counter"],
    task: include_str!("children/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("children/solution.rs")),
        Some(include_str!("children/solution.c")),
        Some(include_str!("children/solution.py")),
    ],
    reasons: "A standard signal that is pending already is not sent again: five children may end \
              with one SIGCHLD. So each SIGCHLD says no more than: look. waitpid with WNOHANG \
              collects until none is left that has ended, and does not sleep while others run. The \
              loop also ends when there is no child, where waitpid fails with ECHILD.",
    hints: [
        "How many SIGCHLD can be pending at the same time? signal(7): standard signals do not \
         queue.",
        "After one SIGCHLD call waitpid(-1, &status, WNOHANG) again and again.",
        "Go on while waitpid returns a pid; stop at 0 (the others run on) or ECHILD (there is no \
         child). WIFEXITED and WEXITSTATUS say how each has ended.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "a child ends, and SIGTERM comes after that",
            players: |scene| players(scene, 1, 0),
            partner: |partner| {
                let parent = start(partner, 1)?;
                let all = end_all(partner, parent)?;
                collected(partner, parent, &all)?;
                end(partner, parent)
            },
            hint: 2,
        },
        Stage {
            name: "later",
            about: "SIGTERM comes while a child still runs",
            players: |scene| players(scene, 1, 0),
            partner: |partner| {
                let parent = start(partner, 1)?;
                partner.signal(parent, Signal::SIGTERM, "a child still runs")?;
                partner.pause("the parent waits for it");
                end_all(partner, parent)?;
                leave(partner)
            },
            hint: 3,
        },
        Stage {
            name: "killed",
            about: "one of two children is ended by a signal; the other runs on",
            players: |scene| players(scene, 1, 1),
            partner: |partner| {
                let parent = start(partner, 2)?;
                let all = children(parent);
                partner.signal(all[0], Signal::SIGKILL, "the first child")?;
                collected(partner, parent, &all[..1])?;
                let rest = end_all(partner, parent)?;
                collected(partner, parent, &rest)?;
                end(partner, parent)
            },
            hint: 3,
        },
        Stage {
            name: "five",
            about: "five children end at the same time",
            players: |scene| players(scene, 5, 0),
            partner: |partner| {
                let parent = start(partner, 5)?;
                partner.stop(parent, "the process is stopped")?;
                let all = end_all(partner, parent)?;
                partner.until("their end", || {
                    all.iter()
                        .all(|pid| activity(*pid) == Activity::Ended)
                        .then_some(())
                })?;
                partner.signal(
                    parent,
                    Signal::SIGCONT,
                    "the parent goes on: all have ended",
                )?;
                collected(partner, parent, &all)?;
                end(partner, parent)
            },
            hint: 1,
        },
        Stage {
            name: "meanwhile",
            about: "a child has ended, another runs on, and SIGUSR1 asks for a third",
            players: |scene| players(scene, 2, 1),
            partner: |partner| {
                let parent = start(partner, 2)?;
                let first = children(parent)[0];
                partner.signal(first, Signal::SIGKILL, "the first child")?;
                collected(partner, parent, &[first])?;
                partner.signal(parent, Signal::SIGUSR1, "start another child")?;
                for _ in 0..20 {
                    if children(parent).len() == 2 {
                        break;
                    }
                    partner.pause("the parent starts it, while one child runs on");
                }
                if children(parent).len() != 2 {
                    return partner.wrong(
                        "your parent has started no other child: it waits for the one that runs",
                    );
                }
                all_open(partner, parent, 2)?;
                let rest = end_all(partner, parent)?;
                collected(partner, parent, &rest)?;
                end(partner, parent)
            },
            hint: 2,
        },
    ],
    wrong: &[
        Wrong {
            what: "collects at the end",
            stage: "plain",
            language: Language::Python,
            edits: &[
                (
                    "                while running:",
                    "                while running and ending:",
                ),
                (
                    "                ending = True",
                    "                ending = True\n                signal.raise_signal(signal.SIGCHLD)",
                ),
            ],
        },
        Wrong {
            what: "does not wait for the last",
            stage: "later",
            language: Language::Python,
            edits: &[("while running or not ending:", "while not ending:")],
        },
        Wrong {
            what: "counts each as well",
            stage: "killed",
            language: Language::Python,
            edits: &[("if status == 0 else", "if status >= 0 else")],
        },
        Wrong {
            what: "sleeps until all have ended",
            stage: "meanwhile",
            language: Language::Python,
            edits: &[("os.waitpid(-1, os.WNOHANG)", "os.waitpid(-1, 0)")],
        },
        Wrong {
            what: "collects one for each signal",
            stage: "five",
            language: Language::Python,
            edits: &[(
                "(well, failed + 1)\n",
                "(well, failed + 1)\n                    break\n",
            )],
        },
    ],
};

fn players(scene: &Scene, well: u32, failed: u32) -> Vec<Player> {
    scene.make_fifo(&scene.place());
    let printed = format!("well {well}\nfailed {failed}\n");
    vec![
        Player::learner(scene, "parent", [""; 0]).prints(printed).idles(),
        Player::partner(),
    ]
}

/// Has the parent start children, one after the other: each sleeps, since nobody writes.
fn start(partner: &Partner, count: usize) -> Result<Pid> {
    let parent = partner.learner("parent")?;
    for number in 1..=count {
        partner.signal(parent, Signal::SIGUSR1, "start a child")?;
        all_open(partner, parent, number)?;
    }
    partner.until_asleep(parent)?;
    Ok(parent)
}

/// Waits until the parent has so many children, who all sleep in the open of PLACE.
fn all_open(partner: &Partner, parent: Pid, number: usize) -> Result<()> {
    partner.until("a child that opens PLACE", || {
        let all = children(parent);
        let opening = |pid: &Pid| {
            let name = text(format!("/proc/{pid}/comm")).unwrap_or_default();
            name == "cat\n" && matches!(activity(*pid), Activity::Asleep(_))
        };
        (all.len() == number && all.iter().all(opening)).then_some(())
    })
}

/// Ends the children: their FIFO has no writer any longer.
fn end_all(partner: &Partner, parent: Pid) -> Result<Vec<Pid>> {
    let all = children(parent);
    let fifo = File::options().write(true).open(partner.scene.place());
    drop(partner.call("open(PLACE, O_WRONLY)", fifo)?);
    partner.log("close(PLACE): the children read their end");
    Ok(all)
}

/// Waits until the parent has collected these children, which end or have ended.
fn collected(partner: &Partner, parent: Pid, ended: &[Pid]) -> Result<()> {
    let zombies = || {
        let now = children(parent);
        ended.iter().filter(|pid| now.contains(pid)).count()
    };
    partner.until("their end", || {
        ended.iter().all(|pid| activity(*pid) == Activity::Ended).then_some(())
    })?;
    for _ in 0..3 {
        partner.until_asleep(parent)?;
        if zombies() == 0 {
            partner.log("they are collected");
            return Ok(());
        }
        partner.pause("the parent has zombies");
    }
    let count = zombies();
    partner.wrong(&format!(
        "your parent sleeps, and {count} of its children are zombies"
    ))
}

fn end(partner: &Partner, parent: Pid) -> Result<()> {
    partner.signal(parent, Signal::SIGTERM, "the end")?;
    leave(partner)
}

fn leave(partner: &Partner) -> Result<()> {
    partner.until_all_have_ended()?;
    remove_file(partner.scene.place()).context("unlink PLACE")
}
