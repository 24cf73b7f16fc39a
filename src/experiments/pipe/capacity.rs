//! What a pipe holds, and what becomes of what is in it.

use std::hint::black_box;
use std::io::IoSlice;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, vmsplice};
use nix::unistd::{pipe, pipe2, read, write};

use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use doctor::probes::needs;

/// How many bytes a pipe takes in writes of `size` bytes before one would wait.
fn fill(writing: &OwnedFd, size: usize) -> Result<usize> {
    let mut filled = 0;
    loop {
        match write(writing, &vec![b'x'; size]) {
            Ok(n) => filled += n,
            Err(Errno::EAGAIN) => return Ok(filled),
            Err(error) => bail!("write: {error}"),
        }
    }
}

pub(super) const CAPACITY: Experiment = Experiment {
    name: "capacity",
    title: "A pipe of 100,000 bytes",
    level: Level::Later,
    question: "A new pipe is 16 pages of 4096 bytes. With F_SETPIPE_SZ, fcntl(2) changes \
               the size. A program asks for 100,000 bytes, and the pipe is empty. How \
               much does it hold then?",
    answers: &[
        wrong(
            "65,536 bytes, as before",
            "The call succeeds, up to /proc/sys/fs/pipe-max-size. A size is never more \
             than a wish, but this one is granted and more.",
        ),
        wrong(
            "100,000 bytes, as asked for",
            "A pipe is counted in pages, and 100,000 is not a number of whole pages.",
        ),
        wrong(
            "102,400 bytes, the next page",
            "Whole pages would do, and 25 of them hold 100,000 bytes. The kernel's ring \
             of pages has a length that is a power of two.",
        ),
        right(
            "131,072 bytes, a power of two",
            "Linux makes room for the next power of two, here of pages: 32 of them. What \
             fcntl returns is the size that the pipe has now.",
        ),
    ],
    kind: Kind::Kernel,
    run: capacity,
    moral: "Look at what F_SETPIPE_SZ returns, or ask F_GETPIPE_SZ. And do not depend on \
            the size: a program that works because its output fits a pipe hangs when the \
            output grows.",
    see: "pipe(7), fcntl(2)",
    file: file!(),
    shows: &["capacity"],
};

// ANCHOR: capacity
fn capacity(stage: &Stage) -> Result<usize> {
    stage.needs(&needs::LARGE_PIPE)?;
    let (_reading, writing) = pipe2(OFlag::O_NONBLOCK).context("pipe")?;
    stage.call("fcntl(F_GETPIPE_SZ)", &fcntl(&writing, FcntlArg::F_GETPIPE_SZ));
    let new = fill(&writing, 1)?;
    stage.call("write(1 byte), how often before EAGAIN", &new);
    stage.saw("bytes that a new one holds", new);
    if new != 65_536 {
        stage.note(format!(
            "a new pipe holds {new} bytes: this user may be above \
             /proc/sys/fs/pipe-user-pages-soft, or pages are not 4096 bytes."
        ));
    }

    let (_reading, writing) = pipe2(OFlag::O_NONBLOCK).context("pipe")?;
    let resized = fcntl(&writing, FcntlArg::F_SETPIPE_SZ(100_000));
    stage.call("fcntl(F_SETPIPE_SZ, 100000)", &resized);
    let holds = fill(&writing, 1)?;
    stage.call("write(1 byte), how often before EAGAIN", &holds);
    stage.saw("bytes that it holds after F_SETPIPE_SZ", holds);
    match holds {
        100_000 => Ok(2),
        102_400 => Ok(3),
        131_072 => Ok(4),
        holds if holds == new => Ok(1),
        holds => bail!("it holds {holds} bytes"),
    }
}
// ANCHOR_END: capacity

pub(super) const PAGES: Experiment = Experiment {
    name: "pages",
    title: "Writes of an odd size",
    level: Level::Deep,
    question: "A pipe holds 65,536 bytes. A writer fills it with writes of 2049 bytes each, \
               and nobody reads. How many bytes are in it when write(2) would wait?",
    answers: &[
        wrong(
            "63,519 bytes, after 31 writes",
            "That is the arithmetic of bytes. The kernel does not count bytes here, it \
             counts pages.",
        ),
        right(
            "32,784 bytes, after 16 writes",
            "The pipe is 16 pages. A write of 2049 bytes takes a page, and the next one \
             does not fit into what is left of it: a write up to a page is never split \
             over two. 2047 bytes of each page stay empty.",
        ),
        wrong(
            "65,536 bytes, after 32 writes",
            "The last one would be partial, and a write of up to PIPE_BUF bytes never \
             is: all of it, or EAGAIN.",
        ),
    ],
    kind: Kind::Kernel,
    run: pages,
    moral: "The capacity is in pages. A pipe full of unlucky writes holds half of what \
            F_GETPIPE_SZ says.",
    see: "pipe(7)",
    file: file!(),
    shows: &["pages"],
};

