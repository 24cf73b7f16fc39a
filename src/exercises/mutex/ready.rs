//! Memory that is made once, by processes any of which may be killed.

use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use rustix::fs::{FlockOperation, flock};

use bare::{Language, MeetingPlace};
use os::shm_file::segment_path;

use super::super::partner::Partner;
use super::super::row::{Begin, Exercise, Kind, Player, Stage, Wrong};
use super::super::scene::Scene;
use super::{make, shm};

pub(super) const ROW: Exercise = Exercise {
    name: "ready",
    title: "shared memory that is made once, though its creator may be killed",
    kind: Kind::Write,
    minutes: 20,
    after: &[],
    task: include_str!("ready/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Name],
    solutions: [
        Some(include_str!("ready/solution.rs")),
        Some(include_str!("ready/solution.c")),
        Some(include_str!("ready/solution.py")),
    ],
    reasons: "O_EXCL tells who made the name, and not whether that process came to its end. With \
              the lock, a process that sees no magic knows that nobody is at work: the kernel \
              gives the lock of a killed creator to the next one. ftruncate to the size that an \
              object has already changes nothing.",
    hints: [
        "shm_open with O_CREAT and without O_EXCL opens what is there, or makes it.",
        "flock(LOCK_EX) first; then look at the size and at the magic. Without the magic the \
         number means nothing.",
        "flock(LOCK_EX), ftruncate(8), mmap; if there is no magic: the number, then the magic; \
         flock(LOCK_UN).",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "made",
            about: "nothing is there",
            players: |scene| vec![join(scene, 17, "made 17"), Player::partner()],
            partner: |partner| look(partner, 17),
            hint: 1,
        },
        Stage {
            name: "found",
            about: "one process after another",
            players: |scene| {
                let second = join(scene, 18, "found 17");
                vec![join(scene, 17, "made 17"), second, Player::partner()]
            },
            partner: |partner| look(partner, 17),
            hint: 1,
        },
        Stage {
            name: "empty",
            about: "a creator was killed before it gave the object its size",
            players: |scene| {
                vec![
                    Player::partner(),
                    join(scene, 17, "made 17"),
                    Player::partner(),
                ]
            },
            partner: |partner| match make(partner, 0)? {
                None => look(partner, 17),
                Some(_) => Ok(()),
            },
            hint: 2,
        },
        Stage {
            name: "half",
            about: "a creator was killed between the number and the magic",
            players: |scene| {
                vec![
                    Player::partner(),
                    join(scene, 17, "made 17"),
                    Player::partner(),
                ]
            },
            partner: |partner| match make(partner, 8)? {
                None => look(partner, 17),
                Some(object) => number(partner, &object, 99),
            },
            hint: 2,
        },
        Stage {
            name: "busy",
            about: "a creator is at work, and comes to its end",
            players: |scene| vec![Player::partner(), join(scene, 17, "found 99")],
            partner: |partner| {
                let object = at_work(partner)?;
                number(partner, &object, 99)?;
                let stored = object.write_all_at(MAGIC, 0);
                partner.call("stores the magic", stored)?;
                let unlocked = flock(&object, FlockOperation::Unlock);
                partner.call("flock(LOCK_UN)", unlocked)?;
                look(partner, 99)
            },
            hint: 3,
        },
        Stage {
            name: "killed",
            about: "a creator is at work, and is killed",
            players: |scene| {
                vec![
                    Player::partner(),
                    join(scene, 17, "made 17"),
                    Player::partner(),
                ]
            },
            partner: |partner| {
                if shm::object(partner, OFlag::empty()).is_ok() {
                    return look(partner, 17);
                }
                let object = at_work(partner)?;
                number(partner, &object, 99)?;
                partner.log("is killed: the kernel gives the lock back");
                Ok(())
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "stores another magic",
            stage: "made",
            language: Language::Python,
            edits: &[(
                "        shared[:4] = b\"redy\"  # last\n",
                "        shared[:4] = b\"redyx\"[1:]\n",
            )],
        },
        Wrong {
            what: "makes it each time",
            stage: "found",
            language: Language::Python,
            edits: &[("made = shared[:4] != b\"redy\"", "made = True")],
        },
        Wrong {
            what: "gives a size only to what it has made",
            stage: "empty",
            language: Language::Python,
            edits: &[
                (
                    "    memory = os.open(",
                    "    new = not os.path.exists(\"/dev/shm\" + name)\n    memory = os.open(",
                ),
                (
                    "    os.ftruncate(memory, 8)  # what it adds is 0\n",
                    "    if new:\n        os.ftruncate(memory, 8)\n",
                ),
            ],
        },
        Wrong {
            what: "believes a number without the magic",
            stage: "half",
            language: Language::Python,
            edits: &[(
                "made = shared[:4] != b\"redy\"",
                "made = shared[4:] == bytes(4)",
            )],
        },
        Wrong {
            what: "does not lock",
            stage: "busy",
            language: Language::C,
            edits: &[(
                "    ok(flock(object, LOCK_EX), \"flock\"); /* sleeps while another process makes it; ends with it */\n",
                "",
            )],
        },
        Wrong {
            what: "waits for the magic",
            stage: "half",
            language: Language::C,
            edits: &[
                (
                    "    int made = memcmp",
                    "    while (s->number != 0 && memcmp(s->magic, \"redy\", 4) != 0 && number_of_looks++ < 1000000)\n        ;\n    if (s->number != 0 && memcmp(s->magic, \"redy\", 4) != 0)\n        exit(1);\n    int made = memcmp",
                ),
                (
                    "static void join(",
                    "static volatile long number_of_looks;\nstatic void join(",
                ),
            ],
        },
        Wrong {
            what: "believes that it is made once it had to wait",
            stage: "killed",
            language: Language::Python,
            edits: &[
                (
                    "    fcntl.flock(memory, fcntl.LOCK_EX)  # sleeps while another process makes it; ends with it\n",
                    "    waited = False\n    try:\n        fcntl.flock(memory, fcntl.LOCK_EX | fcntl.LOCK_NB)\n    except BlockingIOError:\n        waited = True\n        fcntl.flock(memory, fcntl.LOCK_EX)\n",
                ),
                (
                    "made = shared[:4] != b\"redy\"",
                    "made = shared[:4] != b\"redy\" and not waited",
                ),
            ],
        },
    ],
};

const MAGIC: &[u8] = b"redy";

fn join(scene: &Scene, number: u32, prints: &str) -> Player {
    Player::learner(scene, "join", [number.to_string()])
        .prints(format!("{prints}\n"))
}

/// Stores the number behind the magic.
fn number(partner: &Partner, object: &File, number: u32) -> Result<()> {
    let stored = object.write_all_at(&number.to_ne_bytes(), 4);
    partner.call(&format!("stores the number {number}"), stored)
}

/// Makes the object with the lock, and waits until the learner's program sleeps.
fn at_work(partner: &Partner) -> Result<File> {
    let made = shm::object(partner, OFlag::O_CREAT | OFlag::O_EXCL);
    let object = partner.call("shm_open(PLACE, O_CREAT)", made)?;
    let locked = flock(&object, FlockOperation::LockExclusive);
    partner.call("flock(LOCK_EX)", locked)?;
    partner.call("ftruncate(8 bytes)", object.set_len(8))?;
    partner.until_opened(&segment_path(&partner.scene.place()))?;
    partner.must_sleep("join")?;
    Ok(object)
}

/// What must be there in the end; then it is removed.
fn look(partner: &Partner, wanted: u32) -> Result<()> {
    partner.until_all_have_ended()?;
    let object =
        partner.call("shm_open(PLACE)", shm::object(partner, OFlag::empty()))?;
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut &object, &mut bytes).context("read")?;
    partner.log(&format!("the object has {} bytes", bytes.len()));
    shm::remove(partner)?;
    let whole = [MAGIC, &wanted.to_ne_bytes()].concat();
    if bytes == whole {
        return Ok(());
    }
    partner.wrong(&format!(
        "the object has the bytes {bytes:02x?}, and not {whole:02x?}"
    ))
}
