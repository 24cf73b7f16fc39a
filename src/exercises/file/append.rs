//! Lines at the end of a file that others write as well.

use std::fs::{File, remove_file};

use anyhow::{Context, Result};
use nix::unistd::Pid;
use rustix::io::ioctl_fionread;

use bare::{Language, MeetingPlace};
use os::proc::{field, text};
use wire::visible::visible;

use crate::draw::joined;
use crate::partner::Partner;
use crate::row::{Begin, Exercise, Kind, Player, Stage, Wrong};
use crate::scene::Scene;

pub(super) const APPEND: Exercise = Exercise {
    name: "append",
    title: "lines that no other process can overwrite or tear",
    kind: Kind::Mend,
    minutes: 10,
    after: &[],
    task: include_str!("append/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("append/solution.rs")),
        Some(include_str!("append/solution.c")),
        Some(include_str!("append/solution.py")),
    ],
    reasons: "With O_APPEND each write(2) goes to the end that the file has at that moment: the \
              kernel finds it and writes there with the file locked. lseek and write are two \
              calls, and between them another process may add a line. One write a line keeps it \
              whole, on a local file system; NFS does not promise that.",
    hints: [
        "The file has grown since you went to its end. Which flag of open(2) makes write(2) find \
         the end itself?",
        "O_APPEND. And between two calls to write(2) another process may write: put the newline \
         to the line first.",
        "open(PLACE, O_WRONLY | O_CREAT | O_APPEND, 0600) once; then one write(2) for each line, \
         with its newline.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "three lines, into a file that is not there yet",
            players,
            partner: |partner| {
                let lines = joined(&partner.scene.draw().lines(3));
                let input = Input::open(partner)?;
                partner.write(&input.fifo, &lines, "")?;
                input.end(partner, &lines)
            },
            hint: 1,
        },
        Stage {
            name: "old",
            about: "the file has a line already",
            players: |scene| {
                let _ = std::fs::write(scene.place(), OLD);
                players(scene)
            },
            partner: |partner| {
                let lines = joined(&partner.scene.draw().lines(3));
                let input = Input::open(partner)?;
                partner.write(&input.fifo, &lines, "")?;
                input.end(partner, &[OLD, &lines].concat())
            },
            hint: 3,
        },
        Stage {
            name: "others",
            about: "another process adds a line between yours",
            players,
            partner: |partner| {
                let [first, other, last] = three(partner);
                let input = Input::open(partner)?;
                input.hand_over(partner, &first)?;
                add(partner, &other)?;
                input.hand_over(partner, &last)?;
                input.end(partner, &[first, other, last].concat())
            },
            hint: 1,
        },
        Stage {
            name: "window",
            about: "to find the end and to write there is one step",
            players,
            partner: |partner| {
                let [first, ..] = three(partner);
                let input = Input::open(partner)?;
                input.hand_over(partner, &first)?;
                if !appends(&partner.scene.place(), input.logger) {
                    return partner.wrong(
                        "your logger writes to PLACE without O_APPEND: between the call that \
                         finds the end and the write, another process may add a line",
                    );
                }
                input.end(partner, &first)
            },
            hint: 1,
        },
        Stage {
            name: "whole",
            about: "one write(2) a line: no other line can come between its parts",
            players,
            partner: |partner| {
                let [first, ..] = three(partner);
                let input = Input::open(partner)?;
                let before = writes(input.logger);
                input.hand_over(partner, &first)?;
                let after = writes(input.logger);
                match before.zip(after).map(|(before, after)| after - before) {
                    None | Some(1) => input.end(partner, &first),
                    Some(calls) => partner.wrong(&format!(
                        "your logger called write(2) {calls} times for one line"
                    )),
                }
            },
            hint: 2,
        },
        Stage {
            name: "halves",
            about: "a line comes in two pieces, and another process adds one meanwhile",
            players,
            partner: |partner| {
                let [first, other, _] = three(partner);
                let input = Input::open(partner)?;
                input.hand_over(partner, &first[..2])?;
                add(partner, &other)?;
                input.hand_over(partner, &first[2..])?;
                input.end(partner, &[other, first].concat())
            },
            hint: 2,
        },
        Stage {
            name: "last",
            about: "the last line has no newline",
            players,
            partner: |partner| {
                let lines = joined(&partner.scene.draw().lines(3));
                let input = Input::open(partner)?;
                partner.write(
                    &input.fifo,
                    &lines[..lines.len() - 1],
                    "no newline at the end",
                )?;
                input.end(partner, &lines)
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "writes no newlines",
            stage: "plain",
            language: Language::Python,
            edits: &[("line.rstrip(b\"\\n\") + b\"\\n\"", "line.rstrip(b\"\\n\")")],
        },
        Wrong {
            what: "begins the file anew",
            stage: "old",
            language: Language::Python,
            edits: &[(
                "os.O_CREAT | os.O_APPEND",
                "os.O_CREAT | os.O_APPEND | os.O_TRUNC",
            )],
        },
        Wrong {
            what: "goes to the end once",
            stage: "others",
            language: Language::Python,
            edits: &[(
                "os.O_CREAT | os.O_APPEND, 0o600)",
                "os.O_CREAT, 0o600)\n    os.lseek(log, 0, os.SEEK_END)",
            )],
        },
        Wrong {
            what: "keeps the lines until the end",
            stage: "others",
            language: Language::Python,
            edits: &[("for line in lines:", "for line in list(lines):")],
        },
        Wrong {
            what: "goes to the end before each line",
            stage: "window",
            language: Language::Python,
            edits: &[
                ("os.O_CREAT | os.O_APPEND, 0o600)", "os.O_CREAT, 0o600)"),
                (
                    "            os.write(log,",
                    "            os.lseek(log, 0, os.SEEK_END)\n            os.write(log,",
                ),
            ],
        },
        Wrong {
            what: "writes the newline by itself",
            stage: "whole",
            language: Language::Python,
            edits: &[(
                "os.write(log, line.rstrip(b\"\\n\") + b\"\\n\")",
                "os.write(log, line.rstrip(b\"\\n\"))\n            os.write(log, b\"\\n\")",
            )],
        },
        Wrong {
            what: "takes a read for a line",
            stage: "halves",
            language: Language::Python,
            edits: &[
                ("open(source, \"rb\")", "open(source, \"rb\", buffering=0)"),
                (
                    "for line in lines:",
                    "for line in (line for data in iter(lambda: lines.read(4096), b\"\") \
                     for line in data.splitlines()):",
                ),
            ],
        },
        Wrong {
            what: "adds the last line as it is",
            stage: "last",
            language: Language::Python,
            edits: &[("line.rstrip(b\"\\n\") + b\"\\n\"", "line")],
        },
    ],
};

