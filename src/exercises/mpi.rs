//! The exercises of the chapter mpi. Each stage is one world: the check starts `mpiexec`, and has
//! no partner.

use bare::Language;
use doctor::probes::needs;

use super::draw::joined;
use super::row::{Begin, Exercise, Kind, Player, Stage, Wrong, no_partner};
use super::scene::Scene;

/// The exercises.
pub(super) const ALL: &[Exercise] = &[PROBE, RING, BLOCKS];

const PROBE: Exercise = Exercise {
    name: "probe",
    title: "a rank that receives texts of any length",
    kind: Kind::Mend,
    minutes: 10,
    after: &[],
    task: include_str!("mpi/probe/task.md"),
    begin: Begin::Solution,
    places: &[],
    solutions: [
        Some(include_str!("mpi/probe/solution.rs")),
        Some(include_str!("mpi/probe/solution.c")),
        Some(include_str!("mpi/probe/solution.py")),
    ],
    reasons: "A message carries its length. MPI_Probe waits for it and leaves it where it is, \
              MPI_Get_count says how long it is, and MPI_Recv takes it with just that room. \
              The end is told by the tag: an empty text is a text.",
    hints: [
        "The length need not be known before: it comes with the message. MPI_Probe looks at a \
         message without taking it.",
        "MPI_Probe fills a status; MPI_Get_count reads the length from it, and status.MPI_TAG is \
         the tag.",
        "In C: MPI_Probe, MPI_Get_count, malloc, MPI_Recv with the tag of the status. In Rust \
         receive_vec does it all; in Python it is Probe, Get_count and Recv.",
    ],
    needs: Some(&needs::MPI),
    stages: &[
        Stage {
            name: "plain",
            about: "three texts of at most 16 bytes",
            players: |scene| {
                let mut lines = scene.draw().lines(3);
                lines.iter_mut().for_each(|line| line.truncate(16));
                texts(scene, lines)
            },
            partner: no_partner,
            hint: 1,
        },
        Stage {
            name: "empty",
            about: "an empty text between two others",
            players: |scene| {
                let mut lines = scene.draw().lines(3);
                lines[1].clear();
                texts(scene, lines)
            },
            partner: no_partner,
            hint: 2,
        },
        Stage {
            name: "long",
            about: "a text of 3,000 bytes before two others",
            players: |scene| {
                let mut draw = scene.draw();
                let mut lines = draw.lines(3);
                lines[0] = draw.line(3000);
                texts(scene, lines)
            },
            partner: no_partner,
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "prints no newline",
            stage: "plain",
            language: Language::Python,
            edits: &[("text + b\"\\n\"", "text")],
        },
        Wrong {
            what: "takes an empty text for the end",
            stage: "empty",
            language: Language::C,
            edits: &[("if (status.MPI_TAG == END)", "if (length == 0)")],
        },
        Wrong {
            what: "has room for 1,024 bytes",
            stage: "long",
            language: Language::C,
            edits: &[(
                "        MPI_Get_count(&status, MPI_CHAR, &length);\n",
                "        MPI_Get_count(&status, MPI_CHAR, &length);\n        if (length > 1024)\n            \
                 length = 1024;\n",
            )],
        },
    ],
};

const RING: Exercise = Exercise {
    name: "ring",
    title: "a ring of ranks, of whom all send and all receive",
    kind: Kind::Mend,
    minutes: 15,
    after: &["mpi/probe"],
    task: include_str!("mpi/ring/task.md"),
    begin: Begin::Solution,
    places: &[],
    solutions: [
        Some(include_str!("mpi/ring/solution.rs")),
        Some(include_str!("mpi/ring/solution.c")),
        Some(include_str!("mpi/ring/solution.py")),
    ],
    reasons: "MPI_Send may return before the message is received, and may not: a short message is \
              copied, a long one waits for its receiver. A program that needs the copy is wrong, \
              however often it works. MPI_Sendrecv does both at once; MPI_Irecv before MPI_Send \
              does, too. Taking turns by odd and even ranks fails where a rank sends to itself.",
    hints: [
        "Why does it work with few numbers? Read in MPI_Send(3) when the call may return.",
        "All ranks are in MPI_Send, and none is in MPI_Recv. One call does both: see \
         MPI_Sendrecv(3).",
        "MPI_Sendrecv takes the arguments of MPI_Send, then those of MPI_Recv. It also works for a \
         rank that sends to itself.",
    ],
    needs: Some(&needs::MPI),
    stages: &[
        Stage {
            name: "plain",
            about: "two ranks, and one number each",
            players: |scene| ring(scene, 2, 1),
            partner: no_partner,
            hint: 1,
        },
        Stage {
            name: "large",
            about: "two ranks, and 200,000 numbers each",
            players: |scene| ring(scene, 2, 200_000),
            partner: no_partner,
            hint: 2,
        },
        Stage {
            name: "three",
            about: "three ranks, and 200,000 numbers each",
            players: |scene| ring(scene, 3, 200_000),
            partner: no_partner,
            hint: 3,
        },
        Stage {
            name: "alone",
            about: "one rank, and 200,000 numbers: it sends to itself",
            players: |scene| ring(scene, 1, 200_000),
            partner: no_partner,
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "adds up its own numbers",
            stage: "plain",
            language: Language::C,
            edits: &[("sum += theirs[i]", "sum += mine[i]")],
        },
        Wrong {
            what: "uses MPI_Ssend, which never copies",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "world.Sendrecv([mine, MPI.UINT32_T], following, 0, [theirs, MPI.UINT32_T], before, 0)",
                "world.Ssend([mine, MPI.UINT32_T], following, 0)\n\
                 world.Recv([theirs, MPI.UINT32_T], before, 0)",
            )],
        },
        Wrong {
            what: "all send first",
            stage: "large",
            language: Language::Python,
            edits: &[(
                "world.Sendrecv([mine, MPI.UINT32_T], following, 0, [theirs, MPI.UINT32_T], before, 0)",
                "world.Send([mine, MPI.UINT32_T], following, 0)\n\
                 world.Recv([theirs, MPI.UINT32_T], before, 0)",
            )],
        },
        Wrong {
            what: "makes pairs of ranks",
            stage: "three",
            language: Language::C,
            edits: &[(
                "int next = (rank + 1) % ranks, before = (rank + ranks - 1) % ranks;",
                "int pair = rank ^ 1, next = pair < ranks ? pair : MPI_PROC_NULL, before = next;",
            )],
        },
        Wrong {
            what: "odd and even ranks take turns",
            stage: "alone",
            language: Language::Python,
            edits: &[(
                "world.Sendrecv([mine, MPI.UINT32_T], following, 0, [theirs, MPI.UINT32_T], before, 0)",
                "if rank % 2 == 1:\n    world.Recv([theirs, MPI.UINT32_T], before, 0)\n\
                 world.Send([mine, MPI.UINT32_T], following, 0)\n\
                 if rank % 2 == 0:\n    world.Recv([theirs, MPI.UINT32_T], before, 0)",
            )],
        },
    ],
};

