//! The end of the file, the end of the mapping, and the page between them.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, bail};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::Signal;
use rustix::mm::{MapFlags, MsyncFlags};

use super::{file_with, map_shared};
use crate::fault::{attempt, shown};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use doctor::probes::needs;
use os::mmap::{PAGE, Pages};

pub(super) const PAST_THE_END: Experiment = Experiment {
    name: "past-the-end",
    title: "A mapping that is longer than the file",
    level: Level::First,
    question: "A file has 5000 bytes, all `x`. A program maps 12,288 bytes of it, which is \
               three pages of 4096, and loads one byte after the other. Which is the first \
               that it does not get?",
    answers: &[
        wrong(
            "byte 0, by an error of mmap",
            "mmap does not compare the length with the size of the file, which can grow \
             later.",
        ),
        wrong(
            "byte 5000, by a SIGBUS",
            "The hardware protects pages, not bytes. Byte 5000 is in a page that has bytes \
             of the file in it.",
        ),
        right(
            "byte 8192, by a SIGBUS",
            "Up to 8191 it is the file's last page, and what is past the end in it is 0. The \
             third page is mapped, but the file has nothing for it.",
        ),
        wrong(
            "byte 12,288, by a SIGSEGV",
            "That is the end of the mapping. The file ends before it.",
        ),
    ],
    kind: Kind::Kernel,
    run: past_the_end,
    moral: "SIGBUS: mapped, but nothing behind it. SIGSEGV: not mapped, or not for this kind \
            of access. And a bug of up to 4095 bytes past the end is neither.",
    see: "mmap(2)",
    file: file!(),
    shows: &["past-the-end"],
};

// ANCHOR: past-the-end
fn past_the_end(stage: &Stage) -> Result<usize> {
    let file = file_with(stage, "file", &[b'x'; 5000])?;
    let mapped = map_shared(&file, 3 * PAGE);
    stage.call("mmap(12288 bytes, MAP_SHARED)", &mapped);
    let Ok(pages) = mapped else { return Ok(1) };
    let mut first_lost = None;
    for at in [4999, 5000, 8191, 8192, 12_288] {
        let load = format!("loads byte {at}");
        let got = attempt(stage, "reader", &load, || pages.load(at))?;
        stage.saw(&format!("byte {at}"), shown(got));
        if got.is_err() {
            first_lost = first_lost.or(Some(at));
        }
    }
    match first_lost {
        Some(5000) => Ok(2),
        Some(8192) => Ok(3),
        Some(12_288) => Ok(4),
        other => bail!("the first that was lost: {other:?}"),
    }
}
// ANCHOR_END: past-the-end

pub(super) const PAST_THE_MAP: Experiment = Experiment {
    name: "past-the-map",
    title: "A mapping that is shorter than the file",
    level: Level::Later,
    question: "A file has 12,288 bytes, all `x`. A program maps only 5000 bytes of it, and \
               loads byte 5000, the first that it did not ask for. What does it get?",
    answers: &[
        right(
            "an `x`, and no signal",
            "The length is rounded up to whole pages, so bytes 5000 to 8191 are the file's, \
             for loads and stores alike. From 8192 on it is SIGSEGV.",
        ),
        wrong(
            "SIGSEGV, and no byte",
            "The mapping is in pages. 5000 bytes are two pages, and all of both is mapped.",
        ),
        wrong(
            "SIGBUS, and no byte",
            "SIGBUS comes where the file has nothing. This file goes on.",
        ),
        wrong(
            "a zero, and no signal",
            "Zeros fill the last page of the *file*. This page is in the middle of it.",
        ),
    ],
    kind: Kind::Kernel,
    run: past_the_map,
    moral: "The length of a mapping protects nobody: a store a little past it goes into the \
            file. Check every index against the length that you meant.",
    see: "mmap(2)",
    file: file!(),
    shows: &["past-the-map"],
};

// ANCHOR: past-the-map
fn past_the_map(stage: &Stage) -> Result<usize> {
    let file = file_with(stage, "file", &[b'x'; 3 * PAGE])?;
    let mapped = map_shared(&file, 5000);
    stage.call("mmap(5000 bytes, MAP_SHARED)", &mapped);
    let pages = mapped.context("mmap")?;
    let mut got = Vec::new();
    for at in [5000, 8191, 8192] {
        let load = format!("loads byte {at}");
        got.push(attempt(stage, "reader", &load, || pages.load(at))?);
        stage.saw(&format!("byte {at}"), shown(got[got.len() - 1]));
    }
    let store = || {
        pages.store(6000, b'!');
        b'!'
    };
    let stored = attempt(stage, "writer", "stores at byte 6000", store)?;
    stage.saw("a store at 6000", shown(stored));
    let mut byte = [0];
    file.read_exact_at(&mut byte, 6000).context("read")?;
    stage.saw("the file's byte 6000 then", shown(Ok(byte[0])));
    Ok(match got[0] {
        Err(Signal::SIGBUS) => 3,
        Err(_) => 2,
        Ok(b'x') => 1,
        Ok(_) => 4,
    })
}
// ANCHOR_END: past-the-map