const OLD: &[u8] = b"an old line\n";

/// The logger reads from a FIFO that is there.
fn players(scene: &Scene) -> Vec<Player> {
    let input = input(scene);
    scene.make_fifo(&input);
    vec![Player::learner(scene, "logger", [input]).prints(""), Player::partner()]
}

fn input(scene: &Scene) -> String {
    scene.dir.join("input").display().to_string()
}

/// The logger's input, which the partner writes.
struct Input {
    fifo: File,
    logger: Pid,
}

impl Input {
    fn open(partner: &Partner) -> Result<Input> {
        let fifo = File::options().write(true).open(input(&partner.scene));
        let fifo = partner.call("open(INPUT, O_WRONLY)", fifo)?;
        let logger = partner.learner("logger")?;
        Ok(Input { fifo, logger })
    }

    /// Writes into the FIFO, and waits until the logger has read that and sleeps again.
    fn hand_over(&self, partner: &Partner, bytes: &[u8]) -> Result<()> {
        partner.write(&self.fifo, bytes, "and waits until the logger sleeps")?;
        partner.until("the FIFO to be empty", || {
            ioctl_fionread(&self.fifo).is_ok_and(|left| left == 0).then_some(())
        })?;
        partner.until_asleep(self.logger)
    }

    /// Closes the FIFO; once the logger has ended, the file must be this.
    fn end(self, partner: &Partner, expected: &[u8]) -> Result<()> {
        drop(self.fifo);
        partner.log("close(INPUT)");
        partner.until_all_have_ended()?;
        let place = partner.scene.place();
        let now = std::fs::read(&place).context("read PLACE")?;
        remove_file(&place).context("unlink PLACE")?;
        remove_file(input(&partner.scene)).context("unlink INPUT")?;
        match now == expected {
            true => Ok(()),
            false => partner.wrong(&format!(
                "the file at PLACE should have \"{}\", and has \"{}\"",
                visible(expected),
                visible(&now)
            )),
        }
    }
}

/// What another process does.
fn add(partner: &Partner, line: &[u8]) -> Result<()> {
    let file = File::options().append(true).create(true).open(partner.scene.place());
    let file = partner.call("open(PLACE, O_WRONLY | O_APPEND)", file)?;
    partner.write(file, line, "a line of another process")
}

fn three(partner: &Partner) -> [Vec<u8>; 3] {
    let mut draw = partner.scene.draw();
    [(); 3].map(|()| joined(&draw.lines(1)))
}

/// Whether a process that has the file open has it open with O_APPEND.
fn appends(place: &str, pid: Pid) -> bool {
    let Ok(fds) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return true };
    fds.flatten()
        .filter(|fd| std::fs::read_link(fd.path()).is_ok_and(|file| file == *place))
        .all(|fd| {
            let about = format!("/proc/{pid}/fdinfo/{}", fd.file_name().display());
            let about = text(about).unwrap_or_default();
            let flags = field(&about, "flags:")
                .and_then(|flags| i32::from_str_radix(flags, 8).ok());
            flags.is_none_or(|flags| flags & libc::O_APPEND != 0)
        })
}

/// How often it has called write(2) and its like, where the kernel tells.
fn writes(pid: Pid) -> Option<u64> {
    field(&text(format!("/proc/{pid}/io")).ok()?, "syscw:")?.parse().ok()
}
