//! Which process sees what was stored.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};
use memmap2::MmapMut;
use rustix::mm::MapFlags;

use super::{file_with, map_shared};
use crate::fault::shown;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::mmap::{PAGE, Pages};

pub(super) const READ_AND_MAP: Experiment = Experiment {
    name: "read-and-map",
    title: "One maps the file, the other reads it",
    level: Level::First,
    question: "A has mapped a file MAP_SHARED and stores `n` over the `o` in it. You may \
               have read that on Linux others see this without msync(2) or munmap(2) by A. B \
               calls read(2) on the file. What does it get?",
    answers: &[
        wrong(
            "`o`, until A calls msync(2)",
            "POSIX leaves it open. On Linux msync is about the disk, not about other \
             processes.",
        ),
        right(
            "`n`, with no call by A at all",
            "The mapping *is* the kernel's cache of the file, and read and write use the \
             same pages. There is no second copy that could be old. In the same way A sees \
             what B writes.",
        ),
        wrong(
            "`o`, until A calls munmap(2)",
            "Nothing is copied back when a mapping goes: there is nothing to copy.",
        ),
    ],
    kind: Kind::Kernel,
    run: read_and_map,
    moral: "On Linux, map and read as you like: it is one file. But nothing orders a read \
            after a store for you, and a read of many bytes can see half of a change.",
    see: "msync(2), mmap(2)",
    file: file!(),
    shows: &["read-and-map"],
};

// ANCHOR: read-and-map
fn read_and_map(stage: &Stage) -> Result<usize> {
    let file = file_with(stage, "file", b"o")?;
    let of_a = map_shared(&file, 1).context("mmap")?;
    of_a.store(0, b'n');
    stage.event("A", "stores 'n' at 0 of its mapping");
    let b = stage.fork("B", |stage| {
        let mut byte = [0];
        let mut options = File::options();
        let file = options.read(true).write(true).open(stage.path("file"))?;
        file.read_exact_at(&mut byte, 0)?;
        stage.call("read(1 byte)", &shown(Ok(byte[0])));
        let written = file.write_at(b"w", 0);
        stage.call("write(\"w\")", &written);
        Ok(byte[0])
    })?;
    let read = b.join()?;
    let loaded = of_a.load(0);
    stage.event("A", format!("loads byte 0: {}", shown(Ok(loaded))));
    stage.saw("B read", shown(Ok(read)));
    stage.saw("A loaded after B's write", shown(Ok(loaded)));
    if read == b'n' {
        return Ok(2);
    }
    drop(of_a);
    let mut byte = [0];
    file.read_exact_at(&mut byte, 0).context("read")?;
    Ok(if byte == *b"n" { 3 } else { 1 })
}
// ANCHOR_END: read-and-map

pub(super) const PRIVATE: Experiment = Experiment {
    name: "private",
    title: "MAP_PRIVATE, and the file changes",
    level: Level::First,
    question: "MAP_PRIVATE keeps a process's stores out of the file. A file has two pages of \
               `a`. P maps it this way, loads a byte of each, and stores `p` at byte 0. \
               Another process fills it with `b`. What does P find, on Linux, in byte 1 of \
               each page?",
    answers: &[
        right(
            "`a` in the first, `b` in the second",
            "P's store has made a copy of the first page, which stays as it was. The second \
             is still the file's own page, although P has loaded from it.",
        ),
        wrong(
            "`a` in the first, `a` in the second",
            "mmap copies nothing. A page is copied when P first stores in it, and that was \
             only the first.",
        ),
        wrong(
            "`b` in the first, `b` in the second",
            "The copy that P's store made is of the whole page, not of one byte.",
        ),
    ],
    kind: Kind::Kernel,
    run: private,
    moral: "MAP_PRIVATE keeps your stores from others, and not theirs from you: on Linux you \
            see them until you store in the page, and mmap(2) calls it unspecified. For a \
            snapshot read the file, or map one that is replaced by rename and never written \
            in place.",
    see: "mmap(2)",
    file: file!(),
    shows: &["private"],
};

