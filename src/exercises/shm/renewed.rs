//! An object that is removed, and made again, while the learner's program runs.

use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::Result;

use bare::{Language, MeetingPlace};
use os::shm_file::segment_path;
use wire::say::count;
use wire::standard;

use super::super::partner::{Partner, descriptors};
use super::super::row::{Begin, Exercise, Kind, NOTHING, Player, Stage, Wrong};
use super::super::scene::Scene;
use super::{make, remove};

pub(super) const ROW: Exercise = Exercise {
    name: "renewed",
    title: "a reader that notices when the object is removed, or another one",
    kind: Kind::Mend,
    minutes: 15,
    after: &[],
    task: include_str!("renewed/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Name],
    solutions: [
        Some(include_str!("renewed/solution.rs")),
        Some(include_str!("renewed/solution.c")),
        Some(include_str!("renewed/solution.py")),
    ],
    reasons: "A name is looked up once, by shm_open; a mapping stays with its object, whatever becomes \
              of the name. Nobody tells those that have it mapped. To ask each time is the plain way; \
              where that costs too much, keep the mapping, and compare st_dev and st_ino of yours \
              with those of the name now and then. What is mapped anew is unmapped and closed before.",
    hints: [
        "shm_unlink and a new shm_open: which object does a mapping that was there before show?",
        "Look for the name each time, or compare st_ino of your object with that of the name. \
         ENOENT is an answer, and so is a size of 0.",
        "For each question: shm_open, fstat, mmap, print, munmap, close.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "the number in the object changes",
            players: |scene| players(scene, &["7", "8"]),
            partner: |partner| {
                let object = begin(partner, 7)?;
                partner.call(
                    "stores 8",
                    object.write_all_at(&8_u32.to_ne_bytes(), 0),
                )?;
                ask(partner)?;
                remove(partner)
            },
            hint: 1,
        },
        Stage {
            name: "renewed",
            about: "the other program starts again: another object has the name",
            players: |scene| players(scene, &["7", "1008"]),
            partner: |partner| {
                let _before = begin(partner, 7)?;
                remove(partner)?;
                fresh(partner, 1008)?;
                ask(partner)?;
                remove(partner)
            },
            hint: 2,
        },
        Stage {
            name: "gone",
            about: "the system has removed the name; later there is an object again",
            players: |scene| players(scene, &["7", "none", "9"]),
            partner: |partner| {
                begin(partner, 7)?;
                remove(partner)?;
                ask(partner)?;
                fresh(partner, 9)?;
                ask(partner)?;
                remove(partner)
            },
            hint: 2,
        },
        Stage {
            name: "empty",
            about: "the new object has no size yet",
            players: |scene| players(scene, &["7", "none", "9"]),
            partner: |partner| {
                begin(partner, 7)?;
                remove(partner)?;
                let object = make(partner, 0)?;
                ask(partner)?;
                partner.call("ftruncate(4096 bytes)", object.set_len(4096))?;
                partner.call(
                    "stores 9",
                    object.write_all_at(&9_u32.to_ne_bytes(), 0),
                )?;
                ask(partner)?;
                remove(partner)
            },
            hint: 2,
        },
        Stage {
            name: "often",
            about: "eight objects, one after the other: what your program keeps",
            players: |scene| players(scene, &["3"; 8]),
            partner: |partner| {
                begin(partner, 3)?;
                let most = kept(partner)?;
                for _ in 1..8 {
                    remove(partner)?;
                    fresh(partner, 3)?;
                    ask(partner)?;
                    let has = kept(partner)?;
                    if has.0 > most.0 + 1 || has.1 > most.1 + 1 {
                        let [before, now] = [most, has].map(|(fds, maps)| {
                            let fds = count(fds as u64, "descriptor");
                            format!("{fds} and {}", count(maps as u64, "mapping"))
                        });
                        remove(partner)?;
                        return partner
                            .wrong(&format!("it had {before}, and has {now}"));
                    }
                }
                remove(partner)
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "remembers the number",
            stage: "plain",
            language: Language::Python,
            edits: &[
                (
                    "    for _ in sys.stdin:  #",
                    "    first = None\n    for _ in sys.stdin:  #",
                ),
                (
                    "        print(now(name), flush=True)",
                    "        first = first or now(name)\n        print(first, flush=True)",
                ),
            ],
        },
        Wrong {
            what: "looks for the name once",
            stage: "renewed",
            language: Language::Python,
            edits: &[
                (
                    "        memory = os.open(\"/dev/shm\" + name, os.O_RDWR)\n",
                    "        memory = kept[0] if kept else os.open(\"/dev/shm\" + name, os.O_RDWR)\n        kept[:] = [memory]\n",
                ),
                ("        os.close(memory)\n", "        pass\n"),
                ("def now(name):", "kept = []\n\n\ndef now(name):"),
            ],
        },
        Wrong {
            what: "ends when there is no object",
            stage: "gone",
            language: Language::Python,
            edits: &[(
                "        return \"none\"\n    try",
                "        sys.exit(\"no object\")\n    try",
            )],
        },
        Wrong {
            what: "believes that each object has a number",
            stage: "empty",
            language: Language::C,
            edits: &[("about.st_size < 4", "object == -1")],
        },
        Wrong {
            what: "never closes",
            stage: "often",
            language: Language::Python,
            edits: &[("        os.close(memory)\n", "        pass\n")],
        },
        Wrong {
            what: "never unmaps",
            stage: "often",
            language: Language::C,
            edits: &[("    ok(munmap(shared, 4), \"munmap\");\n", "")],
        },
    ],
};

/// The partner asks by the program's standard input.
fn players(scene: &Scene, lines: &[&str]) -> Vec<Player> {
    let printed: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let look = Player::learner(scene, "look", NOTHING);
    vec![Player::partner().piped(), look.prints(printed)]
}

/// A new object with this number.
fn fresh(partner: &Partner, number: u32) -> Result<File> {
    let object = make(partner, 4096)?;
    let stored = object.write_all_at(&number.to_ne_bytes(), 0);
    partner.call(&format!("stores {number}"), stored)?;
    Ok(object)
}

/// The first object, and the first question: the program starts behind it, and opens the object.
fn begin(partner: &Partner, number: u32) -> Result<File> {
    let object = fresh(partner, number)?;
    partner.write(standard::output()?, b"?\n", "a question")?;
    partner.until_opened(&segment_path(&partner.scene.place()))?;
    partner.must_sleep("look")?;
    Ok(object)
}

/// Asks once, and waits until the program sleeps again.
fn ask(partner: &Partner) -> Result<()> {
    partner.write(standard::output()?, b"?\n", "a question")?;
    partner.must_sleep("look")
}

/// How many descriptors the program has, and how many objects it has mapped.
fn kept(partner: &Partner) -> Result<(usize, usize)> {
    let pid = partner.learner("look")?;
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let objects = maps.lines().filter(|line| line.contains("/dev/shm/")).count();
    Ok((descriptors(pid)?, objects))
}
