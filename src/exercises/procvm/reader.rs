//! Bytes out of the partner's memory.

use rustix::mm::MapFlags;

use anyhow::{Context, Result};
use bare::{Language, MeetingPlace};

use super::super::partner::Partner;
use super::super::row::{
    Begin, Ends, Exercise, Kind, NOTHING, Player, Stage, Wrong,
};
use super::super::scene::Scene;
use super::{publish, withdraw};
use os::mmap::{PAGE, Pages};

pub(super) const ROW: Exercise = Exercise {
    name: "reader",
    title: "a program that prints another process's memory",
    kind: Kind::Write,
    minutes: 10,
    after: &[],
    task: include_str!("reader/task.md"),
    begin: Begin::Solution,
    places: &[MeetingPlace::Path],
    solutions: [
        Some(include_str!("reader/solution.rs")),
        Some(include_str!("reader/solution.c")),
        Some(include_str!("reader/solution.py")),
    ],
    reasons: "One list says where the bytes are, in the other process, and one where they go. The \
              call returns how many it has copied: up to the first page that cannot be read. Only \
              where there is not one byte is it an error. So the count is compared with what was \
              asked for, and no more than that is printed.",
    hints: [
        "One struct iovec for here, one for there. The flags are 0.",
        "The address is hexadecimal. Bytes are no string: a zero byte ends nothing.",
        "Look at what the call returns: -1, fewer than you asked for, or all.",
    ],
    needs: None,
    stages: &[
        Stage {
            name: "plain",
            about: "a line of letters",
            players,
            partner: give,
            hint: 1,
        },
        Stage {
            name: "bytes",
            about: "200,000 bytes of any value",
            players,
            partner: give,
            hint: 2,
        },
        Stage {
            name: "short",
            about: "the second of two pages is not there",
            players,
            partner: |partner| {
                let pages = page(&partner.scene)?;
                let pid = std::process::id();
                let line = format!("{pid} {:x} {}", pages.address(), 2 * PAGE);
                publish(partner, &line)?;
                partner.until_all_have_ended()?;
                withdraw(partner)
            },
            hint: 3,
        },
        Stage {
            name: "nothing",
            about: "nothing is at the address",
            players,
            partner: |partner| {
                let pages = page(&partner.scene)?;
                let (pid, behind) = (std::process::id(), pages.address() + PAGE);
                publish(partner, &format!("{pid} {behind:x} 8"))?;
                partner.until_all_have_ended()?;
                withdraw(partner)
            },
            hint: 3,
        },
    ],
    wrong: &[
        Wrong {
            what: "takes the address for a decimal number",
            stage: "plain",
            language: Language::Python,
            edits: &[(
                "int(address, 16)",
                "int(\"\".join(filter(str.isdigit, address)))",
            )],
        },
        Wrong {
            what: "takes the bytes for a string",
            stage: "bytes",
            language: Language::Python,
            edits: &[("room[:n]", "room[:n].split(b\"\\0\")[0]")],
        },
        Wrong {
            what: "prints what its buffer had",
            stage: "short",
            language: Language::Python,
            edits: &[("room[:n]", "room")],
        },
        Wrong {
            what: "takes a short count for all",
            stage: "short",
            language: Language::Python,
            edits: &[("    if n < int(length):", "    if n < 0:")],
        },
        Wrong {
            what: "prints nothing unless all is there",
            stage: "short",
            language: Language::Python,
            edits: &[(
                "    sys.stdout.buffer.write(room[:n])",
                "    if n == int(length):\n        sys.stdout.buffer.write(room[:n])",
            )],
        },
        Wrong {
            what: "takes an error for the end",
            stage: "nothing",
            language: Language::Python,
            edits: &[(
                "        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))\n",
                "        sys.exit(0)\n",
            )],
        },
    ],
};

/// What is in the partner's memory.
fn drawn(scene: &Scene) -> Vec<u8> {
    let mut draw = scene.draw();
    match scene.stage {
        "bytes" => draw.bytes(200_000),
        "short" => draw.line(PAGE).into_bytes(),
        "nothing" => Vec::new(),
        _ => draw.line(30).into_bytes(),
    }
}

fn players(scene: &Scene) -> Vec<Player> {
    let learner = Player::learner(scene, "reader", NOTHING).prints(drawn(scene));
    let fails = matches!(scene.stage, "short" | "nothing");
    let learner = if fails { learner.ends(Ends::Failing) } else { learner };
    vec![Player::partner(), learner]
}

fn give(partner: &mut Partner) -> Result<()> {
    let bytes = drawn(&partner.scene);
    let (pid, address) = (std::process::id(), bytes.as_ptr().expose_provenance());
    publish(partner, &format!("{pid} {address:x} {}", bytes.len()))?;
    partner.until_all_have_ended()?;
    withdraw(partner)
}

/// A page with what is drawn, and nothing behind it.
fn page(scene: &Scene) -> Result<Pages> {
    let pages = Pages::map(None, PAGE, MapFlags::PRIVATE).context("mmap")?;
    for (at, byte) in drawn(scene).into_iter().enumerate() {
        pages.store(at, byte);
    }
    Ok(pages)
}
