//! Parts of a file that grows, shown by a mapping.

use std::fs::File;
use std::io::Write;

use anyhow::{Context, Result};

use bare::{Language, MeetingPlace};
use wire::standard;

use super::super::partner::Partner;
use super::super::row::{Begin, Ends, Exercise, Kind, Player, Stage, Wrong};
use super::super::scene::Scene;

pub(super) const ROW: Exercise = Exercise {
    name: "extract",
    title: "parts of a mapped file, which grows meanwhile",
    kind: Kind::Write,
    minutes: 20,
    after: &["mmap/record"],
    task: include_str!("extract/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("extract/solution.rs")),
        Some(include_str!("extract/solution.c")),
        Some(include_str!("extract/solution.py")),
    ],
    reasons: "A mapping has the length that it was made with: when the file has grown, the new \
              bytes are not in it, and it is made anew. It must not be longer than the file: the \
              last page is filled with 0, and behind it lies SIGBUS. fstat tells the length \
              before each request.",
    hints: [
        "Map the whole file from offset 0: an offset that is given to mmap must be a multiple of \
         the page size.",
        "Does the mapping become longer when the file does? When do you learn that it has?",
        "Ask fstat for the length before each request, map anew if it has changed, and compare \
         offset + length with it.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "three parts of a file of 10,000 bytes",
            players,
            partner: ask,
            hint: 1,
        },
        Stage {
            name: "beyond",
            about: "a part that ends a byte behind the end",
            players,
            partner: ask,
            hint: 3,
        },
        Stage {
            name: "huge",
            about: "a part that begins far behind the end",
            players,
            partner: ask,
            hint: 3,
        },
        Stage {
            name: "grown",
            about: "the file grows to 30,000 bytes after the first request",
            players,
            partner: ask,
            hint: 2,
        },
    ],
    wrong: &[
        Wrong {
            what: "maps from the offset on",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "        os.write(1, memory[offset:offset + length])\n",
                "        memory = mmap.mmap(file, length, prot=mmap.PROT_READ, offset=offset)\n        \
                 os.write(1, memory[:])\n",
            )],
        },
        Wrong {
            what: "cuts the part at the end",
            stage: "beyond",
            language: Language::Python,
            edits: &[("offset + length > size", "offset > size")],
        },
        Wrong {
            what: "shows the rest of the last page",
            stage: "beyond",
            language: Language::C,
            edits: &[(
                "offset + length > size",
                "offset + length > (size + 4095) / 4096 * 4096",
            )],
        },
        Wrong {
            what: "takes what is far away for nothing",
            stage: "huge",
            language: Language::Python,
            edits: &[(
                "offset + length > size",
                "size < offset + length < 2 * size",
            )],
        },
        Wrong {
            what: "asks for the length once",
            stage: "grown",
            language: Language::Python,
            edits: &[(
                "        size = os.fstat(file).st_size\n",
                "        size = 10000\n",
            )],
        },
        Wrong {
            what: "maps once",
            stage: "grown",
            language: Language::Python,
            edits: &[(
                "        memory = mmap.mmap(file, size, prot=mmap.PROT_READ)\n",
                "        memory = globals().setdefault(\"kept\", mmap.mmap(file, size, prot=mmap.PROT_READ))\n",
            )],
        },
    ],
};

/// The bytes of the file at the end, and what is asked: offset and length.
fn asked(scene: &Scene) -> (Vec<u8>, Vec<(usize, usize)>) {
    let bytes = scene.draw().bytes(30_000);
    let parts = match scene.stage {
        "plain" => vec![(0, 10), (4090, 12), (9_900, 100)],
        "beyond" => vec![(5, 7), (9_991, 10)],
        "huge" => vec![(5, 7), (1 << 30, 10)],
        _ => vec![(9_000, 1_000), (9_990, 20), (29_000, 1_000)],
    };
    (bytes, parts)
}

fn players(scene: &Scene) -> Vec<Player> {
    let (bytes, parts) = asked(scene);
    let well = ["plain", "grown"].contains(&scene.stage);
    let shown: Vec<u8> = match well {
        true => parts
            .iter()
            .flat_map(|(at, length)| bytes[*at..at + length].to_vec())
            .collect(),
        false => bytes[5..12].to_vec(),
    };
    let learner = Player::learner(scene, "extract", [""; 0]).prints(shown);
    vec![
        Player::partner().piped(),
        learner.ends(if well { Ends::Well } else { Ends::Failing }),
    ]
}

/// Writes the requests: the first alone, for the file may grow then.
fn ask(partner: &mut Partner) -> Result<()> {
    let (bytes, parts) = asked(&partner.scene);
    let path = partner.scene.place();
    let mut file = File::create(&path).context("open")?;
    partner
        .call("writes 10,000 bytes to PLACE", file.write_all(&bytes[..10_000]))?;
    partner.until_opened(path.as_ref())?;
    let requests = standard::output()?;
    let request = |(at, length): &(usize, usize)| format!("{at} {length}\n");
    partner.write(requests, request(&parts[0]).as_bytes(), "")?;
    if partner.scene.stage == "grown" {
        let learner = partner.learner("extract")?;
        partner.until("a read", || {
            (rustix::io::ioctl_fionread(requests).ok()? == 0).then_some(())
        })?;
        partner.until_asleep(learner)?;
        partner.call("appends 20,000 bytes", file.write_all(&bytes[10_000..]))?;
    }
    let rest: String = parts[1..].iter().map(request).collect();
    partner.write(requests, rest.as_bytes(), "")?;
    let closed = rustix::stdio::dup2_stdout(&file);
    partner.call("close(): the end of the requests", closed)?;
    partner.until_all_have_ended()?;
    partner.call("unlink(PLACE)", std::fs::remove_file(&path))
}
