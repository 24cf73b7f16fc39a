//! The exercises of the chapter semaphore.

use std::fs::File;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::mman::shm_open;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::{Pid, ftruncate};
use rustix::thread::futex::{Flags, wake};

use bare::{Language, MeetingPlace};
use doctor::probes::semaphores;
use os::cleanup::{Object, remove_now};
use os::semaphore::{sem_create, sem_post};
use os::shared::{Shared, mmap};
use os::sysv_semaphore::{
    semctl_getncnt, semctl_getval, semctl_setval, semget, semop_all,
};

use super::partner::Partner;
use super::row::{
    Begin, Ends, Exercise, Kind, NOTHING, Player, Stage, Wrong, no_partner,
};
use super::scene::Scene;

/// The exercises.
pub(super) const ALL: &[Exercise] = &[STALE, UNDO, FUTEX];

const STALE: Exercise = Exercise {
    name: "stale",
    title: "a waiter that takes no posts of an earlier run",
    kind: Kind::Mend,
    minutes: 10,
    after: &[],
    task: include_str!("semaphore/stale/task.md"),
    begin: Begin::Bare("semaphore"),
    places: &[MeetingPlace::Name],
    solutions: [
        Some(include_str!("semaphore/stale/solution.rs")),
        Some(include_str!("semaphore/stale/solution.c")),
        Some(include_str!("semaphore/stale/solution.py")),
    ],
    reasons: "O_CREAT alone opens what is there, and ignores the value that it is given. The \
              waiter takes the old name away first, and makes a new semaphore with O_CREAT and \
              O_EXCL: it cannot get an old one by mistake. The price: the roles can no longer \
              start in either order, and two waiters cannot share a name.",
    hints: [
        "Read in sem_open(3) what becomes of the argument value if the semaphore exists.",
        "sem_unlink takes the name away, whatever the value is. ENOENT is no error there: \
         mostly nothing is left.",
        "The waiter: sem_unlink, then sem_open with O_CREAT | O_EXCL. The poster: sem_open \
         without O_CREAT.",
    ],
    needs: Some(&semaphores::POSIX),
    stages: &[
        Stage {
            name: "plain",
            about: "the waiter waits twice, the poster posts twice",
            players: |scene| vec![waiter(scene, 2).idles(), poster(scene, 2)],
            partner: no_partner,
            hint: 1,
        },
        Stage {
            name: "stale",
            about: "a killed run has left a semaphore with the value 2",
            players: |scene| {
                let waiter = waiter(scene, 2).idles();
                vec![Player::partner(), waiter, poster(scene, 2)]
            },
            partner: |partner| {
                let place = partner.scene.place();
                let made = sem_create(&place, 0);
                let old = partner.call("sem_open(PLACE, O_CREAT, value 0)", made)?;
                partner.call("sem_post()", sem_post(&old))?;
                partner.call("sem_post()", sem_post(&old))?;
                partner.log("ends, and leaves the name");
                Ok(())
            },
            hint: 2,
        },
        Stage {
            name: "alone",
            about: "there is no waiter: the poster fails, and leaves nothing",
            players: |scene| vec![poster(scene, 1).ends(Ends::Failing)],
            partner: no_partner,
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "waits once",
            stage: "plain",
            language: Language::Python,
            edits: &[("range(1, times + 1)", "range(1, 2)")],
        },
        Wrong {
            what: "leaves the name",
            stage: "plain",
            language: Language::Python,
            edits: &[("        semaphore.unlink()", "        semaphore.close()")],
        },
        Wrong {
            what: "fails where a name is left",
            stage: "stale",
            language: Language::Python,
            edits: &[(
                "        unlink_semaphore(name)",
                "        unlink_semaphore(name + \"-old\")",
            )],
        },
        Wrong {
            what: "trusts in the value that it gives to sem_open",
            stage: "stale",
            language: Language::C,
            edits: &[
                (
                    "    remove_semaphore(name); /* what a killed run has left: its posts go with it */\n",
                    "",
                ),
                ("O_CREAT | O_EXCL", "O_CREAT"),
            ],
        },
        Wrong {
            what: "makes a semaphore in the poster",
            stage: "alone",
            language: Language::C,
            edits: &[("open_semaphore(name, 0)", "open_semaphore(name, O_CREAT)")],
        },
    ],
};

