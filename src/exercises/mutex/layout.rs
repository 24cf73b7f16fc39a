//! A table in shared memory that another program has made, perhaps a later version of it.

use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};

use bare::{Language, MeetingPlace};

use super::super::partner::Partner;
use super::super::row::{
    Begin, Ends, Exercise, Kind, NOTHING, Player, Stage, Wrong,
};
use super::super::scene::Scene;
use super::super::shm::remove;
use super::make;

pub(super) const ROW: Exercise = Exercise {
    name: "layout",
    title: "a reader of shared memory that trusts neither version nor numbers",
    kind: Kind::Mend,
    minutes: 20,
    after: &[],
    task: include_str!("layout/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Name],
    solutions: [
        Some(include_str!("layout/solution.rs")),
        Some(include_str!("layout/solution.c")),
        Some(include_str!("layout/solution.py")),
    ],
    reasons: "A field is an offset, and the compiler of each side decides which: the same \
              declaration in C and in Rust needs #[repr(C)], Python's struct needs `@` or the \
              padding by hand. The size in the header lets an old reader skip what it does not \
              know. The one number that nobody else can store is the object's own length: all \
              others are compared with it, and by a division, since a product can wrap.",
    hints: [
        "A struct's second field begins where its alignment allows: offsetof(struct entry, \
         value) is 4.",
        "The entries begin `size` bytes behind the beginning, whatever this version has there.",
        "fstat(2) says how long the object is. The header must fit, then size, then count: \
         compare count with (length - size) / 8, and multiply nothing.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "a table of version 1",
            players: whole,
            partner: |partner| table(partner, &[1, 16, 3], &entries(&partner.scene)),
            hint: 1,
        },
        Stage {
            name: "newer",
            about: "a table of version 3, whose header has 28 bytes",
            players: whole,
            partner: |partner| {
                let header = [3, 28, 3, 0x0101_0101, 7, u32::MAX];
                table(partner, &header, &entries(&partner.scene))
            },
            hint: 2,
        },
        Stage {
            name: "magic",
            about: "an object that is no table",
            players: refused,
            partner: |partner| {
                let mut bytes = bytes_of(&[1, 16, 3], &entries(&partner.scene));
                bytes[..4].copy_from_slice(b"ring");
                object(partner, &bytes)
            },
            hint: 2,
        },
        Stage {
            name: "short",
            about: "the object ends in the middle of the header",
            players: refused,
            partner: |partner| object(partner, &bytes_of(&[1], &[])),
            hint: 3,
        },
        Stage {
            name: "size",
            about: "a header that would be smaller than that of version 1",
            players: refused,
            partner: |partner| table(partner, &[1, 8, 3], &entries(&partner.scene)),
            hint: 3,
        },
        Stage {
            name: "beyond",
            about: "a header that would be longer than the object",
            players: refused,
            partner: |partner| {
                table(partner, &[1, 1 << 30, 3], &entries(&partner.scene))
            },
            hint: 3,
        },
        Stage {
            name: "count",
            about: "one entry more than the object has",
            players: refused,
            partner: |partner| table(partner, &[1, 16, 4], &entries(&partner.scene)),
            hint: 3,
        },
        Stage {
            name: "wraps",
            about: "a number of entries that is small once it is multiplied",
            players: refused,
            partner: |partner| {
                table(partner, &[1, 16, 0x2000_0001], &entries(&partner.scene))
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "packs without padding",
            stage: "plain",
            language: Language::Python,
            edits: &[("\"@B3xI\"", "\"=BI\"")],
        },
        Wrong {
            what: "knows one size of the header",
            stage: "newer",
            language: Language::Python,
            edits: &[(
                "    if size < HEADER.size",
                "    size = HEADER.size\n    if size < HEADER.size",
            )],
        },
        Wrong {
            what: "does not look at the magic",
            stage: "magic",
            language: Language::Python,
            edits: &[("magic != b\"tabl\" or version == 0", "version == 0")],
        },
        Wrong {
            what: "takes what is behind the end for zeros",
            stage: "short",
            language: Language::C,
            edits: &[
                ("if (length < sizeof(struct header))", "if (length == 0)"),
                ("size < sizeof header || size > length", "0"),
            ],
        },
        Wrong {
            what: "believes a small header",
            stage: "size",
            language: Language::Python,
            edits: &[("size < HEADER.size or size > length", "size > length")],
        },
        Wrong {
            what: "believes a long header",
            stage: "beyond",
            language: Language::C,
            edits: &[(
                "size < sizeof header || size > length",
                "size < sizeof header",
            )],
        },
        Wrong {
            what: "believes the count",
            stage: "count",
            language: Language::C,
            edits: &[(
                "header.count > (length - size) / sizeof(struct entry)",
                "header.count > 1 << 20",
            )],
        },
        Wrong {
            what: "multiplies in 32 bits",
            stage: "wraps",
            language: Language::C,
            edits: &[
                (
                    "header.count > (length - size) / sizeof(struct entry)",
                    "(uint32_t)(size + header.count * 8) > length",
                ),
                // Not all of them: how far the memory reaches is chance.
                ("i < header.count;", "i < header.count % 8;"),
            ],
        },
    ],
};

/// Three entries: the kind, and the value.
fn entries(scene: &Scene) -> Vec<(u8, u32)> {
    let mut draw = scene.draw();
    let mut entry = || (draw.below(256) as u8, draw.below(1 << 32) as u32);
    vec![entry(), entry(), entry()]
}

/// The learner's program, whose table is whole.
fn whole(scene: &Scene) -> Vec<Player> {
    let lines = entries(scene).into_iter();
    let lines: String =
        lines.map(|(kind, value)| format!("{kind} {value}\n")).collect();
    vec![Player::partner(), Player::learner(scene, "show", NOTHING).prints(lines)]
}

/// The learner's program, whose object is no table that can be.
fn refused(scene: &Scene) -> Vec<Player> {
    let show = Player::learner(scene, "show", NOTHING);
    vec![Player::partner(), show.prints("").ends(Ends::Failing)]
}

/// The magic, then the other words of the header, then the entries as a C compiler lays them out.
fn bytes_of(header: &[u32], entries: &[(u8, u32)]) -> Vec<u8> {
    let mut bytes = b"tabl".to_vec();
    bytes.extend(header.iter().flat_map(|word| word.to_ne_bytes()));
    for (kind, value) in entries {
        bytes.extend([*kind, 0xee, 0xee, 0xee]); // padding holds anything
        bytes.extend(value.to_ne_bytes());
    }
    bytes
}

fn table(partner: &Partner, header: &[u32], entries: &[(u8, u32)]) -> Result<()> {
    let [version, size, count, ..] = header else { unreachable!("a header") };
    partner.log(&format!("a table: version {version}, size {size}, count {count}"));
    object(partner, &bytes_of(header, entries))
}

/// The object holds these bytes until the learner's program has ended.
fn object(partner: &Partner, bytes: &[u8]) -> Result<()> {
    let object = make(partner, bytes.len() as u64)?.context("the name is taken")?;
    partner.call("stores the table", object.write_all_at(bytes, 0))?;
    partner.until_all_have_ended()?;
    remove(partner)
}
