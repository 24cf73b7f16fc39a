//! A file that is cut short under its mapping.

use std::fs::File;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::{ftruncate, pipe, read, write};

use super::{file_with, map_shared};
use crate::child::End;
use crate::fault::{attempt, shown};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::mmap::PAGE;

pub(super) const PEER_TRUNCATES: Experiment = Experiment {
    name: "peer-truncates",
    title: "The peer cuts the file short, and makes it long again",
    level: Level::Later,
    question: "A process has mapped 8192 bytes of a file, and has stored `!` at byte 4096. \
               Another process calls ftruncate(4096), and later ftruncate(8192). The first \
               process loads byte 4096 before the second call, or after it. What does it \
               get?",
    answers: &[
        wrong(
            "before it `!`, and after it `!`",
            "That would be so if the page were the process's own. It was the file's, and \
             ftruncate removes it from every mapping.",
        ),
        wrong(
            "before it SIGBUS, and after it `!`",
            "ftruncate(4096) has freed the page, and with it what was stored there.",
        ),
        wrong(
            "before it zero, and after it zero",
            "Zeros are for holes within the file. Past its end there is no page.",
        ),
        right(
            "before it SIGBUS, and after it zero",
            "The page is asked for again, and there is none until the file is long enough; \
             then it is a hole. A check of the size before the access would not help: the \
             file can be cut between the two.",
        ),
    ],
    kind: Kind::Kernel,
    run: peer_truncates,
    moral: "Every process that may write to a file can end those that map it, and clear what \
            they stored. Memory from another user must be sealed against that: a memfd with \
            F_SEAL_SHRINK.",
    see: "mmap(2), memfd_create(2), fcntl(2)",
    file: file!(),
    shows: &["peer-truncates-broken", "peer-truncates-cured", "peer-truncates"],
};

// ANCHOR: peer-truncates-broken
fn ordinary(stage: &Stage) -> Result<File> {
    file_with(stage, "file", &[b'x'; 2 * PAGE])
}
// ANCHOR_END: peer-truncates-broken

// ANCHOR: peer-truncates-cured
fn sealed(stage: &Stage) -> Result<File> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let memfd = memfd_create("memory", flags).context("memfd_create")?;
    ftruncate(&memfd, 2 * PAGE as i64).context("ftruncate")?;
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
    let sealed = fcntl(&memfd, FcntlArg::F_ADD_SEALS(seals));
    stage.call("fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL)", &sealed);
    Ok(File::from(memfd))
}
// ANCHOR_END: peer-truncates-cured

// ANCHOR: peer-truncates
fn peer_truncates(stage: &Stage) -> Result<usize> {
    let mut came_of_it = Vec::new();
    for what in ["a file", "a sealed memfd"] {
        let file = match what {
            "a file" => ordinary(stage)?,
            _ => sealed(stage)?,
        };
        let pages = map_shared(&file, 2 * PAGE).context("mmap")?;
        pages.store(PAGE, b'!');
        let had = pages.load(PAGE);
        stage.event("A", format!("maps {what}, stores {} at 4096", shown(Ok(had))));
        let peer = stage.fork("peer", |stage| {
            let cut = ftruncate(&file, PAGE as i64);
            stage.call("ftruncate(4096)", &cut);
            Ok(cut.err().map(|error| error.to_string()))
        })?;
        let refused = peer.join()?;
        let load = || attempt(stage, "A", "loads byte 4096", || pages.load(PAGE));
        let short = load()?;
        let peer = stage.fork("peer", |stage| {
            stage.call("ftruncate(8192)", &ftruncate(&file, 2 * PAGE as i64));
            Ok(())
        })?;
        peer.join()?;
        let long = load()?;
        stage.saw(&format!("{what}: ftruncate was refused with"), refused);
        stage.saw(&format!("{what}: the load"), shown(short));
        stage.saw(&format!("{what}: the load, once it is long again"), shown(long));
        came_of_it.push((short, long));
    }
    match came_of_it[0] {
        (Ok(b'!'), Ok(b'!')) => Ok(1),
        (Err(_), Ok(b'!')) => Ok(2),
        (Ok(0), Ok(0)) => Ok(3),
        (Err(_), Ok(0)) => Ok(4),
        (short, long) => bail!("{}, then {}", shown(short), shown(long)),
    }
}
// ANCHOR_END: peer-truncates

pub(super) const READ_INTO_IT: Experiment = Experiment {
    name: "read-into-it",
    title: "read(2) into a mapping that was cut short",
    level: Level::Deep,
    question: "A process has mapped 8192 bytes of a file, which was then cut to 4096. A load \
               from the second page would be SIGBUS. The process gives the address of that \
               page to read(2), as the buffer for 5 bytes that wait in a pipe. What happens?",
    answers: &[
        wrong(
            "SIGBUS kills it, and the 5 bytes are lost",
            "The signal is for an instruction of the program that cannot go on. Here the \
             kernel stores, and can return an error.",
        ),
        wrong(
            "read returns EFAULT, and the 5 bytes are lost",
            "The kernel takes bytes out of a pipe only when it has copied them.",
        ),
        wrong(
            "read returns 5, and the file has 4101 bytes",
            "No store through a mapping makes its file longer, and none of the kernel's \
             either.",
        ),
        right(
            "read returns EFAULT, and the 5 bytes stay there",
            "The kernel tries to store, finds no page, and gives up before it takes the \
             bytes out.",
        ),
    ],
    kind: Kind::Kernel,
    run: read_into_it,
    moral: "EFAULT need not be a wild pointer: it can be a mapping that another process cut. \
            And a handler of SIGBUS does not catch what happens within a system call.",
    see: "read(2), mmap(2)",
    file: file!(),
    shows: &["read-into-it"],
};

// ANCHOR: read-into-it
fn read_into_it(stage: &Stage) -> Result<usize> {
    let file = file_with(stage, "file", &[b'x'; 2 * PAGE])?;
    let pages = map_shared(&file, 2 * PAGE).context("mmap")?;
    ftruncate(&file, PAGE as i64).context("ftruncate")?;
    stage.event("main", "has mapped 8192 bytes; the file is cut to 4096");
    let (reading, writing) = pipe().context("pipe")?;
    write(&writing, b"hello").context("write")?;
    drop(writing);
    let reader = stage.fork("reader", |stage| {
        let n = pages.read(&reading, PAGE, 5);
        stage.call("read(pipe, page 2 of the mapping, 5)", &n);
        Ok(n.map_err(|error| error as i32))
    })?;
    let result = match reader.end()? {
        End::Killed(signal) => {
            stage.event("reader", format!("killed by {signal}"));
            None
        }
        End::Done(result) => Some(result.map_err(Errno::from_raw)),
    };
    stage.saw(
        "read returned",
        result.map(|n| n.map_or_else(|e| e.to_string(), |n| n.to_string())),
    );
    let left = read(&reading, &mut [0; 16]);
    stage.call("read(pipe, a good buffer)", &left);
    let left = left.context("read")?;
    stage.saw("bytes still in the pipe", left);
    Ok(match (result, left) {
        (None, _) => 1,
        (Some(Err(Errno::EFAULT)), 5) => 4,
        (Some(Err(_)), _) => 2,
        (Some(Ok(_)), _) => 3,
    })
}
// ANCHOR_END: read-into-it
