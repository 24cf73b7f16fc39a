//! An eventfd of the partner's is read until its connection ends.

use anyhow::Result;
use nix::sys::eventfd::EfdFlags;

use bare::{Language, MeetingPlace};

use super::super::partner::Partner;
use super::super::row::{Begin, Exercise, Kind, NOTHING, Player, Stage, Wrong};
use super::super::scene::Scene;
use super::{add, end_at_once, give, made, until_taken};

pub(super) const ROW: Exercise = Exercise {
    name: "reader",
    title: "a program that an eventfd wakes, until its connection ends",
    kind: Kind::Write,
    minutes: 20,
    after: &[],
    task: include_str!("reader/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("reader/solution.rs")),
        Some(include_str!("reader/solution.c")),
        Some(include_str!("reader/solution.py")),
    ],
    reasons: "An eventfd has no end of file, so a read of it alone would sleep for ever. poll waits \
              for both: the number, and the end of the connection. When both are ready the number \
              comes first: the end says that nothing more will be written, not that all has been \
              read. A read takes what there is; whether there is more, the next poll says.",
    hints: [
        "poll(2) waits for the eventfd and for the connection. The number is read into 8 bytes.",
        "The number is unsigned: uint64_t and %ju in C, u64 in Rust, \"Q\" in Python's struct.",
        "When poll reports both, read the number. End only when it reports the connection alone.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "it sleeps; then two numbers, the second when the first is read",
            players,
            partner: |partner| write_each(partner, EfdFlags::empty()),
            hint: 1,
        },
        Stage {
            name: "sum",
            about: "three numbers were written before your program came",
            players,
            partner: |partner| {
                let event = made(partner, EfdFlags::empty())?;
                for number in drawn(&partner.scene) {
                    add(partner, &event, number)?;
                }
                let _connection = give(partner, &event)?;
                until_taken(partner, &event)
            },
            hint: 1,
        },
        Stage {
            name: "one",
            about: "an eventfd that was made with EFD_SEMAPHORE",
            players,
            partner: |partner| write_each(partner, EfdFlags::EFD_SEMAPHORE),
            hint: 3,
        },
        Stage {
            name: "large",
            about: "the largest number that there is",
            players,
            partner: |partner| write_each(partner, EfdFlags::empty()),
            hint: 2,
        },
        Stage {
            name: "end",
            about: "the last number and the end come at the same time",
            players,
            partner: |partner| {
                let event = made(partner, EfdFlags::empty())?;
                let connection = give(partner, &event)?;
                let last = drawn(&partner.scene)[0];
                end_at_once(partner, "reader", &event, last, connection)
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "reads the eventfd alone, to its end",
            stage: "plain",
            language: Language::Python,
            edits: &[("    poll.register(sock, select.POLLIN)\n", "")],
        },
        Wrong {
            what: "throws away what was there before",
            stage: "sum",
            language: Language::Python,
            edits: &[(
                "    poll = select.poll()\n",
                "    if select.select([event], [], [], 0)[0]:\n        os.read(event, 8)\n    poll = select.poll()\n",
            )],
        },
        Wrong {
            what: "is told of each write once, and reads once",
            stage: "one",
            language: Language::Python,
            edits: &[
                ("    poll = select.poll()\n", "    poll = select.epoll()\n"),
                (
                    "    poll.register(event, select.POLLIN)\n",
                    "    poll.register(event, select.EPOLLIN | select.EPOLLET)\n",
                ),
                (
                    "    poll.register(sock, select.POLLIN)\n",
                    "    poll.register(sock, select.EPOLLIN)\n",
                ),
            ],
        },
        Wrong {
            what: "takes the number for a signed one",
            stage: "large",
            language: Language::Python,
            edits: &[("struct.unpack(\"Q\"", "struct.unpack(\"q\"")],
        },
        Wrong {
            what: "looks again and again",
            stage: "plain",
            language: Language::Python,
            edits: &[("dict(poll.poll())", "dict(poll.poll(0))")],
        },
        Wrong {
            what: "ends before it has read the last number",
            stage: "end",
            language: Language::Python,
            edits: &[(
                "        if event in ready:\n",
                "        if event in ready and sock.fileno() not in ready:\n",
            )],
        },
    ],
};

/// The numbers that are written.
fn drawn(scene: &Scene) -> Vec<u64> {
    let mut draw = scene.draw();
    let mut number = || 1 + draw.below(1000) as u64;
    match scene.stage {
        "one" => vec![3],
        "large" => vec![u64::MAX - 1],
        "sum" => vec![number(), number(), number()],
        "end" => vec![number()],
        _ => vec![number(), number()],
    }
}

fn players(scene: &Scene) -> Vec<Player> {
    let written = drawn(scene);
    let read = match scene.stage {
        "sum" => vec![written.iter().sum()],
        "one" => vec![1; written[0] as usize],
        _ => written,
    };
    let printed: String = read.iter().map(|number| format!("{number}\n")).collect();
    let learner = Player::learner(scene, "reader", NOTHING).prints(printed);
    vec![Player::partner(), learner]
}

/// Passes an eventfd, and writes each number when the one before it is taken.
fn write_each(partner: &mut Partner, flags: EfdFlags) -> Result<()> {
    let event = made(partner, flags)?;
    let _connection = give(partner, &event)?;
    partner.must_sleep("reader")?;
    for number in drawn(&partner.scene) {
        add(partner, &event, number)?;
        until_taken(partner, &event)?;
    }
    Ok(())
}
