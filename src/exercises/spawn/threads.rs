//! Commands that are started beside threads, one of which has a lock.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, Result};
use rustix::io::ioctl_fionread;
use rustix::stdio::dup2_stdout;

use bare::{Language, MeetingPlace};
use os::proc::children;
use wire::standard;

use crate::partner::Partner;
use crate::row::{Begin, Exercise, Kind, NOTHING, Player, Stage, Wrong};
use crate::scene::Scene;

pub(super) const THREADS: Exercise = Exercise {
    name: "threads",
    title: "a program with threads, whose children never hang",
    kind: Kind::Mend,
    minutes: 20,
    after: &["spawn/ended"],
    task: include_str!("threads/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("threads/solution.rs")),
        Some(include_str!("threads/solution.c")),
        Some(include_str!("threads/solution.py")),
    ],
    reasons: "fork(2) copies the memory, and of the threads the one that calls it. A lock that another \
              thread has at that moment is locked in the copy, too, and no thread is there that \
              will unlock it. So the child does nothing before execve but what signal-safety(7) \
              allows: dup2, execve, _exit. All that needs a lock, the parent does: there the \
              lock's holder goes on. The libraries obey the same rule: Command in Rust and subprocess \
              in Python run nothing of yours in the child, unless you ask for it by pre_exec or \
              preexec_fn.",
    hints: [
        "What the program does that you begin with, yours does as well: a thread for each command, which \
         writes the second line as soon as this command has ended, and how.",
        "The check shows who sleeps where: a child, which has not called execve yet, sleeps in futex. It \
         waits for the lock. Which thread of the child is to unlock it?",
        "Between fork and execve the child may take no lock. What it does with the lock, its parent can \
         do before the fork.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "a command that prints, and its two lines in the journal",
            players: |scene| players(scene, &format!("{}\n", scene.draw().line(12))),
            partner: |partner| {
                let echo = format!("echo '{}'", partner.scene.draw().line(12));
                let journal = begin(partner)?;
                run(partner, &echo)?;
                finish(partner, journal, NEW, &[("status 0", &echo)])
            },
            hint: 1,
        },
        Stage {
            name: "status",
            about: "a command with status 3, and one that SIGKILL ends",
            players: |scene| players(scene, ""),
            partner: |partner| {
                let journal = begin(partner)?;
                run(partner, "exit 3")?;
                settle(partner)?; // no thread writes when the next one comes
                run(partner, "kill -9 $$")?;
                let ends = [("status 3", "exit 3"), ("signal 9", "kill -9 $$")];
                finish(partner, journal, NEW, &ends)
            },
            hint: 1,
        },
        Stage {
            name: "together",
            about: "a command that waits for what the next one does",
            players: |scene| players(scene, "over\n"),
            partner: |partner| {
                let (journal, waits, gate) = begin_waiting(partner)?;
                let opens = format!("echo over > {gate}");
                run(partner, &opens)?;
                let ends = [("status 0", &*waits), ("status 0", &*opens)];
                finish(partner, journal, NEW, &ends)?;
                partner.call("unlink(the gate)", std::fs::remove_file(gate))
            },
            hint: 1,
        },
        Stage {
            name: "held",
            about: "a thread writes into a full journal when the next command comes",
            players: |scene| players(scene, "over\nhello\n"),
            partner: |partner| {
                let (mut journal, waits, gate) = begin_waiting(partner)?;
                let mut line = String::new();
                journal.read_line(&mut line).context("read PLACE")?;
                partner.log(&format!("read(PLACE) = {line:?}"));
                let filled = fill(partner)?;
                let opened = std::fs::write(&gate, "over\n");
                partner.call("lets the command end", opened)?;
                let runner = partner.learner("runner")?;
                partner.until("the command's end", || {
                    children(runner).is_empty().then_some(())
                })?;
                settle(partner)?; // the thread has the lock
                run(partner, "echo hello")?;
                settle(partner)?;
                let ends = [("status 0", &*waits), ("status 0", "echo hello")];
                finish(partner, journal, (line, filled), &ends)?;
                partner.call("unlink(the gate)", std::fs::remove_file(gate))
            },
            hint: 2,
        },
    ],
    wrong: &[
        Wrong {
            what: "says that a command begins when it has ended",
            stage: "plain",
            language: Language::Python,
            edits: &[
                ("    note(journal, \"begins\", text)  # here", "    # here"),
                (
                    "    note(journal, what, text)",
                    "    note(journal, what, text)\n    note(journal, \"begins\", text)",
                ),
            ],
        },
        Wrong {
            what: "takes a signal for a status",
            stage: "status",
            language: Language::Python,
            edits: &[(
                "f\"signal {-status}\" if status < 0",
                "f\"status {128 - status}\" if status < 0",
            )],
        },
        Wrong {
            what: "waits for each command",
            stage: "together",
            language: Language::Python,
            edits: &[(
                "            threads[-1].start()\n",
                "            threads[-1].start()\n            threads[-1].join()\n",
            )],
        },
        Wrong {
            what: "forgets a line when the child does not get the lock",
            stage: "held",
            language: Language::C,
            edits: &[
                ("    note(\"begins\", text); /* here", "    /* here"),
                (
                    "        dup2(nothing, 0);\n",
                    "        dup2(nothing, 0);\n        if (pthread_mutex_trylock(&lock) == 0)\n            \
                     dprintf(file, \"begins %s\\n\", text);\n",
                ),
            ],
        },
    ],
};