// ANCHOR: pages
fn pages(stage: &Stage) -> Result<usize> {
    let mut held = Vec::new();
    for size in [2048, 2049, 3000] {
        let (_reading, writing) = pipe2(OFlag::O_NONBLOCK).context("pipe")?;
        let bytes = fill(&writing, size)?;
        let writes = bytes / size;
        stage.call(format!("write({size} bytes) until EAGAIN"), &bytes);
        stage.saw(&format!("writes of {size} bytes"), writes);
        held.push(bytes);
    }
    Ok(match held[1] {
        63_519 => 1,
        65_536 => 3,
        _ => 2,
    })
}
// ANCHOR_END: pages

pub(super) const PARTIAL_WRITE: Experiment = Experiment {
    name: "partial-write",
    title: "5000 bytes into 4096 bytes of room",
    level: Level::Later,
    question: "A pipe with O_NONBLOCK has room for 4096 bytes. A program writes 5000 bytes \
               with one write(2). What does it return?",
    answers: &[
        wrong(
            "-1, with EAGAIN as errno",
            "That is true up to PIPE_BUF bytes, which are written whole or not at all. \
             5000 is more than that.",
        ),
        wrong(
            "5000, for all of the bytes",
            "There is no other place for the rest: the pipe's pages are all that there \
             is.",
        ),
        right(
            "4096, for those that fit in",
            "Above PIPE_BUF there is no promise of wholeness. write puts in what it can \
             and says how much; the other 904 bytes are still the program's.",
        ),
    ],
    kind: Kind::Kernel,
    run: partial_write,
    moral: "Look at what write(2) returns. A program that takes any positive number for \
            success loses the rest, and only under load.",
    see: "pipe(7), write(2)",
    file: file!(),
    shows: &["partial-write"],
};

// ANCHOR: partial-write
fn partial_write(stage: &Stage) -> Result<usize> {
    let (reading, writing) = pipe2(OFlag::O_NONBLOCK).context("pipe")?;
    fill(&writing, 4096)?;
    let made_room = read(&reading, &mut [0; 4096]);
    stage.call("read(4096 bytes) from the full pipe", &made_room);
    let whole = write(&writing, &[b'y'; 5000]);
    stage.call("write(5000 bytes)", &whole);
    let small = write(&writing, &[b'y'; 4096]);
    stage.call("write(4096 bytes), no room left", &small);
    stage.saw("written of 5000", whole.unwrap_or(0));
    stage.saw("4096 without room", small.err().map(|error| error.to_string()));
    match whole {
        Err(Errno::EAGAIN) => Ok(1),
        Ok(5000) => Ok(2),
        Ok(_) => Ok(3),
        Err(error) => bail!("write: {error}"),
    }
}
// ANCHOR_END: partial-write

pub(super) const VMSPLICE: Experiment = Experiment {
    name: "vmsplice",
    title: "Changing a buffer after it was sent",
    level: Level::Deep,
    question: "A program puts a buffer that holds `before` into a pipe: once with write(2), \
               once with vmsplice(2). Then it overwrites the buffer with `after!`. Only now \
               does the reader read. What does it get?",
    answers: &[
        wrong(
            "`before`, and `before` again",
            "That is the promise of write, which copies. vmsplice does not copy: that is \
             why it is fast.",
        ),
        right(
            "`before`, and then `after!`",
            "vmsplice puts the program's own page into the pipe. Until the reader takes \
             it, both look at the same memory.",
        ),
        wrong(
            "`before`, then an error",
            "The kernel does not watch the page. Nothing tells either side.",
        ),
    ],
    kind: Kind::Kernel,
    run: changed_later,
    moral: "Sending without a copy means that the buffer is not yours until the reader has \
            taken it. A protocol must say when that is.",
    see: "vmsplice(2)",
    file: file!(),
    shows: &["vmsplice"],
};

// ANCHOR: vmsplice
fn changed_later(stage: &Stage) -> Result<usize> {
    let mut got = Vec::new();
    for by in ["write", "vmsplice"] {
        let (reading, writing) = pipe().context("pipe")?;
        let mut buffer = *b"before";
        let sent = match by {
            "write" => write(&writing, &buffer),
            _ => vmsplice(&writing, &[IoSlice::new(&buffer)], SpliceFFlags::empty()),
        };
        stage.call(format!("{by}(\"before\")"), &sent);
        buffer = *b"after!";
        black_box(&mut buffer); // the compiler sees no reader; the kernel is one
        stage.event("main", "overwrites the buffer with \"after!\"");
        let mut room = [0; 16];
        let n = read(&reading, &mut room).context("read")?;
        let text = String::from_utf8_lossy(&room[..n]).into_owned();
        stage.call("read()", &format!("{text:?}"));
        stage.saw(&format!("read after {by}"), text.as_str());
        got.push(text);
    }
    Ok(match (got[0].as_str(), got[1].as_str()) {
        ("before", "before") => 1,
        ("before", "after!") => 2,
        _ => 3,
    })
}
// ANCHOR_END: vmsplice
