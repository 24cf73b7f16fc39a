//! The exercises of the chapter fifo.

use std::fs::File;
use std::os::unix::fs::symlink;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::mkfifo;

use bare::{Language, MeetingPlace};

use super::draw::joined;
use super::partner::Partner;
use super::row::{
    Begin, Ends, Exercise, Kind, NOTHING, Player, Stage, Wrong, no_partner,
};
use super::scene::Scene;

mod one_receiver;
mod sender;

/// The exercises.
pub(super) const ALL: &[Exercise] =
    &[RECEIVER, NOT_A_FIFO, sender::SENDER, one_receiver::ONE_RECEIVER];

const RECEIVER: Exercise = Exercise {
    name: "receiver",
    title: "a receiver that any writer can write to",
    kind: Kind::Write,
    minutes: 10,
    after: &[],
    task: include_str!("fifo/receiver/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("fifo/receiver/solution.rs")),
        Some(include_str!("fifo/receiver/solution.c")),
        Some(include_str!("fifo/receiver/solution.py")),
    ],
    reasons: "The receiver keeps no messages: it hands on each read's bytes as they come, so that \
              no cut can matter. The end is read() = 0, and nothing else. A buffer of 64 KiB takes \
              a full pipe at once.",
    hints: [
        "Five calls are enough: mkfifo, open, a loop of read and write, unlink. `ipclab bare fifo` \
         has them.",
        "Which errno does mkfifo return if the name is there already? For you that is no error.",
        "Do not look for newlines, and do not decode text: write the bytes that read returned. \
         The loop ends when read returns 0.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "a message arrives; the receiver is there first",
            players: receiver_first,
            partner: |partner| {
                let fifo = open_to_write(partner)?;
                partner.write(&fifo, &sent(&partner.scene), "")
            },
            hint: 1,
        },
        Stage {
            name: "order",
            about: "the sender is there first, and has made the FIFO",
            players: |scene| {
                vec![
                    Player::partner(),
                    Player::learner(scene, "receiver", NOTHING).prints(sent(scene)),
                ]
            },
            partner: |partner| {
                let place = partner.scene.place();
                let made = mkfifo(place.as_str(), Mode::S_IRUSR | Mode::S_IWUSR);
                partner.call("mkfifo(PLACE, 0600)", made)?;
                let fifo = open_to_write(partner)?;
                partner.write(&fifo, &sent(&partner.scene), "")
            },
            hint: 2,
        },
        Stage {
            name: "nothing",
            about: "the sender opens the FIFO, and closes it without a message",
            players: receiver_first,
            partner: |partner| open_to_write(partner).map(drop),
            hint: 3,
        },
        Stage {
            name: "writers",
            about: "of two writers the first closes; the second writes on",
            players: receiver_first,
            partner: two_writers,
            hint: 3,
        },
        Stage {
            name: "halves",
            about: "a message comes in pieces, with pauses",
            players: receiver_first,
            partner: in_pieces,
            hint: 3,
        },
        Stage {
            name: "large",
            about: "300,000 bytes, most of them no text",
            players: receiver_first,
            partner: |partner| {
                let fifo = open_to_write(partner)?;
                partner.write(&fifo, &sent(&partner.scene), "")
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "prints nothing",
            stage: "plain",
            language: Language::Python,
            edits: &[("data = data[os.write(1, data):]", "data = b''")],
        },
        Wrong {
            what: "makes the FIFO for all",
            stage: "plain",
            language: Language::Python,
            edits: &[("os.mkfifo(name, 0o600)", "os.mkfifo(name)")],
        },
        Wrong {
            what: "keeps a write end of its own",
            stage: "plain",
            language: Language::Python,
            edits: &[("os.open(name, os.O_RDONLY)", "os.open(name, os.O_RDWR)")],
        },
        Wrong {
            what: "leaves the name",
            stage: "plain",
            language: Language::Python,
            edits: &[("    os.unlink(name)\n", "")],
        },
        Wrong {
            what: "looks again and again",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "os.open(name, os.O_RDONLY)  #",
                "os.open(name, os.O_RDONLY | os.O_NONBLOCK)\n    import time\n    \
                 while not __import__('select').select([fifo], [], [], 0)[0]: time.sleep(0.001)  #",
            )],
        },
        Wrong {
            what: "fails where the FIFO is there",
            stage: "order",
            language: Language::Python,
            edits: &[("        pass  # the sender was first", "        raise")],
        },
        Wrong {
            what: "waits for a message",
            stage: "nothing",
            language: Language::Python,
            edits: &[(
                "    while data := os.read(fifo, 65536):",
                "    while not (first := os.read(fifo, 65536)): pass\n    os.write(1, first)\n    \
                 while data := os.read(fifo, 65536):",
            )],
        },
        Wrong {
            what: "takes a read for a message",
            stage: "halves",
            language: Language::Python,
            edits: &[(
                "            data = data[os.write(1, data):]",
                "            data = data[os.write(1, data.rstrip(b'\\n') + b'\\n'):]",
            )],
        },
        Wrong {
            what: "ends when nothing comes for a while",
            stage: "writers",
            language: Language::Python,
            edits: &[(
                "    while data := os.read(fifo, 65536):",
                "    import select\n    \
                 while select.select([fifo], [], [], 0.1)[0] and (data := os.read(fifo, 65536)):",
            )],
        },
        Wrong {
            what: "decodes text",
            stage: "large",
            language: Language::Python,
            edits: &[(
                "            data = data[os.write(1, data):]",
                "            data = data[os.write(1, data.decode().encode()):]",
            )],
        },
    ],
};