/// Nothing of the journal has been read, and it was never full.
const NEW: (String, usize) = (String::new(), 0);

/// The partner writes the program's commands, and reads its journal.
fn players(scene: &Scene, prints: &str) -> Vec<Player> {
    scene.make_fifo(&scene.place());
    let runner = Player::learner(scene, "runner", NOTHING);
    vec![Player::partner().piped(), runner.prints(prints)]
}

/// Opens the journal, as soon as the program does.
fn begin(partner: &Partner) -> Result<BufReader<File>> {
    let journal = File::open(partner.scene.place());
    Ok(BufReader::new(partner.call("open(PLACE, O_RDONLY): a FIFO", journal)?))
}

/// Has the program start a command.
fn run(partner: &Partner, command: &str) -> Result<()> {
    let line = format!("{command}\n");
    partner.write(standard::output()?, line.as_bytes(), "a command")
}

/// Waits until the program has read what was sent, and sleeps.
fn settle(partner: &Partner) -> Result<()> {
    let commands = standard::output()?;
    partner
        .until("a read", || (ioctl_fionread(commands).ok()? == 0).then_some(()))?;
    partner.until_asleep(partner.learner("runner")?)?;
    partner.pause("the program does what it has to do");
    Ok(())
}

/// As [`begin`], with a command that waits until something is written into a FIFO: the journal,
/// the command, and the FIFO.
fn begin_waiting(partner: &Partner) -> Result<(BufReader<File>, String, String)> {
    let gate = partner.scene.dir.join("gate").display().to_string();
    partner.scene.make_fifo(&gate);
    let journal = begin(partner)?;
    let waits = format!("read x < {gate}; echo $x");
    run(partner, &waits)?;
    Ok((journal, waits, gate))
}

/// Writes into the journal until it is full. How many bytes that were.
fn fill(partner: &Partner) -> Result<usize> {
    let place = partner.scene.place();
    let file =
        File::options().write(true).custom_flags(libc::O_NONBLOCK).open(place);
    let mut file = file.context("open PLACE")?;
    let mut filled = 0;
    while let Ok(n) = file.write(&[b'.'; 4096]) {
        filled += n;
    }
    partner.log(&format!("has filled PLACE with {filled} bytes, on purpose"));
    Ok(filled)
}

/// Ends the program's standard input, and reads the rest of the journal, behind the bytes that have
/// filled it: these commands have ended so.
fn finish(
    partner: &Partner,
    mut journal: BufReader<File>,
    (mut text, filled): (String, usize),
    ends: &[(&str, &str)],
) -> Result<()> {
    let closed = dup2_stdout(journal.get_ref());
    partner.call("close(): the end of the commands", closed)?;
    partner.log("reads PLACE to its end");
    journal.read_exact(&mut vec![0; filled]).context("read PLACE")?;
    journal.read_to_string(&mut text).context("read PLACE")?;
    partner.until_all_have_ended()?;
    partner.call("unlink(PLACE)", std::fs::remove_file(partner.scene.place()))?;
    let lines: Vec<&str> = text.lines().collect();
    let mut left = lines.clone();
    for (end, command) in ends {
        let (began, ended) =
            (format!("begins {command}"), format!("{end} {command}"));
        let is = |line: &&str| line.ends_with(command);
        let of: Vec<&str> = lines.iter().copied().filter(is).collect();
        if of != [&*began, &*ended] {
            return partner
                .wrong(&format!("the journal says of {command:?}: {of:?}"));
        }
        left.retain(|line| !is(line));
    }
    match left.is_empty() {
        true => Ok(()),
        false => partner.wrong(&format!("the journal has other lines: {left:?}")),
    }
}
