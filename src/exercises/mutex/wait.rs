//! A worker that looks again after each wake-up.

use std::sync::atomic::Ordering::SeqCst;

use anyhow::{Context, Result};

use bare::{Language, MeetingPlace};
use nix::fcntl::OFlag;
use os::mutex::{Attributes, Condition, Mutex};
use os::shared::Shared;

use super::super::partner::Partner;
use super::super::row::{Begin, Exercise, Kind, NOTHING, Player, Stage, Wrong};
use super::super::scene::Scene;
use super::{make, map, shm};

pub(super) const ROW: Exercise = Exercise {
    name: "while",
    title: "a worker that takes no item that is not there",
    kind: Kind::Mend,
    minutes: 10,
    after: &[],
    task: include_str!("while/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Name],
    solutions: [
        Some(include_str!("while/solution.rs")),
        Some(include_str!("while/solution.c")),
        Some(include_str!("while/solution.py")),
    ],
    reasons: "A return from pthread_cond_wait says nothing about the items: another process may \
              have signalled for another reason, or another worker may have been first. So the \
              worker looks again after each wake-up, with the mutex, and sleeps again if nothing \
              is there.",
    hints: [
        "What is true when pthread_cond_wait returns? That the mutex is yours, and no more.",
        "Look again after each wake-up: a loop in the place of the `if`.",
        "while there is no item, and more may come: wait. Behind the loop: no item means that the \
         worker is done.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "the worker sleeps, and three items come one by one",
            players: |scene| {
                vec![Player::partner(), worker(scene, 3), Player::partner()]
            },
            partner: |partner| {
                play(partner, 0, |items| {
                    for _ in 0..3 {
                        items.put(1, 1)?;
                        items.until_taken()?;
                    }
                    Ok(())
                })
            },
            hint: 1,
        },
        Stage {
            name: "there",
            about: "two items are there, and no more will come",
            players: |scene| {
                let mut worker = worker(scene, 2);
                worker.idles = false;
                vec![Player::partner(), worker, Player::partner()]
            },
            partner: |partner| play(partner, 2, |_| Ok(())),
            hint: 3,
        },
        Stage {
            name: "nothing",
            about: "a signal without an item, and an item later",
            players: |scene| {
                vec![Player::partner(), worker(scene, 1), Player::partner()]
            },
            partner: |partner| {
                play(partner, 0, |items| {
                    items.put(0, 1)?;
                    items.partner.pause("the worker must sleep on");
                    items.look()?;
                    items.put(1, 1)?;
                    items.until_taken()
                })
            },
            hint: 1,
        },
        Stage {
            name: "two",
            about: "two workers, and one item with a broadcast",
            players: |scene| {
                let two = || {
                    let mut worker = worker(scene, 1);
                    worker.prints = None; // which of the two has taken how many is not known
                    worker
                };
                vec![Player::partner(), two(), two(), Player::partner()]
            },
            partner: |partner| {
                play(partner, 0, |items| {
                    items.put(1, 2)?;
                    items.until_taken()?;
                    items.partner.pause("one of the workers must sleep on");
                    items.look()?;
                    items.put(1, 2)?;
                    items.until_taken()
                })
            },
            hint: 2,
        },
    ],
    wrong: &[
        Wrong {
            what: "looks again and again",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "            pthread(\"cond_wait\", s.changed, s.mutex)  # sleeps; then it looks again\n",
                "            pthread(\"mutex_unlock\", s.mutex)\n            pthread(\"mutex_lock\", s.mutex)\n",
            )],
        },
        Wrong {
            what: "leaves what is there once no more will come",
            stage: "there",
            language: Language::Python,
            edits: &[("        if s.items == 0:\n", "        if s.closed:\n")],
        },
        Wrong {
            what: "looks once",
            stage: "nothing",
            language: Language::C,
            edits: &[
                ("while (s->items == 0 &&", "if (s->items == 0 &&"),
                (
                    "        if (s->items == 0)\n",
                    "        if (s->items == 0 && s->closed)\n",
                ),
            ],
        },
        Wrong {
            what: "ends when it was woken for nothing",
            stage: "nothing",
            language: Language::Python,
            edits: &[(
                "        while s.items == 0 and",
                "        if s.items == 0 and",
            )],
        },
        Wrong {
            what: "lets go of the mutex between the look and the take",
            stage: "two",
            language: Language::Python,
            edits: &[(
                "        if s.items == 0:\n            break\n",
                "        if s.items == 0:\n            break\n        pthread(\"mutex_unlock\", s.mutex)\n        __import__(\"time\").sleep(0.3)\n        pthread(\"mutex_lock\", s.mutex)\n",
            )],
        },
    ],
};