const NOT_A_FIFO: Exercise = Exercise {
    name: "not-a-fifo",
    title: "both roles refuse what is no FIFO, and leave it alone",
    kind: Kind::Mend,
    minutes: 15,
    after: &["fifo/receiver"],
    task: include_str!("fifo/not_a_fifo/task.md"),
    begin: Begin::Bare("fifo"),
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("fifo/not_a_fifo/solution.rs")),
        Some(include_str!("fifo/not_a_fifo/solution.c")),
        Some(include_str!("fifo/not_a_fifo/solution.py")),
    ],
    reasons: "fstat asks what was opened, not what has the name: between a stat of the name and \
              the open another file could have taken it. O_NOFOLLOW refuses a symbolic link in \
              the open itself.",
    hints: [
        "What tells a FIFO from a regular file? See stat(2), S_ISFIFO.",
        "Open first, then ask the descriptor: fstat. Until then, nothing may be changed: no \
         O_TRUNC, no O_CREAT.",
        "O_NOFOLLOW makes open fail with ELOOP where the name is a symbolic link.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "your sender and your receiver still meet",
            players: |scene| {
                let messages = scene.draw().lines(3);
                vec![
                    Player::learner(scene, "receiver", NOTHING)
                        .prints(joined(&messages))
                        .idles(),
                    Player::learner(scene, "sender", messages),
                ]
            },
            partner: no_partner,
            hint: 1,
        },
        Stage {
            name: "receiver",
            about: "a regular file is at PLACE: the receiver refuses it",
            players: |scene| obstructed(scene, "receiver"),
            partner: |partner| obstruct(partner, Obstacle::File),
            hint: 1,
        },
        Stage {
            name: "sender",
            about: "a regular file is at PLACE: the sender does not write to it",
            players: |scene| obstructed(scene, "sender"),
            partner: |partner| obstruct(partner, Obstacle::File),
            hint: 2,
        },
        Stage {
            name: "link",
            about: "a symbolic link is at PLACE, and leads to a FIFO",
            players: |scene| obstructed(scene, "receiver"),
            partner: |partner| obstruct(partner, Obstacle::Link),
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "refuses all",
            stage: "plain",
            language: Language::Python,
            edits: &[("    if not stat.S_ISFIFO", "    if stat.S_ISFIFO")],
        },
        Wrong {
            what: "looks in the sender alone",
            stage: "receiver",
            language: Language::Python,
            edits: &[(
                "    fifo = open_fifo(name, os.O_RDONLY)",
                "    if os.path.isfile(name):\n        fifo = os.open(name, os.O_RDONLY)\n    \
                 else:\n        fifo = open_fifo(name, os.O_RDONLY)",
            )],
        },
        Wrong {
            what: "cuts the file off before it looks",
            stage: "sender",
            language: Language::Python,
            edits: &[(
                "open_fifo(name, os.O_WRONLY)",
                "open_fifo(name, os.O_WRONLY | os.O_TRUNC)",
            )],
        },
        Wrong {
            what: "follows the link",
            stage: "link",
            language: Language::Python,
            edits: &[("flags | os.O_NOFOLLOW", "flags")],
        },
    ],
};

