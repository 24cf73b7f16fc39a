//! How much room a mapped file takes, and when there is none.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};

use anyhow::{Context, Result};
use nix::fcntl::posix_fallocate;
use nix::unistd::{Whence, ftruncate, lseek};

use super::{file_with, map_shared, on_a_disk};
use crate::fault::attempt;
use crate::record::Returned;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use doctor::probes::needs;
use os::mmap::PAGE;
use os::namespace::{mount_tmpfs, unshare_mounts};

pub(super) const SPARSE: Experiment = Experiment {
    name: "sparse",
    title: "One byte in the middle of a gigabyte",
    level: Level::Later,
    question: "A new file is made 1 GiB long by ftruncate, and mapped whole. The program's \
               first access, and its only one, is a store of one byte in the middle. How \
               much room does the file take then?",
    answers: &[
        right(
            "some KiB, where the byte is",
            "The file system makes blocks where something is stored, at least a page of 4096 \
             bytes. If the program has loaded from the file before, the kernel's read-ahead \
             can make it more.",
        ),
        wrong(
            "the whole GiB, up to its end",
            "1 GiB is its size: how far one can read. What it takes is another number: \
             st_blocks, which `du` shows and `ls -l` does not.",
        ),
        wrong(
            "half a GiB, up to the byte",
            "A file need not have all that is before its last byte. What is not there reads \
             as zeros: a hole.",
        ),
        wrong(
            "a single byte, and no more",
            "Room on a disk is given in blocks, and a mapping is written in pages.",
        ),
    ],
    kind: Kind::Kernel,
    run: sparse,
    moral: "A hole takes no room on the disk until a process stores in it, and then the disk \
            can be full: that is SIGBUS. posix_fallocate makes the room beforehand; lseek \
            with SEEK_DATA finds what is there.",
    see: "ftruncate(2), lseek(2), inode(7)",
    file: file!(),
    shows: &["sparse"],
};

// ANCHOR: sparse
const GIB: usize = 1 << 30;

/// The room that a file takes after one store, which `loads` come before.
fn taken_by_a_store(
    stage: &Stage,
    name: &str,
    loads: &[usize],
) -> Result<(File, u64)> {
    let file = file_with(stage, name, b"")?;
    ftruncate(&file, GIB as i64).context("ftruncate")?;
    let pages = map_shared(&file, GIB).context("mmap")?;
    for at in loads {
        pages.load(*at);
    }
    pages.store(GIB / 2, b'!');
    let taken = file.metadata().context("fstat")?.blocks() * 512;
    Ok((file, taken))
}

fn sparse(stage: &Stage) -> Result<usize> {
    let (file, taken) = taken_by_a_store(stage, "file", &[])?;
    stage.event("main", "ftruncate(1 GiB), mmap(1 GiB), stores at 512 MiB");
    let size = file.metadata().context("fstat")?.len();
    stage.call("fstat(): st_size", &size);
    stage.call("fstat(): st_blocks, in bytes", &taken);
    let data = lseek(&file, 0, Whence::SeekData);
    stage.call("lseek(0, SEEK_DATA)", &data);
    stage.saw("size", size);
    stage.saw("taken", taken);
    stage.saw("the first data are at", data.ok());

    // A byte of each MiB, like a program that searches: the last is the one stored.
    let each_mib: Vec<usize> =
        (GIB / 2 - (64 << 20)..=GIB / 2).step_by(1 << 20).collect();
    let (file, after_loads) = taken_by_a_store(stage, "other", &each_mib)?;
    if after_loads > taken && on_a_disk(&file)? {
        stage.note(format!(
            "had the program first loaded a byte of each of the 64 MiB before that place, \
             the same store would have taken {after_loads} bytes: the kernel reads ahead in \
             larger and larger pieces, and this file system gives room to a whole piece."
        ));
    }
    Ok(match taken {
        0..512 => 4,
        512..0x10_0000 => 1,
        0x10_0000..0x3000_0000 => 3,
        _ => 2,
    })
}
// ANCHOR_END: sparse

pub(super) const FULL_DISK: Experiment = Experiment {
    name: "full-disk",
    title: "1 MiB on a file system of 64 KiB",
    level: Level::Deep,
    question: "A file system in memory holds 64 KiB. A program makes a file of 1 MiB there \
               by ftruncate, maps it, and stores a byte in each page. Which step fails, and \
               how?",
    answers: &[
        wrong(
            "ftruncate, by ENOSPC",
            "ftruncate only notes a size. The pages are all holes, which take no room.",
        ),
        wrong(
            "the mmap, by ENOMEM",
            "mmap takes address space, and there is enough of it. It does not ask for the \
             pages.",
        ),
        right(
            "a store, by a SIGBUS",
            "At the first store in a page the file system must find room for it, and after \
             64 KiB there is none. A store has no return value, so a signal must say it.",
        ),
        wrong(
            "none, thanks to swap",
            "Pages of this file system can go to swap. Its limit counts them there too.",
        ),
    ],
    kind: Kind::Needs(&needs::MOUNT),
    run: full_disk,
    moral: "posix_fallocate before mmap: then ENOSPC is an error that one call returns, and \
            not a signal in the middle of some later store. Docker gives a container 64 MiB \
            in /dev/shm, unless `--shm-size` says more.",
    see: "posix_fallocate(3), ftruncate(2), tmpfs(5)",
    file: file!(),
    shows: &["full-disk-broken", "full-disk-cured", "full-disk"],
};

// ANCHOR: full-disk-broken
fn note_the_size(file: &File) -> nix::Result<()> {
    ftruncate(file, 1 << 20)
}
// ANCHOR_END: full-disk-broken

// ANCHOR: full-disk-cured
fn make_room(file: &File) -> nix::Result<()> {
    posix_fallocate(file, 0, 1 << 20)
}
// ANCHOR_END: full-disk-cured

// ANCHOR: full-disk
fn full_disk(stage: &Stage) -> Result<usize> {
    stage.needs(&needs::MOUNT)?;
    let small = stage.path("small");
    std::fs::create_dir(&small).context("mkdir")?;
    let program = stage.fork("program", |stage| {
        // Only this process and its children see what is mounted here.
        unshare_mounts()
            .and_then(|()| mount_tmpfs(&small, 64 << 10))
            .context("mount")?;
        let file = file_with(stage, "small/file", b"")?;
        let sized = note_the_size(&file);
        stage.call("ftruncate(1 MiB)", &sized);
        if sized.is_err() {
            return Ok(1);
        }
        let mapped = map_shared(&file, 1 << 20);
        stage.call("mmap(1 MiB, MAP_SHARED)", &mapped);
        let Ok(pages) = mapped else { return Ok(2) };
        let store_all = || {
            (0..1 << 20).step_by(PAGE).for_each(|at| pages.store(at, b'!'));
            b'!'
        };
        let stored = attempt(stage, "writer", "stores in each page", store_all)?;
        let taken = file.metadata()?.blocks() * 512;
        stage.call("fstat(): bytes taken", &taken);
        stage.saw("the stores", stored.err().map(|signal| signal.to_string()));
        stage.saw("bytes taken by then", taken);

        let other = file_with(stage, "small/other", b"")?;
        let room = make_room(&other);
        stage.call("posix_fallocate(1 MiB)", &room);
        stage.saw("posix_fallocate", room.shown());
        let by_write = other.write_at(b"?", 0);
        stage.call("write(1 byte)", &by_write);
        Ok(if stored.is_err() { 3 } else { 4 })
    })?;
    program.join()
}
// ANCHOR_END: full-disk