// ANCHOR: private
fn private(stage: &Stage) -> Result<usize> {
    let file = file_with(stage, "file", &[b'a'; 2 * PAGE])?;
    let pages = Pages::map(Some(file.as_fd()), 2 * PAGE, MapFlags::PRIVATE);
    stage.call("mmap(8192 bytes, MAP_PRIVATE)", &pages);
    let pages = pages.context("mmap")?;
    let had = [pages.load(1), pages.load(PAGE + 1)];
    stage.event(
        "P",
        format!("loads {} and {}", shown(Ok(had[0])), shown(Ok(had[1]))),
    );
    pages.store(0, b'p');
    stage.event("P", "stores 'p' at 0");
    let writer = stage.fork("writer", |stage| {
        let written = file.write_at(&[b'b'; 2 * PAGE], 0);
        stage.call("write(8192 times \"b\")", &written);
        Ok(())
    })?;
    writer.join()?;
    let got = [pages.load(1), pages.load(PAGE + 1)];
    stage.event(
        "P",
        format!("loads {} and {}", shown(Ok(got[0])), shown(Ok(got[1]))),
    );
    let mut byte = [0];
    file.read_exact_at(&mut byte, 0).context("read")?;
    stage.saw("in the page that P has stored in", shown(Ok(got[0])));
    stage.saw("in the page that P has only loaded from", shown(Ok(got[1])));
    stage.saw("the file's first byte", shown(Ok(byte[0])));
    Ok(match &got {
        b"aa" => 2,
        b"ab" => 1,
        _ => 3,
    })
}
// ANCHOR_END: private

pub(super) const ANONYMOUS: Experiment = Experiment {
    name: "anonymous",
    title: "Memory without a file, and fork",
    level: Level::Later,
    question: "A program gets memory without a file in three ways: (a) before fork, \
               MmapMut::map_anon of the crate memmap2; (b) before fork, mmap with MAP_SHARED \
               | MAP_ANONYMOUS; (c) like (b), but after the fork, parent and child each. The \
               child stores in all three. In which does the parent see it?",
    answers: &[
        wrong(
            "in (a) and (b), not in (c)",
            "What is mapped before fork is in both processes, but map_anon maps MAP_PRIVATE: \
             at its first store the child got a page of its own.",
        ),
        right(
            "in (b), not in (a) or (c)",
            "fork passes on what is MAP_SHARED as one memory. What each maps after the fork \
             is its own: without a name there is no way to mean the other's.",
        ),
        wrong(
            "in (b) and (c), not in (a)",
            "Each mmap with MAP_ANONYMOUS makes new memory. Processes share it only by \
             inheritance.",
        ),
        wrong(
            "in none of (a), (b) and (c)",
            "After fork each process has its own address space, but a shared mapping in it \
             leads to the same pages.",
        ),
    ],
    kind: Kind::Kernel,
    run: anonymous,
    moral: "MAP_SHARED | MAP_ANONYMOUS before fork is shared memory with nothing to name and \
            nothing to remove. `anonymous` means that it has no file, not that it is shared.",
    see: "mmap(2), fork(2)",
    file: file!(),
    shows: &["anonymous-broken", "anonymous-cured", "anonymous"],
};

// ANCHOR: anonymous-broken
fn by_the_crate() -> Result<MmapMut> {
    MmapMut::map_anon(PAGE).context("mmap")
}
// ANCHOR_END: anonymous-broken

// ANCHOR: anonymous-cured
fn shared_without_a_file() -> Result<Pages> {
    let flags = MapFlags::SHARED; // and MAP_ANONYMOUS, since there is no descriptor
    Pages::map(None, PAGE, flags).context("mmap")
}
// ANCHOR_END: anonymous-cured

// ANCHOR: anonymous
fn anonymous(stage: &Stage) -> Result<usize> {
    let mut of_crate = by_the_crate()?;
    let shared = shared_without_a_file()?;
    let child = stage.fork("child", |stage| {
        of_crate[0] = b'c';
        shared.store(0, b'c');
        let after_fork = shared_without_a_file()?;
        after_fork.store(0, b'c');
        stage.event("child", "stores 'c' in all three");
        Ok(after_fork.address())
    })?;
    let after_fork = shared_without_a_file()?;
    let same_address = child.join()? == after_fork.address();
    let saw = [of_crate[0], shared.load(0), after_fork.load(0)];
    let ways = ["map_anon", "MAP_SHARED before fork", "MAP_SHARED after fork"];
    for (way, byte) in ways.into_iter().zip(saw) {
        stage.event("parent", format!("{way}: loads {}", shown(Ok(byte))));
    }
    let seen: Vec<bool> = saw.iter().map(|byte| *byte == b'c').collect();
    stage.saw("seen in (a), (b), (c)", seen.clone());
    stage.saw("(c) is at the same address in both", same_address);
    Ok(match seen[..] {
        [true, true, _] => 1,
        [false, true, false] => 2,
        [false, true, true] => 3,
        _ => 4,
    })
}
// ANCHOR_END: anonymous
