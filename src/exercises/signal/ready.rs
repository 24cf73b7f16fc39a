//! A signal that cannot come too early.

use std::fs::{File, remove_file};
use std::io::{BufRead, BufReader};

use anyhow::Result;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use bare::{Language, MeetingPlace};
use os::proc::{field, text};

use crate::partner::Partner;
use crate::row::{Begin, Exercise, Kind, Player, Stage, Wrong};
use crate::scene::Scene;

pub(super) const READY: Exercise = Exercise {
    name: "ready",
    title: "a worker that no signal reaches too early",
    kind: Kind::Mend,
    minutes: 20,
    after: &[],
    task: include_str!("ready/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("ready/solution.rs")),
        Some(include_str!("ready/solution.c")),
        Some(include_str!("ready/solution.py")),
    ],
    reasons: "A blocked signal waits, and sigwaitinfo takes it whether it came before the call or \
              comes in it. Between a look at a variable and pause(2) there is always a moment in \
              which a handler can run unseen. sigsuspend(2), ppoll(2) and signalfd(2) close it as \
              well: each lets the signal through and sleeps in one step.",
    hints: [
        "A handler that runs before pause(2) changes nothing for pause: it waits for the next \
         signal.",
        "Block the signals from the beginning. A blocked signal is not lost: it is pending until \
         somebody takes it.",
        "After sigprocmask(SIG_BLOCK) wait with sigwaitinfo(2), which returns at once for a \
         pending signal. Then no handler is needed, and open(2) is not interrupted.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "each signal comes when the worker sleeps",
            players: |scene| players(scene, 3),
            partner: |partner| {
                let mut fifo = open(partner)?;
                for _ in 0..3 {
                    let worker = take_pid(partner, &mut fifo)?;
                    asleep(partner, worker)?;
                    partner.signal(worker, Signal::SIGUSR1, "work")?;
                }
                end(partner, &mut fifo)
            },
            hint: 1,
        },
        Stage {
            name: "early",
            about: "the signal comes while the worker is still in open(2)",
            players: |scene| players(scene, 1),
            partner: |partner| {
                let worker = partner.learner("worker")?;
                partner.signal(
                    worker,
                    Signal::SIGUSR1,
                    "nobody has read PLACE yet",
                )?;
                let mut fifo = open(partner)?;
                take_pid(partner, &mut fifo)?;
                end(partner, &mut fifo)
            },
            hint: 2,
        },
        Stage {
            name: "end",
            about: "SIGTERM comes while the worker is still in open(2)",
            players: |scene| players(scene, 0),
            partner: |partner| {
                let worker = partner.learner("worker")?;
                partner.signal(
                    worker,
                    Signal::SIGTERM,
                    "nobody has read PLACE yet",
                )?;
                let _fifo = open(partner)?;
                leave(partner)
            },
            hint: 3,
        },
        Stage {
            name: "window",
            about: "no call to pause(2), before which a signal could come",
            players: |scene| players(scene, 0),
            partner: |partner| {
                let worker = take_pid(partner, &mut open(partner)?)?;
                asleep(partner, worker)?;
                if in_pause(worker) {
                    partner.signal(worker, Signal::SIGTERM, "enough is seen")?;
                    leave(partner)?;
                    return partner.wrong(
                        "your worker sleeps in pause(2), with SIGUSR1 not blocked: one that comes \
                         just before that call is lost",
                    );
                }
                partner.signal(worker, Signal::SIGTERM, "the end")?;
                leave(partner)
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "works once",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "        print(\"work\", flush=True)",
                "        print(\"work\", flush=True)\n        return",
            )],
        },
        Wrong {
            what: "is ended by an early signal",
            stage: "early",
            language: Language::Python,
            edits: &[(
                "    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # from now on a signal waits\n    \
                 while True:\n        with open(name, \"w\") as place:  # sleeps until somebody reads\n            \
                 place.write(f\"{os.getpid()}\\n\")\n",
                "    while True:\n        with open(name, \"w\") as place:  # sleeps until somebody reads\n            \
                 place.write(f\"{os.getpid()}\\n\")\n            \
                 signal.pthread_sigmask(signal.SIG_BLOCK, signals)\n",
            )],
        },
        Wrong {
            what: "forgets an early signal",
            stage: "early",
            language: Language::Python,
            edits: &[(
                "            place.write(f\"{os.getpid()}\\n\")\n",
                "            place.write(f\"{os.getpid()}\\n\")\n        \
                 while signal.sigtimedwait(signals, 0): pass\n",
            )],
        },
        Wrong {
            what: "blocks SIGTERM late",
            stage: "end",
            language: Language::Python,
            edits: &[
                (
                    "signal.SIG_BLOCK, signals)  #",
                    "signal.SIG_BLOCK, [signal.SIGUSR1])  #",
                ),
                (
                    "        if signal.sigwaitinfo(signals)",
                    "        signal.pthread_sigmask(signal.SIG_BLOCK, signals)\n        \
                     if signal.sigwaitinfo(signals)",
                ),
            ],
        },
        Wrong {
            what: "looks, and sleeps then",
            stage: "window",
            language: Language::Python,
            edits: &[
                (
                    "    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  #",
                    "    came = []\n    for one in signals:\n        \
                     signal.signal(one, lambda signo, frame: came.append(signo))  #",
                ),
                (
                    "        if signal.sigwaitinfo(signals).si_signo == signal.SIGTERM:  #",
                    "        while not came:\n            signal.pause()\n        \
                     if came.pop() == signal.SIGTERM:  #",
                ),
            ],
        },
    ],
};

