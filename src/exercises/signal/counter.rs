//! A count of signals.

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use bare::{Language, MeetingPlace};
use os::calls::pidfd_open;
use os::signal::pidfd_sigqueue;

use crate::partner::Partner;
use crate::row::{Begin, Exercise, Kind, Player, Stage, Wrong};
use crate::scene::Scene;

pub(super) const COUNTER: Exercise = Exercise {
    name: "counter",
    title: "a program that counts signals, and misses none",
    kind: Kind::Write,
    minutes: 10,
    after: &[],
    task: include_str!("counter/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("counter/solution.rs")),
        Some(include_str!("counter/solution.c")),
        Some(include_str!("counter/solution.py")),
    ],
    reasons: "A real-time signal that is blocked waits in a queue, each by itself; a standard one \
              waits once. sigwaitinfo takes them one by one, as read(2) takes messages, and no \
              handler runs at an odd moment. After SIGSTOP and SIGCONT it fails with EINTR, \
              although no handler has run: signal(7) lists the calls that do.",
    hints: [
        "Block SIGRTMIN and SIGTERM with sigprocmask before the pid is in the file. Then they \
         wait until you take them.",
        "sigwaitinfo takes one signal at a time, and returns its number. A loop of it needs no \
         handler.",
        "errno EINTR from sigwaitinfo is no failure: call it again. Count when it returns \
         SIGRTMIN, and leave the loop when it returns SIGTERM.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "three signals, one after the other",
            players,
            partner: |partner| {
                let counter = counter(partner)?;
                for _ in 0..count(&partner.scene) {
                    queue(partner, counter, 1)?;
                    partner.until_asleep(counter)?;
                }
                end(partner, counter)
            },
            hint: 2,
        },
        Stage {
            name: "none",
            about: "SIGTERM comes at once",
            players,
            partner: |partner| {
                let counter = counter(partner)?;
                end(partner, counter)
            },
            hint: 2,
        },
        Stage {
            name: "stopped",
            about: "the process is stopped, and goes on; a signal comes after that",
            players,
            partner: |partner| {
                let counter = counter(partner)?;
                partner.stop(counter, "the process is stopped")?;
                partner.signal(counter, Signal::SIGCONT, "it goes on")?;
                partner.pause("the counter falls asleep again");
                partner.until_asleep(counter)?;
                queue(partner, counter, 1)?;
                partner.until_asleep(counter)?;
                end(partner, counter)
            },
            hint: 3,
        },
        Stage {
            name: "burst",
            about: "many signals come while the process is stopped",
            players,
            partner: |partner| {
                let counter = counter(partner)?;
                partner.stop(counter, "the process is stopped")?;
                queue(partner, counter, count(&partner.scene))?;
                partner.signal(counter, Signal::SIGCONT, "it goes on")?;
                partner.pause("the counter takes them");
                partner.until_asleep(counter)?;
                end(partner, counter)
            },
            hint: 2,
        },
    ],
    wrong: &[
        Wrong {
            what: "counts one less",
            stage: "plain",
            language: Language::Python,
            edits: &[("    print(count)", "    print(count - 1)")],
        },
        Wrong {
            what: "looks every millisecond",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "    while signal.sigwaitinfo(signals).si_signo != signal.SIGTERM:",
                "    while True:\n        info = signal.sigtimedwait(signals, 0.001)\n        \
                 if not info:\n            continue\n        \
                 if info.si_signo == signal.SIGTERM:\n            break",
            )],
        },
        Wrong {
            what: "waits for a signal to count",
            stage: "none",
            language: Language::Python,
            edits: &[(
                "    count = 0\n",
                "    count = 1\n    signal.sigwaitinfo(signals)\n",
            )],
        },
        Wrong {
            what: "fails with EINTR",
            stage: "stopped",
            language: Language::C,
            edits: &[("signo == -1 && errno != EINTR", "signo == -1")],
        },
        Wrong {
            what: "counts in a handler that Python runs later",
            stage: "burst",
            language: Language::Python,
            edits: &[
                (
                    "    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  #",
                    "    came = []\n    for one in signals:\n        \
                     signal.signal(one, lambda signo, frame: came.append(signo))  #",
                ),
                (
                    "    while signal.sigwaitinfo(signals).si_signo != signal.SIGTERM:\n        \
                     count += 1",
                    "    while signal.SIGTERM not in came:\n        signal.pause()\n    \
                     count = came.count(signal.SIGRTMIN)",
                ),
            ],
        },
    ],
};

/// How many signals come.
fn count(scene: &Scene) -> usize {
    match scene.stage {
        "plain" => 3,
        "none" => 0,
        "stopped" => 1,
        _ => 100 + scene.draw().below(100),
    }
}

fn players(scene: &Scene) -> Vec<Player> {
    let printed = format!("{}\n", count(scene));
    vec![
        Player::learner(scene, "counter", [""; 0]).prints(printed).idles(),
        Player::partner(),
    ]
}

/// The counter, whose pid is in the file.
fn counter(partner: &Partner) -> Result<Pid> {
    let place = partner.scene.place();
    let text = partner.call("reads PLACE", std::fs::read_to_string(place))?;
    match text.trim().parse() {
        Ok(pid) => Ok(Pid::from_raw(pid)),
        Err(_) => partner.wrong(&format!("there is no pid at PLACE, but {text:?}")),
    }
}

fn queue(partner: &Partner, pid: Pid, count: usize) -> Result<()> {
    let counter = pidfd_open(pid.as_raw()).context("pidfd_open")?;
    partner.log(&format!("sigqueue(SIGRTMIN): {count} times"));
    for _ in 0..count {
        pidfd_sigqueue(&counter, libc::SIGRTMIN(), 0).context("sigqueue")?;
    }
    Ok(())
}

fn end(partner: &Partner, pid: Pid) -> Result<()> {
    partner.signal(pid, Signal::SIGTERM, "the counter is to print its count")?;
    partner.until_all_have_ended()
}
