//! Passing memory: what the receiver may rely on, while the sender has it too.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use rustix::fs::{
    MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate,
    memfd_create,
};
use rustix::io::{Errno, pwrite};
use rustix::net::RecvFlags;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use super::{ONE, pair, pass, take};
use crate::child::End;
use crate::record::Returned;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::shared::{Shared, mmap};

/// memfd_create(2): `bytes` bytes of memory as a file that can be sealed.
fn memory_of(bytes: u64) -> Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory = memfd_create("data", flags).context("memfd_create")?;
    ftruncate(&memory, bytes).context("ftruncate")?;
    Ok(memory)
}

pub(super) const TRUSTED_SIZE: Experiment = Experiment {
    name: "trusted-size",
    title: "Sealed, mapped, checked, and then",
    level: Level::Deep,
    question: "A client passes memory to a server: a memfd of 8,192 bytes, sealed with \
               F_SEAL_SHRINK. The server sees the seal, maps the memory and checks what \
               is in it. Then the client, which kept its descriptor, calls pwrite(2), \
               and ftruncate(2) to 0. What does the server read now?",
    answers: &[
        right(
            "what pwrite has written",
            "The seal holds off ftruncate (EPERM), and nothing else: the size stays, \
             the content need not. What was checked has changed. Copy it before you \
             check it, or ask for F_SEAL_WRITE as well.",
        ),
        wrong(
            "what it has checked",
            "A map is the file's pages, not a copy of them. Every process that may \
             write to the file writes to each map of it.",
        ),
        wrong(
            "nothing: SIGBUS kills it",
            "That is true of a memfd without the seal: the address is within the map \
             and beyond the end of the file.",
        ),
    ],
    kind: Kind::Kernel,
    run: trusted_size,
    moral: "Ask for F_GET_SEALS before you map what a stranger passed: with \
            F_SEAL_SHRINK the size that you see is one that stays. A seal is never \
            taken off. If the content must not change either, ask for F_SEAL_WRITE as \
            well.",
    see: "memfd_create(2), fcntl(2), mmap(2)",
    file: file!(),
    shows: &["trusted-size-broken", "trusted-size-cured", "trusted-size"],
};

// ANCHOR: trusted-size-broken
/// Maps what there is now.
fn map_by_size(memory: &OwnedFd) -> Result<Shared> {
    let size = fstat(memory).context("fstat")?.st_size;
    mmap(memory, usize::try_from(size)?).context("mmap")
}
// ANCHOR_END: trusted-size-broken

// ANCHOR: trusted-size-cured
/// Maps what there is now if it can only ever become more, and nothing else.
fn map_what_stays(memory: &OwnedFd) -> Result<Shared> {
    let seals = fcntl_get_seals(memory).context("fcntl(F_GET_SEALS)")?;
    if !seals.contains(SealFlags::SHRINK) {
        bail!("not sealed");
    }
    map_by_size(memory)
}
// ANCHOR_END: trusted-size-cured

// ANCHOR: trusted-size
fn trusted_size(stage: &Stage) -> Result<usize> {
    // What becomes of a server that maps by `map` what a client passes and then cuts?
    let serve = |map: fn(&OwnedFd) -> Result<Shared>, sealed: bool| {
        let memory = memory_of(8192)?;
        pwrite(&memory, b"a", 4096).context("pwrite")?;
        if sealed {
            let done = fcntl_add_seals(&memory, SealFlags::SHRINK);
            stage.call("fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK)", &done);
        }
        let (here, there) = pair()?;
        let (mapped, cut) = (stage.gate()?, stage.gate()?);
        let server = stage.fork("server", |stage| {
            set_dumpable_behavior(DumpableBehavior::NotDumpable)?; // no core file
            let taken = take(&there, 1, ONE, RecvFlags::empty())?;
            let memory = taken.descriptors.first().context("no descriptor came")?;
            let map = map(memory);
            match &map {
                Ok(map) => {
                    stage.event("server", format!("maps {} bytes", map.length()))
                }
                Err(why) => stage.event("server", format!("refuses it: {why}")),
            }
            mapped.open(1)?;
            cut.pass()?;
            let Ok(map) = map else { return Ok("refused".to_owned()) };
            let mut byte = [b'?'];
            map.read(4096, &mut byte);
            Ok(format!("read {:?}", char::from(byte[0])))
        })?;
        pass(&here, b"x", &[memory.as_fd()]).context("sendmsg")?;
        mapped.pass()?;
        let number = memory.as_raw_fd();
        let written = pwrite(&memory, b"b", 4096);
        stage.call(format!("pwrite({number}, \"b\", 1, 4096)"), &written);
        let shrunk = ftruncate(&memory, 0);
        stage.call(format!("ftruncate({number}, 0)"), &shrunk);
        cut.open(1)?;
        let fared = match server.end()? {
            End::Done(fared) => fared,
            End::Killed(Signal::SIGBUS) => "killed by SIGBUS".to_owned(),
            End::Killed(signal) => bail!("the server was ended by {signal}"),
        };
        if fared != "refused" {
            stage.event("server", format!("byte 4,096: {fared}"));
        }
        Ok(fared)
    };
    let fared = serve(map_by_size, false)?;
    stage.saw("mapped by its size", fared.as_str());
    stage.saw("not sealed, and asked for seals", serve(map_what_stays, false)?);
    let fared = serve(map_what_stays, true)?;
    stage.saw("sealed, and asked for seals", fared.as_str());
    match fared.as_str() {
        "read 'b'" => Ok(1),
        "read 'a'" => Ok(2),
        "killed by SIGBUS" => Ok(3),
        other => bail!("{other}"),
    }
}
// ANCHOR_END: trusted-size