pub(super) const TAIL_BYTES: Experiment = Experiment {
    name: "tail-bytes",
    title: "A store past the end of the file",
    level: Level::Later,
    question: "A file on a disk has 5000 bytes. A program maps it, stores `X` at 6000, in \
               its last page, and has it written to the disk by msync(2) with MS_SYNC. It \
               asks for the size, and makes it 8192. What was it, and what does read(2) find \
               at 6000?",
    answers: &[
        wrong(
            "5000, and then the `X`",
            "Only the file's bytes are written. Linux fills the rest of the page with zeros \
             when it writes it.",
        ),
        right(
            "5000, and then a zero",
            "The store went into the page, and no further. mmap(2) says so: changes past the \
             end are not written out to the file.",
        ),
        wrong(
            "8192, and then a zero",
            "No store makes a file longer, not even to the end of its last page. write(2) \
             and ftruncate(2) do.",
        ),
        wrong(
            "6001, and then the `X`",
            "No store makes a file longer. And what is stored past its end is not kept.",
        ),
    ],
    kind: Kind::Needs(&needs::ON_A_DISK),
    run: tail_bytes,
    moral: "ftruncate first, then map and store. And count on nothing past the end: it is \
            neither kept nor, on every file system, cleared.",
    see: "mmap(2), msync(2)",
    file: file!(),
    shows: &["tail-bytes"],
};

// ANCHOR: tail-bytes
/// What is at 6000 in the end, and the size that the file had after the store.
fn store_past_the_end(file: &File) -> Result<(u8, u64)> {
    file.set_len(5000).context("ftruncate")?;
    let pages = map_shared(file, 5000).context("mmap")?;
    pages.store(6000, b'X');
    pages.msync(MsyncFlags::SYNC).context("msync")?;
    let size = file.metadata().context("fstat")?.len();
    file.set_len(8192).context("ftruncate")?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, 6000).context("read")?;
    Ok((byte[0], size))
}

fn tail_bytes(stage: &Stage) -> Result<usize> {
    stage.needs(&needs::ON_A_DISK)?;
    let file = file_with(stage, "file", b"")?;
    let writer = stage.fork("writer", |_| store_past_the_end(&file))?;
    let (byte, size) = writer.join()?;
    stage.event("writer", "stores at 6000, msync(MS_SYNC)");
    stage.call("fstat(): st_size after that", &size);
    stage.call("ftruncate(8192), then read() at 6000", &shown(Ok(byte)));
    stage.saw("size after the store", size);
    stage.saw("at 6000", byte);
    let in_memory = memfd_create("memory", MFdFlags::MFD_CLOEXEC);
    let (other, _) =
        store_past_the_end(&File::from(in_memory.context("memfd_create")?))?;
    stage.note(match other {
        0 => "the same in a memory file (memfd, /dev/shm) gives 0 too.".to_owned(),
        _ => format!(
            "the same in a memory file (memfd, /dev/shm) gives {}: there the page itself \
             is the file, and nothing clears it.",
            shown(Ok(other))
        ),
    });
    Ok(match (byte, size) {
        (0, 5000) => 2,
        (_, 5000) => 1,
        (0, _) => 3,
        _ => 4,
    })
}
// ANCHOR_END: tail-bytes

pub(super) const GROWING: Experiment = Experiment {
    name: "growing",
    title: "A file that grows under its mapping",
    level: Level::Later,
    question: "You may have read that a file can grow into a longer mapping. A file has 4096 \
               bytes. A maps 8192 bytes of it, B maps 4096. Then the file gets 8192 bytes, \
               with `y` at 4096. What do A and B find there, on Linux?",
    answers: &[
        wrong(
            "A gets `y`, B gets `y`",
            "A mapping follows the contents of its file. How much of the file it covers was \
             fixed by mmap, so B's ends at 4096.",
        ),
        wrong(
            "A gets SIGBUS, B gets SIGSEGV",
            "A got SIGBUS before the file grew. The size is checked when a page is first \
             accessed, not by mmap.",
        ),
        right(
            "A gets `y`, B gets SIGSEGV",
            "A's mapping covered byte 4096 already, and now the file has one. B's does not: \
             B has to map again, or call mremap(2).",
        ),
        wrong(
            "A gets zero, B gets SIGSEGV",
            "There is one page, in the kernel's cache of the file, and A gets that.",
        ),
    ],
    kind: Kind::Kernel,
    run: growing,
    moral: "On Linux a program can map more than there is, and let the file grow into it: \
            address space is cheap. mmap(2) calls the effect of a new size unspecified, so \
            elsewhere map again.",
    see: "mmap(2), mremap(2), ftruncate(2)",
    file: file!(),
    shows: &["growing"],
};

// ANCHOR: growing
fn growing(stage: &Stage) -> Result<usize> {
    let file = file_with(stage, "file", &[b'x'; PAGE])?;
    let map = |length| {
        Pages::map(Some(file.as_fd()), length, MapFlags::SHARED).context("mmap")
    };
    let (of_a, of_b) = (map(2 * PAGE)?, map(PAGE)?);
    let load = "loads byte 4096";
    let before = attempt(stage, "A", load, || of_a.load(PAGE))?;
    stage.saw("A, before", shown(before));
    file.write_all_at(&[b'y'; PAGE], PAGE as u64).context("write")?;
    stage.event("main", "writes 4096 bytes more to the file");
    let a = attempt(stage, "A", load, || of_a.load(PAGE))?;
    let b = attempt(stage, "B", load, || of_b.load(PAGE))?;
    stage.saw("A, after", shown(a));
    stage.saw("B, after", shown(b));
    Ok(match (a, b) {
        (Ok(b'y'), Ok(_)) => 1,
        (Ok(b'y'), Err(_)) => 3,
        (Err(_), _) => 2,
        (Ok(_), _) => 4,
    })
}
// ANCHOR_END: growing
