//! Roles that go on when another process was killed with the mutex.

use anyhow::{Context, Result};

use bare::{Language, MeetingPlace};
use os::mutex::{Condition, Mutex};

use super::super::draw::joined;
use super::super::partner::Partner;
use super::super::row::{
    Begin, Exercise, Kind, NOTHING, Player, Stage, Wrong, no_partner,
};
use super::super::scene::Scene;
use super::{map, shm};

pub(super) const ROW: Exercise = Exercise {
    name: "owner",
    title: "a buffer that survives a process that is killed with the mutex",
    kind: Kind::Mend,
    minutes: 20,
    after: &["mutex/while"],
    task: include_str!("owner/task.md"),
    begin: Begin::Bare("mutex"),
    places: &[MeetingPlace::Name],
    solutions: [
        Some(include_str!("owner/solution.rs")),
        Some(include_str!("owner/solution.c")),
        Some(include_str!("owner/solution.py")),
    ],
    reasons: "EOWNERDEAD comes with the mutex. pthread_mutex_consistent promises that what it \
              protects is whole, and it is: each change counts by one store at its end. \
              pthread_cond_wait locks as well, and so returns EOWNERDEAD as well. The promise must \
              come before the unlock, or nobody gets the mutex any more.",
    hints: [
        "Who has the mutex when pthread_mutex_lock returns EOWNERDEAD? You.",
        "Before the unlock: pthread_mutex_consistent. Without it the next lock is \
         ENOTRECOVERABLE.",
        "pthread_cond_wait locks the mutex at its end: it needs the same answer.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "your producer and your worker still meet",
            players: |scene| with_partner(scene, false),
            partner: no_partner,
            hint: 1,
        },
        Stage {
            name: "killed",
            about: "a process is killed with the mutex, before the producer comes",
            players: |scene| with_partner(scene, true),
            partner: |partner| die(partner, false),
            hint: 2,
        },
        Stage {
            name: "waiting",
            about: "a process signals not_empty, and is killed with the mutex",
            players: |scene| with_partner(scene, true),
            partner: |partner| die(partner, true),
            hint: 3,
        },
        Stage {
            name: "kept",
            about: "three messages are there, and a process is killed with the mutex",
            players: |scene| {
                let messages = scene.draw().lines(3);
                let worker = Player::learner(scene, "worker", NOTHING);
                let worker = worker.prints(joined(&messages));
                let producer = Player::learner(scene, "producer", messages);
                vec![producer.prints(""), Player::partner(), worker]
            },
            partner: |partner| die(partner, false),
            hint: 1,
        },
    ],
    wrong: &[
        Wrong {
            what: "gives the mutex back before it puts",
            stage: "plain",
            language: Language::C,
            edits: &[(
                "    b->producers++, b->closed = 0;\n",
                "    b->producers++, b->closed = 0;\n    ok(pthread_mutex_unlock(&b->mutex), \"pthread_mutex_unlock\");\n",
            )],
        },
        Wrong {
            what: "ignores EOWNERDEAD, and promises nothing",
            stage: "killed",
            language: Language::Python,
            edits: &[(
                "        error = libc.pthread_mutex_consistent(byref(arguments[-1]))\n",
                "        error = 0\n",
            )],
        },
        Wrong {
            what: "locks again after EOWNERDEAD",
            stage: "killed",
            language: Language::C,
            edits: &[(
                "error == EOWNERDEAD ? pthread_mutex_consistent(&b->mutex) : error",
                "error == EOWNERDEAD ? pthread_mutex_lock(&b->mutex) : error",
            )],
        },
        Wrong {
            what: "mends after pthread_mutex_lock alone",
            stage: "waiting",
            language: Language::Python,
            edits: &[(
                "    if error == EOWNERDEAD:",
                "    if error == EOWNERDEAD and call == \"mutex_lock\":",
            )],
        },
        Wrong {
            what: "begins with an empty buffer",
            stage: "kept",
            language: Language::C,
            edits: &[(
                "    ok(error == EOWNERDEAD ? pthread_mutex_consistent(&b->mutex) : error, call);\n",
                "    if (error == EOWNERDEAD) {\n        b->put = b->taken;\n        error = pthread_mutex_consistent(&b->mutex);\n    }\n    ok(error, call);\n",
            )],
        },
    ],
};

/// A worker, the partner if it takes part, and a producer of three messages.
fn with_partner(scene: &Scene, takes_part: bool) -> Vec<Player> {
    let messages = scene.draw().lines(3);
    let worker = Player::learner(scene, "worker", NOTHING);
    let mut players = vec![worker.prints(joined(&messages)).idles()];
    players.extend(takes_part.then(Player::partner));
    players.push(Player::learner(scene, "producer", messages).prints(""));
    players
}

/// Where the parts are: see the chapter's page.
const MUTEX: usize = 64;
const NOT_EMPTY: usize = 128;
const SIZE: usize = 9 * 4096;

/// Dies with the mutex: to the kernel the end of a thread is the death of an owner.
fn die(partner: &Partner, signals: bool) -> Result<()> {
    let memory = map(&shm::open(partner)?, SIZE)?;
    let mutex = Mutex::at(memory, MUTEX);
    if signals {
        partner.call("pthread_mutex_lock()", mutex.lock())?;
        let signalled = Condition::at(memory, NOT_EMPTY).signal();
        partner.call("pthread_cond_signal(not_empty)", signalled)?;
        partner.log("is killed with the mutex");
        return Ok(()); // its end is the end of the owner
    }
    let locked = std::thread::spawn(move || mutex.lock()).join();
    let locked = locked.ok().context("pthread_join")?;
    partner.call("pthread_mutex_lock()", locked)?;
    partner.log("is killed with the mutex");
    Ok(())
}
