//! Where a field lies: who decides it, and how the other side can tell.

use std::mem::offset_of;
use std::sync::atomic::Ordering::SeqCst;

use anyhow::{Context, Result, bail};

use super::Page;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::mutex::page;

pub(super) const FIELD_ORDER: Experiment = Experiment {
    name: "field-order",
    title: "The same three fields in Rust and in C",
    level: Level::Later,
    question: "A record has a `u8`, a `u64` and a `u8`, in this order. A Rust program \
               declares it as a struct without any attribute, and an array of two lies in \
               shared memory. A C program declares the same three fields in the same order. \
               How many bytes after the first record does each look for the second?",
    answers: &[
        right(
            "16 bytes in Rust, 24 bytes in C",
            "Without #[repr(C)] the Rust compiler may put the fields in any order, and it takes \
             one that needs less padding: the u64 first. Another release may do it otherwise.",
        ),
        wrong(
            "10 bytes in Rust, 10 bytes in C",
            "That is the sum of the fields, and what a packed struct has. A u64 must lie at a \
             multiple of its alignment, so there is padding.",
        ),
        wrong(
            "24 bytes in Rust, 24 bytes in C",
            "C must keep the order: 1, padding, 8, 1, padding. Rust need not, and does so only \
             with #[repr(C)].",
        ),
    ],
    kind: Kind::Kernel,
    run: field_order,
    moral: "Whatever two programs share has #[repr(C)], and numbers of a fixed size: u32 and \
            uint32_t, no usize, no long, no bool, no enum. Put the large fields first, and no \
            padding is left to forget.",
    see: "shm_overview(7)",
    file: file!(),
    shows: &["field-order-broken", "field-order-cured", "field-order"],
};

// ANCHOR: field-order-broken
struct AsItLikes {
    kind: u8,
    value: u64,
    last: u8,
}
// ANCHOR_END: field-order-broken

// ANCHOR: field-order-cured
#[repr(C)]
struct AsInC {
    kind: u8,
    value: u64,
    last: u8,
}
// ANCHOR_END: field-order-cured

// ANCHOR: field-order
fn field_order(stage: &Stage) -> Result<usize> {
    let memory = page().context("mmap")?;
    let offsets = [
        ("Rust", size_of::<AsItLikes>(), offset_of!(AsItLikes, kind), {
            (offset_of!(AsItLikes, value), offset_of!(AsItLikes, last))
        }),
        ("C", size_of::<AsInC>(), offset_of!(AsInC, kind), {
            (offset_of!(AsInC, value), offset_of!(AsInC, last))
        }),
    ];
    for (who, size, kind, (value, last)) in offsets {
        let text = format!("kind at {kind}, value at {value}, last at {last}");
        stage.event(who, format!("{text}, {size} bytes in all"));
    }
    let [(_, rust, _, (value, _)), (_, c, _, (expected, _))] = offsets;
    // The Rust program writes the second record; the C program reads its own place of it.
    let writer = stage.fork("Rust", |stage| {
        memory.u64(rust + value).store(17, SeqCst);
        stage.event("Rust", format!("stores 17 at {}", rust + value));
        Ok(())
    })?;
    writer.join()?;
    let found = memory.u64(c + expected).load(SeqCst);
    stage.event("C", format!("finds {found} at {}", c + expected));
    stage.saw("bytes in Rust and in C", vec![rust, c]);
    stage.saw("C finds what Rust has stored", found == 17);
    match (rust, c) {
        (16, 24) => Ok(1),
        (10, 10) => Ok(2),
        (24, 24) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: field-order

pub(super) const GROWN: Experiment = Experiment {
    name: "grown",
    title: "A new field, and a process that was not started again",
    level: Level::Deep,
    question: "Shared memory begins with a magic, then a length, then data. Version 2 of the \
               program has a new field, `flags`, between the magic and the length. It has made \
               the memory, with the same magic. A process that still runs version 1 maps it, \
               checks the magic, and reads the length. What does it get?",
    answers: &[
        wrong(
            "the length, found by its name",
            "Names end with the compiler. In memory a field is an offset, and version 1 was \
             compiled with another one.",
        ),
        right(
            "the flags, found by their place",
            "Version 1 loads the word behind the magic, whatever it is now. Nothing fails: a \
             mapping has no types.",
        ),
        wrong(
            "an error, found by the kernel",
            "The kernel maps pages. It knows neither fields nor versions, and the size in \
             pages is the same.",
        ),
    ],
    kind: Kind::Kernel,
    run: grown,
    moral: "Put a version and the size of the header behind the magic, and refuse what is not \
            yours, aloud. New fields come at the end; then an older reader, which knows the \
            smaller size, can still read the ones it knows.",
    see: "shm_overview(7)",
    file: file!(),
    shows: &["grown-broken", "grown-cured", "grown"],
};

const MAGIC: u32 = u32::from_le_bytes(*b"ring");

// ANCHOR: grown-broken
/// Version 1: the magic, the length.
fn by_magic(page: &Page) -> Option<u32> {
    (page.load(0) == MAGIC).then(|| page.load(1))
}
// ANCHOR_END: grown-broken

// ANCHOR: grown-cured
/// The magic, the version, the bytes of the header, and then the fields of this version.
fn by_version(page: &Page) -> Option<u32> {
    let is_ours = page.load(0) == MAGIC && page.load(1) == 1 && page.load(2) == 16;
    is_ours.then(|| page.load(3))
}
// ANCHOR_END: grown-cured

// ANCHOR: grown
fn grown(stage: &Stage) -> Result<usize> {
    const FLAGS: u32 = 0x8000_0001;
    const LENGTH: u32 = 64;
    type Read = fn(&Page) -> Option<u32>;
    let got = |what: &str, header: &[u32], read: Read| {
        let page = Page::new()?;
        let creator = stage.fork("version 2", |stage| {
            for (at, word) in header.iter().enumerate() {
                page.word(at).store(*word, SeqCst);
            }
            stage.event("version 2", what);
            Ok(())
        })?;
        creator.join()?;
        let read = read(&page);
        stage.event(
            "version 1",
            match read {
                Some(word) => format!("reads a length of {word:#x}"),
                None => "refuses it: not its version".to_owned(),
            },
        );
        anyhow::Ok(read)
    };
    let alone = got("magic, flags, length", &[MAGIC, FLAGS, LENGTH], by_magic)?;
    let versioned = [MAGIC, 2, 20, FLAGS, LENGTH];
    let with = got("magic, version, size, flags, length", &versioned, by_version)?;
    stage.saw("by the magic alone", alone);
    stage.saw("by magic, version and size", with);
    match alone {
        Some(LENGTH) => Ok(1),
        Some(FLAGS) => Ok(2),
        None => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: grown
