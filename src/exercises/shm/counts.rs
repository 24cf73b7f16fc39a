//! A counter that several processes add to.

use std::sync::atomic::Ordering::SeqCst;

use anyhow::Result;
use nix::sys::signal::Signal;

use bare::{Language, MeetingPlace};
use os::shared::mmap;
use os::shm_file::segment_path;

use super::super::partner::Partner;
use super::super::row::{Begin, Exercise, Kind, NOTHING, Player, Stage, Wrong};
use super::super::scene::Scene;
use super::{make, remove};

pub(super) const ROW: Exercise = Exercise {
    name: "counts",
    title: "a counter in shared memory that loses no count",
    kind: Kind::Mend,
    minutes: 10,
    after: &[],
    task: include_str!("counts/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Name],
    solutions: [
        Some(include_str!("counts/solution.rs")),
        Some(include_str!("counts/solution.c")),
        Some(include_str!("counts/solution.py")),
    ],
    reasons: "A load and a store are two operations: what another process stores between them is \
              written over. fetch_add is one operation of the processor, so nobody comes in \
              between. A process may be stopped at any instruction.",
    hints: [
        "What happens if the other process adds to the count after you have loaded it, and before \
         you store it?",
        "The processor can load, add and store in one operation, which no other process can \
         divide.",
        "Rust: AtomicU32::fetch_add. C: atomic_fetch_add, or ++ on an atomic_uint. Python: \
         __atomic_fetch_add_4 of libatomic.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "alone",
            about: "your program counts alone, and stops when it is told to",
            players,
            partner: |partner| count(partner, 0),
            hint: 1,
        },
        Stage {
            name: "together",
            about: "the partner adds to the same counter meanwhile",
            players,
            partner: |partner| count(partner, STOPS),
            hint: 2,
        },
    ],
    wrong: &[
        Wrong {
            what: "does not say how many it has added",
            stage: "alone",
            language: Language::Python,
            edits: &[("        own += 1\n", "")],
        },
        Wrong {
            what: "counts one too many",
            stage: "alone",
            language: Language::Python,
            edits: &[("    own = 0\n", "    own = 1\n")],
        },
        Wrong {
            what: "loads, and then stores",
            stage: "together",
            language: Language::C,
            edits: &[(
                "        words->count++;",
                "        words->count = words->count + 1;",
            )],
        },
    ],
};

fn players(scene: &Scene) -> Vec<Player> {
    vec![Player::partner(), Player::learner(scene, "counter", NOTHING)]
}

/// How often the partner stops the other one. One stop in twenty falls between a load and a store,
/// since the processor is longest at the store; all 300 miss them in one check of some millions.
const STOPS: u32 = 300;

/// What the partner adds while the other one is stopped.
const STEP: u32 = 1_000_000;

/// How often it adds 1 then, while the other one runs.
const ONES: u32 = 20_000;

/// Adds so many times, whenever it has stopped the learner's program somewhere.
fn count(partner: &mut Partner, times: u32) -> Result<()> {
    let place = partner.scene.place();
    let memory = mmap(make(partner, 4096)?, 4096);
    let memory = partner.call("mmap(MAP_SHARED)", memory)?;
    let [count, stop, own] = [0, 4, 8].map(|at| memory.u32(at));
    partner.until_opened(&segment_path(&place))?;
    let counts = |partner: &Partner| {
        let before = count.load(SeqCst);
        partner.until("a count", || {
            (count.load(SeqCst).wrapping_sub(before) > 100).then_some(())
        })
    };
    counts(partner)?;
    if times > 0 {
        let learner = partner.learner("counter")?;
        partner.log(&format!(
            "{times} times: stops the counter, adds {STEP}, continues it, and adds {ONES} times 1"
        ));
        for _ in 0..times {
            nix::sys::signal::kill(learner, Signal::SIGSTOP)?;
            partner.until_stopped(learner)?;
            count.fetch_add(STEP, SeqCst);
            nix::sys::signal::kill(learner, Signal::SIGCONT)?;
            counts(partner)?;
            for _ in 0..ONES {
                count.fetch_add(1, SeqCst);
            }
        }
    }
    partner.log("stores 1 in the second word: stop");
    stop.store(1, SeqCst);
    partner.until_all_have_ended()?;
    remove(partner)?;
    let (total, own, added) =
        (count.load(SeqCst), own.load(SeqCst), times * (STEP + ONES));
    partner.log(&format!(
        "the count is {total}; the partner has added {added}, yours {own}"
    ));
    match total == own.wrapping_add(added) {
        true => Ok(()),
        false if times == 0 => partner.wrong(
            "the third word is not the number that your program has added: there was no other",
        ),
        false => partner.wrong("the count is not the sum of what both have added: counts are lost"),
    }
}