/// A worker that must sleep while nothing is there.
fn worker(scene: &Scene, items: usize) -> Player {
    Player::learner(scene, "worker", NOTHING)
        .prints("took one\n".repeat(items))
        .idles()
}

/// Where the parts are.
const CHANGED: usize = 64;
const ITEMS: usize = 128;
const TAKEN: usize = 132;
const CLOSED: usize = 136;

/// The memory, as the second partner has it.
struct Items<'a> {
    partner: &'a Partner,
    memory: &'static Shared,
}

/// The first partner makes the memory, with so many items, and closes it if there are any; the
/// second acts, closes it, and looks at it.
fn play(
    partner: &mut Partner,
    items: u32,
    act: impl FnOnce(&Items<'_>) -> Result<()>,
) -> Result<()> {
    if let Some(object) = make(partner, 4096)? {
        let memory = map(&object, 4096)?;
        let made = Mutex::init_at(memory, 0, Attributes::shared(false));
        partner.call("pthread_mutex_init()", made.map(drop))?;
        let made = Condition::init_at(memory, CHANGED, true);
        partner.call("pthread_cond_init()", made.map(drop))?;
        memory.u32(ITEMS).store(items, SeqCst);
        memory.u32(CLOSED).store(u32::from(items > 0), SeqCst);
        return Ok(());
    }
    let object =
        partner.call("shm_open(PLACE)", shm::object(partner, OFlag::empty()))?;
    let items = Items { partner, memory: map(&object, 4096)? };
    let played = act(&items).and_then(|()| items.close());
    let removed = shm::remove(partner);
    played.and(removed)
}

impl Items<'_> {
    /// Makes so many items, and wakes so many workers: a signal or a broadcast.
    fn put(&self, more: u32, workers: u32) -> Result<()> {
        let mutex = Mutex::at(self.memory, 0);
        let changed = Condition::at(self.memory, CHANGED);
        mutex.lock().context("pthread_mutex_lock")?;
        self.memory.u32(ITEMS).fetch_add(more, SeqCst);
        let (call, woken) = match workers {
            1 => ("pthread_cond_signal()", changed.signal()),
            _ => ("pthread_cond_broadcast()", changed.broadcast()),
        };
        self.partner.log(&format!("lock; {more} more items; {call}; unlock"));
        woken.context(call)?;
        mutex.unlock().context("pthread_mutex_unlock")
    }

    /// Waits until nothing is there.
    fn until_taken(&self) -> Result<()> {
        let items = self.memory.u32(ITEMS);
        self.partner.until("a take", || (items.load(SeqCst) != 1).then_some(()))?;
        self.look()
    }

    /// As many items are there as have not been taken.
    fn look(&self) -> Result<()> {
        let items = self.memory.u32(ITEMS).load(SeqCst).cast_signed();
        self.partner.log(&format!("{items} items are there"));
        match items {
            0 => Ok(()),
            _ => self.partner.wrong(&format!(
                "there are {items} items, and not 0: a worker has taken what was not there"
            )),
        }
    }

    /// Says that no more will come; then all workers end.
    fn close(&self) -> Result<()> {
        let mutex = Mutex::at(self.memory, 0);
        mutex.lock().context("pthread_mutex_lock")?;
        self.memory.u32(CLOSED).store(1, SeqCst);
        mutex.unlock().context("pthread_mutex_unlock")?;
        self.put(0, 2)?;
        self.partner.until_all_have_ended()?;
        let taken = self.memory.u32(TAKEN).load(SeqCst);
        self.partner.log(&format!("{taken} were taken"));
        self.look()
    }
}