const UNDO: Exercise = Exercise {
    name: "undo",
    title: "a lock that is free again when its holder is killed",
    kind: Kind::Mend,
    minutes: 20,
    after: &["semaphore/stale"],
    task: include_str!("semaphore/undo/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Key],
    solutions: [
        Some(include_str!("semaphore/undo/solution.rs")),
        Some(include_str!("semaphore/undo/solution.c")),
        None,
    ],
    reasons: "With SEM_UNDO the kernel keeps, for each process and semaphore, what to add when \
              the process ends: +1 for the take, -1 for the give, 0 together. With the flag in one \
              of the two alone, a worker that ends well leaves a lock with the value 2, and two \
              workers get in. The permission to leave has no flag: it is used up.",
    hints: [
        "A flag of semop(2) makes the kernel take back an operation when the process ends.",
        "SEM_UNDO adds up: where the take has it and the give has not, the kernel gives once \
         more at the end.",
        "semop(2) is never restarted: after a stop it returns EINTR, even without a handler. \
         Call it again.",
    ],
    needs: Some(&semaphores::SYSV),
    stages: &[
        Stage {
            name: "plain",
            about: "the lock is free: the worker takes it, leaves, and gives it back",
            players: |scene| working(scene, Ends::Well),
            partner: |partner| with_set(partner, 1, |_, _, _| Ok(())),
            hint: 2,
        },
        Stage {
            name: "taken",
            about: "somebody else has the lock, and gives it later",
            players: |scene| working(scene, Ends::Well),
            partner: |partner| {
                with_set(partner, 0, |partner, set, _| {
                    let given = semop_all(set, &[(LOCK, 1, 0)]);
                    partner.call("semop(LOCK, +1)", given)
                })
            },
            hint: 2,
        },
        Stage {
            name: "killed",
            about: "SIGKILL while the worker has the lock",
            players: |scene| working(scene, Ends::By(Signal::SIGKILL)),
            partner: |partner| {
                with_set(partner, 1, |partner, _, worker| {
                    partner.signal(worker, Signal::SIGKILL, "while it has the lock")
                })
            },
            hint: 1,
        },
        Stage {
            name: "stopped",
            about: "SIGSTOP and SIGCONT while the worker waits for the lock",
            players: |scene| working(scene, Ends::Well),
            partner: |partner| {
                with_set(partner, 0, |partner, set, worker| {
                    partner.stop(worker, "while it waits")?;
                    partner.signal(worker, Signal::SIGCONT, "it is to wait on")?;
                    partner.until_asleep(worker)?;
                    let given = semop_all(set, &[(LOCK, 1, 0)]);
                    partner.call("semop(LOCK, +1)", given)
                })
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "gives back without SEM_UNDO",
            stage: "plain",
            language: Language::C,
            edits: &[("add(set, LOCK, 1, SEM_UNDO)", "add(set, LOCK, 1, 0)")],
        },
        Wrong {
            what: "gives back by its end alone, and leaves before it may",
            stage: "plain",
            language: Language::C,
            edits: &[("    add(set, LEAVE, -1, 0);\n", "")],
        },
        Wrong {
            what: "does not wait for the lock",
            stage: "taken",
            language: Language::C,
            edits: &[
                (
                    "        if (errno != EINTR)",
                    "        if (number == LOCK && errno == EAGAIN)\n            break;\n        else if \
                 (errno != EINTR)",
                ),
                (
                    "add(set, LOCK, -1, SEM_UNDO)",
                    "add(set, LOCK, -1, SEM_UNDO | IPC_NOWAIT)",
                ),
            ],
        },
        Wrong {
            what: "uses no SEM_UNDO",
            stage: "killed",
            language: Language::C,
            edits: &[
                ("add(set, LOCK, -1, SEM_UNDO)", "add(set, LOCK, -1, 0)"),
                ("add(set, LOCK, 1, SEM_UNDO)", "add(set, LOCK, 1, 0)"),
            ],
        },
        Wrong {
            what: "ends at EINTR",
            stage: "stopped",
            language: Language::C,
            edits: &[("errno != EINTR", "errno != 0")],
        },
    ],
};

const FUTEX: Exercise = Exercise {
    name: "futex",
    title: "a waiter by hand, that looks again whenever it is woken",
    kind: Kind::Mend,
    minutes: 25,
    after: &["semaphore/stale"],
    task: include_str!("semaphore/futex/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Name],
    solutions: [
        Some(include_str!("semaphore/futex/solution.rs")),
        Some(include_str!("semaphore/futex/solution.c")),
        None,
    ],
    reasons: "A return from FUTEX_WAIT says nothing about the word: it may be a wake-up for \
              nothing, another waiter may have been faster, or the word had changed before the \
              sleep. So the word is loaded again each time, and taken from by a compare and \
              exchange, which fails if the word has changed since the load.",
    hints: [
        "Which values can the word have when FUTEX_WAIT returns? Any, also 0.",
        "Look and take must be one step. atomic_compare_exchange (compare_exchange in Rust) takes \
         only if the word still is what you have seen.",
        "A loop: load; if it is 0, FUTEX_WAIT, and from the head; else compare and exchange with \
         one less, and out of the loop if that succeeds.",
    ],
    needs: Some(&semaphores::FUTEX),
    stages: &[
        Stage {
            name: "plain",
            about: "the waiter sleeps, and a poster posts twice",
            players: |scene| vec![waiter(scene, 2).idles(), Player::partner()],
            partner: |partner| {
                let memory = map_word(partner, OFlag::empty())?;
                let word = memory.u32(0);
                post(partner, word, 1, 1)?;
                post(partner, word, 1, 1)
            },
            hint: 1,
        },
        Stage {
            name: "order",
            about: "the poster is there first, and has posted 1,000 times",
            players: |scene| vec![Player::partner(), waiter(scene, 1000)],
            partner: |partner| {
                let memory = map_word(partner, OFlag::O_CREAT)?;
                post(partner, memory.u32(0), 1000, 1)
            },
            hint: 3,
        },
        Stage {
            name: "nothing",
            about: "FUTEX_WAKE without a post, and a post later",
            players: |scene| vec![waiter(scene, 1).idles(), Player::partner()],
            partner: |partner| {
                let memory = map_word(partner, OFlag::empty())?;
                let word = memory.u32(0);
                post(partner, word, 0, 1)?;
                partner.pause("the waiter must sleep on");
                look_at(partner, word)?;
                post(partner, word, 1, 1)
            },
            hint: 1,
        },
        Stage {
            name: "two",
            about: "two waiters, one post that wakes both, and another post later",
            players: |scene| {
                let two = || waiter(scene, 1).idles();
                vec![two(), two(), Player::partner()]
            },
            partner: |partner| {
                let memory = map_word(partner, OFlag::empty())?;
                let word = memory.u32(0);
                post(partner, word, 1, 2)?;
                partner.until("a take", || {
                    (word.load(Ordering::SeqCst) != 1).then_some(())
                })?;
                partner.pause("one of the waiters must sleep on");
                partner.pause("and on");
                look_at(partner, word)?;
                post(partner, word, 1, 2)
            },
            hint: 2,
        },
    ],
    wrong: &[
        Wrong {
            what: "looks again and again",
            stage: "plain",
            language: Language::C,
            edits: &[(
                "                futex_wait(word, 0);",
                "                usleep(100);",
            )],
        },
        Wrong {
            what: "begins with the word 0",
            stage: "order",
            language: Language::C,
            edits: &[(
                "    atomic_uint *word = map_word(name);\n",
                "    atomic_uint *word = map_word(name);\n    *word = 0;\n",
            )],
        },
        Wrong {
            what: "believes that it was woken for a post",
            stage: "nothing",
            language: Language::C,
            edits: &[(
                "            if (old == 0)\n",
                "            if (old == 0 && futex_wait(word, 0) == 0) {\n                \
                 atomic_fetch_sub(word, 1);\n                break;\n            }\n            \
                 if (old == 0)\n",
            )],
        },
        Wrong {
            what: "looks again, and takes later",
            stage: "two",
            language: Language::C,
            edits: &[(
                "            else if (atomic_compare_exchange_strong(word, &old, old - 1))\n",
                "            else if (usleep(old == 1 ? 300000 : 0), atomic_fetch_sub(word, 1))\n",
            )],
        },
    ],
};

/// A waiter, and what it must print.
fn waiter(scene: &Scene, times: usize) -> Player {
    let printed: String =
        (1..=times).map(|number| format!("took {number}\n")).collect();
    Player::learner(scene, "waiter", [times.to_string()]).prints(printed)
}

fn poster(scene: &Scene, times: usize) -> Player {
    Player::learner(scene, "poster", [times.to_string()]).prints("")
}

/// The semaphores of the set: the lock, and permissions to leave.
const LOCK: u16 = 0;
const LEAVE: u16 = 1;

/// A worker between two partners: the first has made the set when it starts.
fn working(scene: &Scene, ends: Ends) -> Vec<Player> {
    let printed = "working\n";
    let worker =
        Player::learner(scene, "worker", NOTHING).prints(printed).ends(ends);
    vec![Player::partner(), worker.idles(), Player::partner()]
}

/// The first partner makes the set, with this value of the lock; the second does something while
/// the worker sleeps, lets it leave, and looks at the lock.
fn with_set(
    partner: &mut Partner,
    lock: u32,
    act: impl FnOnce(&Partner, i32, Pid) -> Result<()>,
) -> Result<()> {
    let key = partner.scene.key();
    match semget(key, 2, libc::IPC_CREAT | libc::IPC_EXCL | 0o600) {
        Err(Errno::EEXIST) => {}
        made => {
            let set = partner.call("semget(PLACE, 2, IPC_CREAT | 0600)", made)?;
            let set = semctl_setval(set, lock);
            return partner.call(&format!("semctl(LOCK, SETVAL, {lock})"), set);
        }
    }
    let set = semget(key, 0, 0).context("semget")?;
    let done = use_set(partner, set, act);
    let removed = remove_now(&Object::SysvSemaphore(set, 0));
    done.and(removed.context("semctl"))
}

fn use_set(
    partner: &Partner,
    set: i32,
    act: impl FnOnce(&Partner, i32, Pid) -> Result<()>,
) -> Result<()> {
    let worker = partner.learner("worker")?;
    let is_taken = matches!(partner.scene.stage, "taken" | "stopped");
    let waits = semctl_getncnt(set).context("semctl")?;
    if is_taken && waits == 0 {
        return partner.wrong("the worker has not waited for the lock");
    }
    act(partner, set, worker)?;
    partner.call("semop(LEAVE, +1)", semop_all(set, &[(LEAVE, 1, 0)]))?;
    partner.until_all_have_ended()?;
    let value = semctl_getval(set).context("semctl")?;
    partner.log(&format!("semctl(LOCK, GETVAL) = {value}"));
    match value {
        1 => Ok(()),
        _ => partner
            .wrong(&format!("the lock has the value {value} afterwards, not 1")),
    }
}

/// Maps the word of the object PLACE.
fn map_word(partner: &Partner, flags: OFlag) -> Result<Shared> {
    let place = partner.scene.place();
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    let opened = shm_open(place.as_str(), OFlag::O_RDWR | flags, mode);
    let object = File::from(partner.call("shm_open(PLACE, O_RDWR)", opened)?);
    if flags.contains(OFlag::O_CREAT) {
        partner.call("ftruncate(4)", ftruncate(&object, 4))?;
    }
    mmap(&object, 4).context("mmap")
}

/// Adds to the word, and wakes so many waiters.
fn post(partner: &Partner, word: &AtomicU32, add: u32, waiters: u32) -> Result<()> {
    if add > 0 {
        word.fetch_add(add, Ordering::SeqCst);
        partner.log(&format!("adds {add} to the word"));
    }
    let woken = wake(word, Flags::empty(), waiters);
    let woken = partner.call(&format!("futex(FUTEX_WAKE, {waiters})"), woken)?;
    partner.log(&format!("it has woken {woken}"));
    Ok(())
}

/// The word must be 0 now.
fn look_at(partner: &Partner, word: &AtomicU32) -> Result<()> {
    let value = word.load(Ordering::SeqCst);
    partner.log(&format!("the word is {value} ({:#x})", value));
    match value {
        0 => Ok(()),
        _ => {
            partner.wrong("the word is not 0: a waiter has taken what was not there")
        }
    }
}
