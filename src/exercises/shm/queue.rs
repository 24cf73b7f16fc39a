//! Design: a bounded queue in shared memory.

use anyhow::Result;
use nix::sys::signal::Signal;

use bare::{Language, MeetingPlace};
use wire::standard;

use super::super::draw::joined;
use super::super::partner::Partner;
use super::super::row::{
    Begin, Ends, Exercise, Kind, NOTHING, Player, Stage, Wrong, no_partner,
};
use super::super::scene::Scene;

pub(super) const ROW: Exercise = Exercise {
    name: "queue",
    title: "a queue with room for eight messages, for many processes",
    kind: Kind::Design,
    minutes: 45,
    after: &["shm/counts"],
    task: include_str!("queue/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Name],
    solutions: [
        Some(include_str!("queue/solution.rs")),
        Some(include_str!("queue/solution.c")),
        Some(include_str!("queue/solution.py")),
    ],
    reasons: "Three semaphores: one counts the messages, one the free places, and one is the \
              lock of the ring. Each process waits for a message or a place first, and locks \
              then: whoever sleeps holds no lock, so that its death stops nobody.",
    hints: [
        "A ring of eight places, with the number of the next to fill and of the next to empty. \
         What must a process wait for before it may change them?",
        "A semaphore that begins with 8 counts the free places, and one that begins with 0 the \
         messages: put waits for one of the first kind, take for one of the second.",
        "A third semaphore, which begins with 1, is the lock. Never sleep for a message or a \
         place while you hold it. sem_init(3) with pshared = 1 puts semaphores into the memory.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "three messages go in, and come out",
            players: |scene| {
                let messages = scene.draw().lines(3);
                within(scene, vec![put(scene, &messages), take(scene, &messages)])
            },
            partner: no_partner,
            hint: 1,
        },
        Stage {
            name: "room",
            about: "eight messages have room: put ends without a take",
            players: |scene| within(scene, vec![put(scene, &scene.draw().lines(8))]),
            partner: no_partner,
            hint: 2,
        },
        Stage {
            name: "empty",
            about: "the queue is empty: take sleeps until a message is put",
            players: |scene| {
                let messages = scene.draw().lines(2);
                let empty = take(scene, &messages).idles();
                within(scene, vec![empty, put(scene, &messages)])
            },
            partner: no_partner,
            hint: 2,
        },
        Stage {
            name: "full",
            about: "the ninth message has no room: put sleeps until one is taken",
            players: |scene| {
                let messages = scene.draw().lines(9);
                let full = put(scene, &messages).idles();
                within(scene, vec![full, Player::partner(), take(scene, &messages)])
            },
            partner: |partner| match partner.plays("put") {
                true => Ok(()),
                false => partner
                    .wrong("put has ended, with nine messages for eight places"),
            },
            hint: 2,
        },
        Stage {
            name: "many",
            about: "three processes put 30 messages each, and one takes them all",
            players: |scene| {
                let mut all: Vec<Player> = three(scene)
                    .iter()
                    .map(|messages| put(scene, messages))
                    .collect();
                all.push(Player::learner(scene, "take", ["90"]).piped());
                all.push(Player::partner());
                within(scene, all)
            },
            partner: compare,
            hint: 3,
        },
        Stage {
            name: "killed",
            about: "a process is killed while it sleeps in take",
            players: |scene| {
                let messages = scene.draw().lines(12);
                let killed = Player::learner(scene, "take", ["1"])
                    .ends(Ends::By(Signal::SIGKILL))
                    .idles();
                let killer = Player::partner();
                within(
                    scene,
                    vec![
                        killed,
                        killer,
                        put(scene, &messages),
                        take(scene, &messages),
                    ],
                )
            },
            partner: |partner| {
                let learner = partner.learner("take")?;
                partner.signal(
                    learner,
                    Signal::SIGKILL,
                    "it sleeps, for the queue is empty",
                )
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "the last message comes out first",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "        place = queue.places[queue.taken % 8]\n        queue.taken += 1\n",
                "        queue.put -= 1\n        place = queue.places[queue.put % 8]\n",
            )],
        },
        Wrong {
            what: "leaves its memory",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "    ok(libc.shm_unlink(name.encode()), \"shm_unlink\")\n",
                "    pass\n",
            )],
        },
        Wrong {
            what: "has room for seven",
            stage: "room",
            language: Language::Python,
            edits: &[("byref(queue.room), 1, 8)", "byref(queue.room), 1, 7)")],
        },
        Wrong {
            what: "has room for nine",
            stage: "full",
            language: Language::Python,
            edits: &[("byref(queue.room), 1, 8)", "byref(queue.room), 1, 9)")],
        },
        Wrong {
            what: "looks again and again",
            stage: "empty",
            language: Language::Python,
            edits: &[(
                "        wait(queue.items)  # sleeps while the queue is empty\n",
                "        while libc.sem_trywait(byref(queue.items)) == -1:\n            pass\n",
            )],
        },
        Wrong {
            what: "changes the ring without a lock",
            stage: "many",
            language: Language::Python,
            edits: &[(
                "        wait(queue.lock)  # the ring is ours\n        place = queue.places[queue.put % 8]\n",
                "        place = queue.places[queue.put % 8]\n        __import__('time').sleep(0.01)\n",
            )],
        },
        Wrong {
            what: "sleeps with the lock",
            stage: "empty",
            language: Language::Python,
            edits: &[(
                "        wait(queue.items)  # sleeps while the queue is empty\n        wait(queue.lock)\n",
                "        wait(queue.lock)\n        wait(queue.items)\n",
            )],
        },
        Wrong {
            what: "reserves a place in line before it sleeps",
            stage: "killed",
            language: Language::Python,
            edits: &[(
                "        wait(queue.items)  # sleeps while the queue is empty\n        wait(queue.lock)\n        \
                 place = queue.places[queue.taken % 8]\n        queue.taken += 1\n",
                "        wait(queue.lock)\n        place = queue.places[queue.taken % 8]\n        \
                 queue.taken += 1\n        ok(libc.sem_post(byref(queue.lock)), \"sem_post\")\n        \
                 wait(queue.items)\n        wait(queue.lock)\n",
            )],
        },
    ],
};

