//! Where a copy begins and ends: lists of places, and pages that are not there.

use std::io::IoSliceMut;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use rustix::mm::MapFlags;

use super::{address, copy};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::mmap::{PAGE, Pages};

pub(super) const HALF_THERE: Experiment = Experiment {
    name: "half-there",
    title: "Two pages, of which one is there",
    level: Level::First,
    question: "A reader asks for 8192 bytes of a target by process_vm_readv(2). The first \
               4096 are in a page that the target may read; nothing is mapped behind it. \
               What does the call return?",
    answers: &[
        right(
            "4096: those that are there",
            "Once something is copied the call reports how much, as read(2) does. The man \
             page says that one place is never split; Linux splits it, where a page ends.",
        ),
        wrong(
            "-1, with the error EFAULT",
            "So it is when the first page is the one that is not there, and nothing at all \
             could be copied. Here 4096 bytes had been when the fault came.",
        ),
        wrong(
            "8192: the others become 0",
            "The reader's buffer keeps what it had there: the kernel fills in nothing.",
        ),
    ],
    kind: Kind::Kernel,
    run: half_there,
    moral: "Compare the count with what you asked for: a short copy is no error. A program that \
            only looks for -1 takes what its buffer had before for the target's memory.",
    see: "process_vm_readv(2)",
    file: file!(),
    shows: &["half-there"],
};