/// What the sender of a stage sends.
fn sent(scene: &Scene) -> Vec<u8> {
    let mut draw = scene.draw();
    match scene.stage {
        "nothing" => Vec::new(),
        "large" => draw.bytes(300_000),
        _ => joined(&draw.lines(3)),
    }
}

fn receiver_first(scene: &Scene) -> Vec<Player> {
    vec![
        Player::learner(scene, "receiver", NOTHING).prints(sent(scene)).idles(),
        Player::partner(),
    ]
}

fn open_to_write(partner: &Partner) -> Result<std::os::fd::OwnedFd> {
    let place = partner.scene.place();
    let opened = open(place.as_str(), OFlag::O_WRONLY, Mode::empty());
    let fifo = partner.call("open(PLACE, O_WRONLY)", opened)?;
    let mode = fstat(&fifo).context("fstat")?.st_mode & 0o777;
    if mode != 0o600 {
        return partner
            .wrong(&format!("the mode of the FIFO is {mode:04o}, not 0600"));
    }
    Ok(fifo)
}

/// Two writers: the one that comes first leaves first.
fn two_writers(partner: &mut Partner) -> Result<()> {
    let bytes = sent(&partner.scene);
    let first = open_to_write(partner)?;
    let learner = partner.learner("receiver")?;
    let second = open_to_write(partner)?;
    let line = bytes.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let (one, rest) = bytes.split_at(line);
    partner.write(&first, one, "the first writer")?;
    drop(first);
    partner.log("close(): the second writer still has the FIFO open");
    partner.pause("nothing comes");
    partner.until_asleep(learner)?;
    partner.write(&second, rest, "the second writer")
}

fn in_pieces(partner: &mut Partner) -> Result<()> {
    let bytes = sent(&partner.scene);
    let fifo = open_to_write(partner)?;
    let learner = partner.learner("receiver")?;
    let (first, rest) = bytes.split_at(2);
    partner.write(&fifo, first, "a part of the first message, on purpose")?;
    partner.pause("the receiver reads it alone");
    partner.until_asleep(learner)?;
    let (middle, last) = rest.split_at(rest.len() - 1);
    partner.write(&fifo, middle, "the rest of it, and two messages")?;
    partner.pause("the last newline is still to come");
    partner.write(&fifo, last, "")
}

/// What stands at the place, and is no FIFO.
enum Obstacle {
    File,
    Link,
}

/// A role that must refuse what is at its place. The partner, who put it there, looks afterwards.
fn obstructed(scene: &Scene, role: &str) -> Vec<Player> {
    let messages = if role == "sender" { scene.draw().lines(1) } else { Vec::new() };
    vec![
        Player::partner(),
        Player::learner(scene, role, messages).prints("").ends(Ends::Failing),
    ]
}

fn obstruct(partner: &mut Partner, obstacle: Obstacle) -> Result<()> {
    let place = partner.scene.place();
    let text = joined(&partner.scene.draw().lines(2));
    let target = partner.scene.dir.join("target");
    match obstacle {
        Obstacle::File => {
            partner.call(
                "puts a regular file at PLACE",
                std::fs::write(&place, &text),
            )?;
        }
        Obstacle::Link => {
            mkfifo(&target, Mode::S_IRUSR | Mode::S_IWUSR).context("mkfifo")?;
            partner.call("symlink(a FIFO, PLACE)", symlink(&target, &place))?;
            // A writer is there, so that nobody who follows the link sleeps.
            let fifo = File::options().read(true).write(true).open(&target);
            let _fifo = fifo.context("open")?;
            return look_afterwards(partner, || {
                let there = std::fs::symlink_metadata(&place);
                there.is_ok_and(|about| about.is_symlink())
            });
        }
    }
    look_afterwards(partner, || std::fs::read(&place).is_ok_and(|now| now == text))
}

/// Waits until the learner's program has come and gone; then the obstacle must be as it was.
fn look_afterwards(
    partner: &Partner,
    is_as_it_was: impl Fn() -> bool,
) -> Result<()> {
    partner.until_all_have_ended()?;
    let place = partner.scene.place();
    if !is_as_it_was() {
        return partner.wrong("what was at PLACE has been changed or removed");
    }
    let removed = std::fs::remove_file(&place);
    let _ = std::fs::remove_file(partner.scene.dir.join("target"));
    partner.log("what was at PLACE is as it was");
    removed.map_err(|_| Errno::ENOENT).context("unlink")
}