pub(super) const SEAL_WHILE_MAPPED: Experiment = Experiment {
    name: "seal-while-mapped",
    title: "Sealing what is still mapped",
    level: Level::Deep,
    question: "The seal F_SEAL_WRITE says that the content of a memfd is final. A \
               process fills a memfd through a shared, writable map, and adds this seal \
               by fcntl(2) with F_ADD_SEALS. The map is still there. What does fcntl \
               return, and what becomes of the map?",
    answers: &[
        right(
            "-1 with EBUSY; the map stays writable",
            "F_SEAL_WRITE promises that the content is final. While a process can \
             write through a map, the kernel cannot promise it. Unmap it first.",
        ),
        wrong(
            "zero; a write through the map is a SIGSEGV",
            "The kernel would have to take a right away that it gave. It does not: it \
             refuses instead.",
        ),
        wrong(
            "zero; the map stays writable",
            "That is true of F_SEAL_FUTURE_WRITE (Linux 5.1), which is for just that: \
             one goes on writing, all others may only read.",
        ),
    ],
    kind: Kind::Kernel,
    run: seal_while_mapped,
    moral: "Fill, munmap, seal, pass. EBUSY from F_ADD_SEALS means that a process has \
            it mapped writable, and it may be the one that you passed it to.",
    see: "fcntl(2), memfd_create(2)",
    file: file!(),
    shows: &["seal-while-mapped"],
};

// ANCHOR: seal-while-mapped
fn seal_while_mapped(stage: &Stage) -> Result<usize> {
    let memory = memory_of(4096)?;
    let map = mmap(&memory, 4096).context("mmap")?;
    stage.call("mmap(PROT_READ | PROT_WRITE, MAP_SHARED)", &());
    let sealed = fcntl_add_seals(&memory, SealFlags::WRITE);
    stage.call("fcntl(memfd, F_ADD_SEALS, F_SEAL_WRITE)", &sealed);
    let future = fcntl_add_seals(&memory, SealFlags::FUTURE_WRITE);
    stage.call("fcntl(memfd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE)", &future);
    if sealed.is_err() {
        map.write(0, b"through the map");
        stage.event("main", "writes through the map");
    }
    let by_write = pwrite(&memory, b"by a call", 0);
    stage.call("pwrite(memfd, \"by a call\", 9, 0)", &by_write);
    let mut text = [0; 15];
    map.read(0, &mut text);
    drop(map);
    stage.call("munmap()", &());
    let later = fcntl_add_seals(&memory, SealFlags::WRITE);
    stage.call("fcntl(memfd, F_ADD_SEALS, F_SEAL_WRITE)", &later);
    let again = mmap(&memory, 4096).map(|_| ());
    stage.call("mmap(PROT_READ | PROT_WRITE, MAP_SHARED)", &again);
    stage.saw("F_SEAL_WRITE while mapped", sealed.shown());
    stage.saw("F_SEAL_FUTURE_WRITE while mapped", future.shown());
    stage.saw("the map's content", String::from_utf8_lossy(&text).into_owned());
    stage.saw("pwrite", by_write.shown());
    stage.saw("F_SEAL_WRITE once unmapped", later.shown());
    stage.saw("a new writable map", again.shown());
    match sealed {
        Err(Errno::BUSY) => Ok(1),
        Ok(()) => Ok(3),
        Err(error) => bail!("fcntl(F_ADD_SEALS): {error}"),
    }
}
// ANCHOR_END: seal-while-mapped
