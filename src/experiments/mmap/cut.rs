//! A file that is cut short under its mapping.

use std::fs::File;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::{ftruncate, pipe, read, write};

use super::{file_with, map_shared};
use crate::experiments::child::End;
use crate::experiments::fault::{attempt, shown};
use crate::experiments::row::{Experiment, Kind, right, wrong};
use crate::experiments::stage::Stage;
use crate::os::mmap::PAGE;

pub(super) const PEER_TRUNCATES: Experiment = Experiment {
    name: "peer-truncates",
    title: "The peer cuts the file short",
    question: "A process has mapped 8192 bytes of a file, and has loaded and stored at byte \
               4096 already. Another process calls ftruncate(4096) on the file. The first \
               loads byte 4096 again. What happens?",
    answers: &[
        wrong(
            "it gets what it had stored: the page is in its memory",
            "The page was the file's. ftruncate has taken it out of every mapping.",
        ),
        wrong(
            "it gets 0: there is nothing there any more",
            "Zeros are for holes within the file. Past its end there is no page to give.",
        ),
        wrong(
            "ftruncate fails with EBUSY while the file is mapped",
            "So it is with ETXTBSY, for a program that runs. A mapped file can be cut by \
             whoever may write to it.",
        ),
        right(
            "it is killed by SIGBUS",
            "The page is asked for again, and there is none. A check of the size before \
             the access would not help: the file can be cut between the two.",
        ),
    ],
    kind: Kind::Kernel,
    run: peer_truncates,
    moral: "Whoever maps a file trusts all that may write to it with its life. Memory from a \
            stranger must be sealed against it: a memfd with F_SEAL_SHRINK.",
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
        let got = attempt(stage, "A", "loads byte 4096", || pages.load(PAGE))?;
        stage.saw(&format!("{what}: ftruncate was refused with"), refused.clone());
        stage.saw(&format!("{what}: the load"), shown(got));
        came_of_it.push((refused, got));
    }
    Ok(match &came_of_it[0] {
        (Some(_), _) => 3,
        (None, Err(_)) => 4,
        (None, Ok(0)) => 2,
        (None, Ok(_)) => 1,
    })
}
// ANCHOR_END: peer-truncates

pub(super) const READ_INTO_IT: Experiment = Experiment {
    name: "read-into-it",
    title: "read(2) into a mapping that was cut short",
    question: "A process has mapped 8192 bytes of a file, and the file was cut to 4096 since. \
               A load from the second page would be SIGBUS. The process gives the address \
               of that page to read(2), as the buffer for 5 bytes that wait in a pipe. What \
               happens?",
    answers: &[
        wrong(
            "it is killed by SIGBUS, as by a load or store of its own",
            "The signal is for an instruction of the program that cannot go on. Here the \
             kernel stores, and can say that it could not.",
        ),
        wrong(
            "read returns -1, EFAULT, and the 5 bytes are lost",
            "A pipe's reader copies first. What could not be copied stays.",
        ),
        wrong(
            "read returns 5, and the file is 4101 bytes long",
            "A mapping never makes its file longer, whoever stores there.",
        ),
        right(
            "read returns -1, EFAULT, and the 5 bytes are still in the pipe",
            "The kernel tries to store, finds no page, and gives up before it takes the \
             bytes out.",
        ),
    ],
    kind: Kind::Kernel,
    run: read_into_it,
    moral: "EFAULT need not be a wild pointer: it can be a mapping that somebody cut. And a \
            handler of SIGBUS does not catch what happens within a system call.",
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