/// The FIFO is there, and the worker opens it before the partner does.
fn players(scene: &Scene, works: usize) -> Vec<Player> {
    scene.make_fifo(&scene.place());
    vec![
        Player::learner(scene, "worker", [""; 0]).prints("work\n".repeat(works)),
        Player::partner(),
    ]
}

/// Opens the FIFO, for good: the partner is a writer, too, so that no read ends it.
fn open(partner: &Partner) -> Result<BufReader<File>> {
    let fifo = File::options().read(true).write(true).open(partner.scene.place());
    Ok(BufReader::new(partner.call("open(PLACE, O_RDWR)", fifo)?))
}

/// Reads the worker's pid from the FIFO.
fn take_pid(partner: &Partner, fifo: &mut BufReader<File>) -> Result<Pid> {
    let mut line = String::new();
    let read = fifo.read_line(&mut line);
    partner.call("reads a line from PLACE", read)?;
    match line.trim().parse() {
        Ok(pid) => Ok(Pid::from_raw(pid)),
        _ => partner
            .wrong(&format!("what your worker writes at PLACE is no pid: {line:?}")),
    }
}

/// Waits until the worker sleeps in the call that waits for the signal.
fn asleep(partner: &Partner, worker: Pid) -> Result<()> {
    partner.pause("the worker goes on to wait for the signal");
    partner.until_asleep(worker)
}

/// Takes the pid once more, and ends the worker.
fn end(partner: &Partner, fifo: &mut BufReader<File>) -> Result<()> {
    let worker = take_pid(partner, fifo)?;
    asleep(partner, worker)?;
    partner.signal(worker, Signal::SIGTERM, "the end")?;
    leave(partner)
}

fn leave(partner: &Partner) -> Result<()> {
    partner.until_all_have_ended()?;
    partner.call("unlink(PLACE)", remove_file(partner.scene.place()))
}

/// Whether it sleeps in pause(2), and a handler is to run for SIGUSR1 meanwhile.
fn in_pause(pid: Pid) -> bool {
    // Where the kernel has no pause(2), the C library calls ppoll(2) with nothing.
    #[cfg(target_arch = "x86_64")]
    let (call, nothing) = (libc::SYS_pause, 0);
    #[cfg(not(target_arch = "x86_64"))]
    let (call, nothing) = (libc::SYS_ppoll, 4);
    let line = text(format!("/proc/{pid}/syscall")).unwrap_or_default();
    let mut words = line.split(' ');
    let is_call = words.next().is_some_and(|number| number == call.to_string());
    let status = text(format!("/proc/{pid}/status")).unwrap_or_default();
    let has = |name| {
        let mask =
            field(&status, name).and_then(|mask| u64::from_str_radix(mask, 16).ok());
        mask.is_some_and(|mask| mask & (1 << (libc::SIGUSR1 - 1)) != 0)
    };
    is_call
        && words.take(nothing).all(|word| word == "0x0")
        && has("SigCgt:")
        && !has("SigBlk:")
}