// ANCHOR: half-there
fn half_there(stage: &Stage) -> Result<usize> {
    let pages = Pages::map(None, PAGE, MapFlags::PRIVATE).context("mmap")?;
    pages.store(0, b'a');
    let never = stage.gate()?;
    let target = stage.fork("target", |_| never.pass())?;
    let mut bytes = vec![b'x'; 2 * PAGE];
    let copied = copy(target.pid(), &mut bytes, pages.address());
    stage.call("process_vm_readv(target, copy, 8192)", &copied);
    let behind = copy(target.pid(), &mut [0; 8], pages.address() + PAGE);
    stage.call("process_vm_readv(target, copy, 8), behind it", &behind);
    let kept = bytes[PAGE..].iter().all(|byte| *byte == b'x');
    stage.saw("returned", copied.ok());
    stage.saw("the rest of the buffer is as it was", kept);
    stage.saw("behind it: EFAULT", behind == Err(Errno::EFAULT));
    match copied {
        Ok(4096) => Ok(1),
        Err(Errno::EFAULT) => Ok(2),
        Ok(8192) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: half-there

pub(super) const SECOND_OF_THREE: Experiment = Experiment {
    name: "second-of-three",
    title: "A list with a bad place in it",
    level: Level::Later,
    question: "One process_vm_readv(2) is given three places in the target, of 8 bytes \
               each. At the second one nothing is mapped; the first and the third are \
               fine. The reader's buffer has 24 bytes. What does the call return?",
    answers: &[
        right(
            "8, as many as the first has",
            "The places are copied in their order, up to the first that cannot be read.",
        ),
        wrong(
            "16, the first and the third",
            "It does not skip a place. If it did, the third would lie where the second is \
             expected.",
        ),
        wrong(
            "24, with 0 for the second",
            "The kernel fills in nothing for what it cannot read.",
        ),
    ],
    kind: Kind::Kernel,
    run: second_of_three,
    moral: "One call can gather fields that lie far apart, and saves a call for each. Put the \
            place that is surely there first, and look how far the count comes.",
    see: "process_vm_readv(2), readv(2)",
    file: file!(),
    shows: &["second-of-three"],
};

// ANCHOR: second-of-three
fn second_of_three(stage: &Stage) -> Result<usize> {
    let pages = Pages::map(None, PAGE, MapFlags::PRIVATE).context("mmap")?;
    let (first, third) = (*b"first...", *b"third...");
    let never = stage.gate()?;
    let target = stage.fork("target", |_| never.pass())?;
    let place = |base| RemoteIoVec { base, len: 8 };
    let unmapped = pages.address() + PAGE;
    let places = [address(&first), unmapped, address(&third)].map(place);
    let mut bytes = [b'x'; 24];
    let mut ours = [IoSliceMut::new(&mut bytes)];
    let copied = process_vm_readv(target.pid(), &mut ours, &places);
    stage.call("process_vm_readv(target, copy, three places of 8)", &copied);
    stage.saw("the buffer", String::from_utf8_lossy(&bytes).into_owned());
    match copied {
        Ok(8) => Ok(1),
        Ok(16) => Ok(2),
        Ok(24) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: second-of-three

pub(super) const LESS_ROOM: Experiment = Experiment {
    name: "less-room",
    title: "A buffer that is too small",
    level: Level::Later,
    question: "process_vm_readv(2) has two lists with lengths of their own: what is to be \
               read of the target, and where it goes. A reader asks for 8 bytes and has \
               room for 4. What does the call return?",
    answers: &[
        wrong(
            "-1, with EINVAL as errno",
            "EINVAL is for more than IOV_MAX places, for lengths whose sum is too large, and \
             for flags. The two sums may differ.",
        ),
        wrong(
            "8, and 4 of them are lost",
            "The kernel copies no more than there is room for, and says how much that was.",
        ),
        right(
            "4, as many as have room",
            "It copies as many bytes as the smaller sum. The others are where they were: in \
             the target's memory.",
        ),
    ],
    kind: Kind::Kernel,
    run: less_room,
    moral: "Bytes are not taken: what did not fit, and what did, can be read again. The two lists \
            need not be cut in the same way, either: it is one stream of bytes between them.",
    see: "process_vm_readv(2)",
    file: file!(),
    shows: &["less-room"],
};

// ANCHOR: less-room
fn less_room(stage: &Stage) -> Result<usize> {
    let text = *b"abcdefgh";
    let never = stage.gate()?;
    let target = stage.fork("target", |_| never.pass())?;
    let mut bytes = [b'x'; 4];
    let there = [RemoteIoVec { base: address(&text), len: 8 }];
    let mut ours = [IoSliceMut::new(&mut bytes)];
    let copied = process_vm_readv(target.pid(), &mut ours, &there);
    stage.call("process_vm_readv(target, room for 4, 8 bytes)", &copied);
    stage.saw("copied", String::from_utf8_lossy(&bytes).into_owned());
    match copied {
        Err(Errno::EINVAL) => Ok(1),
        Ok(8) => Ok(2),
        Ok(4) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: less-room

pub(super) const TOO_MANY: Experiment = Experiment {
    name: "too-many",
    title: "One place more than IOV_MAX",
    level: Level::Deep,
    question: "IOV_MAX is 1024 on Linux. One process_vm_readv(2) is given 1025 places in \
               the target, of a byte each. All of them can be read, and there is room for \
               1025 bytes. What does the call return?",
    answers: &[
        wrong(
            "1025: every one of them",
            "The limit is no advice: the kernel copies the list first, and has room for so \
             many.",
        ),
        right(
            "-1: errno is an EINVAL",
            "The lengths of the lists are looked at before anything is copied.",
        ),
        wrong(
            "1024: it leaves one out",
            "A short count is for places that cannot be read. This is an error of the call.",
        ),
    ],
    kind: Kind::Kernel,
    run: too_many,
    moral: "A long list goes in pieces of IOV_MAX places. writev(2), readv(2) and sendmsg(2) have \
            the same limit.",
    see: "process_vm_readv(2), readv(2)",
    file: file!(),
    shows: &["too-many"],
};

// ANCHOR: too-many
fn too_many(stage: &Stage) -> Result<usize> {
    let text = *b"8 bytes.";
    let never = stage.gate()?;
    let target = stage.fork("target", |_| never.pass())?;
    let byte = RemoteIoVec { base: address(&text), len: 1 };
    let read = |places: usize| {
        let mut bytes = vec![0; places];
        let mut ours = [IoSliceMut::new(&mut bytes)];
        let copied = process_vm_readv(target.pid(), &mut ours, &vec![byte; places]);
        stage.call(
            format!("process_vm_readv(target, copy, {places} places)"),
            &copied,
        );
        copied
    };
    stage.saw("1024 places", read(1024).ok());
    match read(1025) {
        Ok(1025) => Ok(1),
        Err(Errno::EINVAL) => Ok(2),
        Ok(1024) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: too-many