/// Between the making of the queue and its removal.
fn within(scene: &Scene, players: Vec<Player>) -> Vec<Player> {
    let mut all = vec![Player::learner(scene, "make", NOTHING)];
    all.extend(players);
    all.push(Player::learner(scene, "remove", NOTHING));
    all
}

fn put(scene: &Scene, messages: &[String]) -> Player {
    Player::learner(scene, "put", messages)
}

fn take(scene: &Scene, messages: &[String]) -> Player {
    Player::learner(scene, "take", [messages.len().to_string()])
        .prints(joined(messages))
}

/// What three processes put.
fn three(scene: &Scene) -> Vec<Vec<String>> {
    let mut draw = scene.draw();
    ["a", "b", "c"]
        .map(|name| {
            draw.lines(30).iter().map(|line| format!("{name} {line}")).collect()
        })
        .into()
}

/// Reads what was taken: the lines of each of the three must be there, in their order.
fn compare(partner: &mut Partner) -> Result<()> {
    let bytes = partner.read_to_end(standard::input()?)?;
    let text = String::from_utf8_lossy(&bytes);
    for expected in three(&partner.scene) {
        let name = &expected[0][..2];
        let got: Vec<&str> =
            text.lines().filter(|line| line.starts_with(name)).collect();
        let same = got
            .iter()
            .zip(&expected)
            .take_while(|(got, expected)| got == expected)
            .count();
        let (got, all) = (got.len(), expected.len());
        partner.log(&format!(
            "of the {all} messages of a process {got} came out, the first {same} in order and unchanged"
        ));
        if got != all || same != all {
            return partner.wrong(
                "not all messages of a process came out once, unchanged and in order",
            );
        }
    }
    match text.lines().count() {
        90 => Ok(()),
        count => partner
            .wrong(&format!("{count} lines came out, and 90 messages went in")),
    }
}