const BLOCKS: Exercise = Exercise {
    name: "blocks",
    title: "blocks on their way, whose memory is left alone meanwhile",
    kind: Kind::Mend,
    minutes: 20,
    after: &["mpi/ring"],
    task: include_str!("mpi/blocks/task.md"),
    begin: Begin::Solution,
    places: &[],
    solutions: [
        Some(include_str!("mpi/blocks/solution.rs")),
        Some(include_str!("mpi/blocks/solution.c")),
        Some(include_str!("mpi/blocks/solution.py")),
    ],
    reasons: "MPI_Isend only starts a send: until MPI_Wait has returned, the memory belongs to the \
              library. A short message is copied at once, which hides the fault. Each block has \
              memory of its own until MPI_Waitall; in Rust the borrow checker asks for it.",
    hints: [
        "Rank 0 receives the numbers that are in the memory when it receives, and not those that \
         were there at the time of MPI_Isend.",
        "A block's memory may be written to again only once MPI_Wait of its request has \
         returned. Here that is behind the barrier, so no two blocks can share it.",
        "Make room for all blocks, fill each part and start its send, then the barrier, then \
         MPI_Waitall.",
    ],
    needs: Some(&needs::MPI),
    stages: &[
        Stage {
            name: "plain",
            about: "three blocks of one number",
            players: |scene| blocks(scene, 3, 1),
            partner: no_partner,
            hint: 3,
        },
        Stage {
            name: "large",
            about: "four blocks of 200,000 numbers",
            players: |scene| blocks(scene, 4, 200_000),
            partner: no_partner,
            hint: 1,
        },
        Stage {
            name: "many",
            about: "64 blocks of 20,000 numbers",
            players: |scene| blocks(scene, 64, 20_000),
            partner: no_partner,
            hint: 2,
        },
    ],
    wrong: &[
        Wrong {
            what: "sends the same number in each block",
            stage: "plain",
            language: Language::C,
            edits: &[("block[i] = first + b;", "block[i] = first;")],
        },
        Wrong {
            what: "uses the memory again at once",
            stage: "large",
            language: Language::C,
            edits: &[("numbers + (size_t)b * length;", "numbers;")],
        },
        Wrong {
            what: "waits for each send before the next",
            stage: "large",
            language: Language::Python,
            edits: &[(
                "world.Isend([block, MPI.UINT32_T], 0, 0))",
                "world.Isend([block, MPI.UINT32_T], 0, 0))\n        sends[-1].Wait()",
            )],
        },
        Wrong {
            what: "has memory for eight blocks",
            stage: "many",
            language: Language::C,
            edits: &[(
                "numbers + (size_t)b * length;",
                "numbers + (size_t)(b % 8) * length;",
            )],
        },
    ],
};

/// Two ranks: rank 1 sends these lines, and rank 0 prints them.
fn texts(scene: &Scene, lines: Vec<String>) -> Vec<Player> {
    let printed = joined(&lines);
    vec![Player::learner(scene, "texts", lines).ranks(2).prints(printed)]
}

/// A number that the learner cannot know. From it on there are numbers that wrap around.
fn first(scene: &Scene) -> u32 {
    u32::MAX - scene.draw().below(1000) as u32
}

fn ring(scene: &Scene, ranks: u32, count: u32) -> Vec<Player> {
    let first = first(scene);
    let sum = |rank: u32| -> u64 {
        let number = |i| u64::from(first.wrapping_add(rank).wrapping_add(i));
        (0..count).map(number).sum()
    };
    let sums =
        (0..ranks).map(|rank| format!("{}\n", sum((rank + ranks - 1) % ranks)));
    let words = [count.to_string(), first.to_string()];
    let world = Player::learner(scene, "ring", words).ranks(ranks);
    vec![world.prints(sums.collect::<String>())]
}

fn blocks(scene: &Scene, blocks: u32, length: u32) -> Vec<Player> {
    let first = first(scene);
    let sum = |b| u64::from(first.wrapping_add(b)) * u64::from(length);
    let sums = (0..blocks).map(|b| format!("{}\n", sum(b)));
    let words = [blocks, length, first].map(|number| number.to_string());
    let world = Player::learner(scene, "blocks", words).ranks(2);
    vec![world.prints(sums.collect::<String>())]
}
