//! How shared memory comes to hold what all agree on, and whom to believe.

use std::fs::File;
use std::mem::offset_of;
use std::sync::atomic::Ordering::SeqCst;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use rustix::fs::{FlockOperation, flock};
use syscalls::Sysno;

use super::{Page, READY, named};
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::mutex::{Attributes, Mutex, page};
use os::shared::mmap;

pub(super) const MADE_TWICE: Experiment = Experiment {
    name: "made-twice",
    title: "To be sure, each process makes the mutex",
    level: Level::First,
    question: "Each process of a program calls pthread_mutex_init(3) on the mutex in shared \
               memory when it starts, to be sure that it is there. A has locked it, when B \
               starts. Then C calls pthread_mutex_trylock(3). What does C get?",
    answers: &[
        wrong(
            "EBUSY: A has the mutex now, and keeps it",
            "That A has it was written in the bytes which B has just set to those of a new \
             mutex.",
        ),
        right(
            "0: C has the mutex now, and A has it too",
            "pthread_mutex_init makes a new mutex in place of the old one: unlocked. POSIX \
             leaves it undefined, and the C library does not look.",
        ),
        wrong(
            "0: C has the mutex now, and A has lost it",
            "Nothing tells A. It goes on with what the mutex protects, and so does C.",
        ),
    ],
    kind: Kind::Kernel,
    run: made_twice,
    moral: "Exactly one process makes it, and all others wait until it is made: a lock of \
            flock(2) around `is it there? no: make it`, and a word that is written last.",
    see: "pthread_mutex_init(3), flock(2)",
    file: file!(),
    shows: &["made-twice"],
};

// ANCHOR: made-twice
fn made_twice(stage: &Stage) -> Result<usize> {
    let page = Page::new()?;
    let (has_it, end) = (stage.gate()?, stage.gate()?);
    const INSIDE: usize = 0;
    let a = stage.fork("A", |stage| {
        stage.call("pthread_mutex_lock(mutex)", &page.mutex.lock());
        page.word(INSIDE).fetch_add(1, SeqCst);
        has_it.open(1)?;
        end.pass()
    })?;
    has_it.pass()?;
    let made = Mutex::init_at(page.memory, 0, Attributes::shared(false));
    stage.event("main", "is B, and starts");
    stage.call("pthread_mutex_init(mutex, attr)", &made.map(drop));
    let c = stage.fork("C", |stage| {
        let tried = page.mutex.trylock();
        stage.call("pthread_mutex_trylock(mutex)", &tried);
        if tried.is_ok() {
            page.word(INSIDE).fetch_add(1, SeqCst);
        }
        Ok(named(tried))
    })?;
    let tried = c.join()?;
    let inside = page.load(INSIDE);
    stage.event("main", format!("{inside} processes have the mutex"));
    end.open(1)?;
    a.join()?;
    stage.saw("C's trylock", tried.as_str());
    stage.saw("so many have it at once", inside);
    match (tried.as_str(), inside) {
        ("EBUSY", 1) => Ok(1),
        ("0", 2) => Ok(2),
        ("0", 1) => Ok(3),
        other => bail!("{other:?}"),
    }
}
// ANCHOR_END: made-twice

pub(super) const CREATOR_DIES: Experiment = Experiment {
    name: "creator-dies",
    title: "A ready word that is never written",
    level: Level::Later,
    question: "A makes a shared memory object and gives it its size. The last word that A writes \
               will be `ready`. B finds the object, and looks at that word every millisecond \
               until it is 1. A is killed before it writes it. How does B learn of that?",
    answers: &[
        wrong(
            "by SIGBUS: the pages of a dead creator are gone",
            "The object is a file in memory. It stays, with its size, until shm_unlink(3).",
        ),
        wrong(
            "by its mmap: it fails as A did not finish",
            "The object has a size, and can be mapped. The kernel does not know what else A \
             wanted to do.",
        ),
        right(
            "by nothing at all: it looks again and again",
            "A word that is not written says `not yet`, whether A lives or not. And each \
             process that starts later joins B.",
        ),
    ],
    kind: Kind::Kernel,
    run: creator_dies,
    moral: "Let the creator hold a lock that the kernel gives back, as flock(2) on the object: \
            who gets that lock and finds no ready word makes all anew.",
    see: "shm_open(3), flock(2)",
    file: file!(),
    shows: &["creator-dies-broken", "creator-dies-cured", "creator-dies"],
};

// ANCHOR: creator-dies-broken
/// Looks until the word is written; here at most so often.
fn look_again_and_again(_: &File, page: &os::shared::Shared) -> Result<bool> {
    for _ in 0..100 {
        if page.u32(READY).load(SeqCst) == 1 {
            return Ok(true);
        }
        sleep(Duration::from_millis(1));
    }
    Ok(false)
}
// ANCHOR_END: creator-dies-broken

// ANCHOR: creator-dies-cured
/// Sleeps while the creator lives and is not done; makes what a dead one has not.
fn lock_and_look(object: &File, page: &os::shared::Shared) -> Result<bool> {
    flock(object, FlockOperation::LockExclusive).context("flock")?;
    if page.u32(READY).load(SeqCst) == 0 {
        page.u32(READY).store(1, SeqCst); // after all else has been made
    }
    flock(object, FlockOperation::Unlock).context("flock")?;
    Ok(true)
}
// ANCHOR_END: creator-dies-cured

// ANCHOR: creator-dies
fn creator_dies(stage: &Stage) -> Result<usize> {
    type Join = fn(&File, &os::shared::Shared) -> Result<bool>;
    let learns = |name: &str, join: Join| {
        let path = os::shm_file::segment_path(&stage.segment(name));
        let made = stage.gate()?;
        let a = stage.fork("A", |stage| {
            let object =
                File::options().read(true).write(true).create_new(true).open(&path);
            let object = object.context("shm_open")?;
            flock(&object, FlockOperation::LockExclusive).context("flock")?;
            object.set_len(4096).context("ftruncate")?;
            stage
                .event("A", "shm_open(O_CREAT | O_EXCL), flock(LOCK_EX), ftruncate");
            made.open(1)?;
            stage.gate()?.pass()
        })?;
        made.pass()?;
        a.until_asleep_in(&[Sysno::readv])?;
        a.kill(Signal::SIGKILL)?;
        a.end()?;
        stage.event("A", "killed by SIGKILL");
        let b = stage.fork("B", |stage| {
            let object = File::options().read(true).write(true).open(&path)?;
            let page = mmap(&object, 4096);
            stage.call("mmap(NULL, 4096, …)", &page);
            join(&object, &page?)
        })?;
        b.join()
    };
    let broken = learns("watched", look_again_and_again)?;
    stage.event("B", "has looked 100 times, and nobody is there who could write it");
    let cured = learns("locked", lock_and_look)?;
    stage.event("B", "has the lock, finds no ready word, and makes the rest itself");
    stage.saw("B came to an end by looking", broken);
    stage.saw("B came to an end by the lock", cured);
    Ok(if broken { 2 } else { 3 })
}
// ANCHOR_END: creator-dies

pub(super) const PADDING: Experiment = Experiment {
    name: "padding",
    title: "Five bytes or eight",
    level: Level::Later,
    question: "A Python program writes a record into shared memory by `struct.pack(\"<BI\", 7, \
               0x01020304)`. A program in C or Rust reads it there as a struct of a `uint8_t` \
               and a `uint32_t`. Which number is in the second field?",
    answers: &[
        right(
            "0x00000001",
            "The struct has three bytes of padding after the first field, so that the second \
             begins at 4. Python's `<` packs without padding: its number begins at 1.",
        ),
        wrong(
            "0x01020304",
            "Only if both agree where each field begins. Python's `@`, the default, pads as \
             the C compiler of this machine does; `<`, `>`, `=` and `!` do not.",
        ),
        wrong(
            "0x04030201",
            "The order of the bytes is the same on both sides: `<` is little-endian, and so \
             is this machine.",
        ),
    ],
    kind: Kind::Kernel,
    run: padding,
    moral: "Write down the offset of each field, and hold it by a test in each language: \
            `#[repr(C)]` and offset_of!, _Static_assert and offsetof, ctypes.Structure. Without \
            #[repr(C)] Rust may change the order of fields.",
    see: "shm_overview(7)",
    file: file!(),
    shows: &["padding"],
};

// ANCHOR: padding
#[repr(C)]
struct Record {
    kind: u8,
    value: u32,
}

fn padding(stage: &Stage) -> Result<usize> {
    let memory = page().context("mmap")?;
    let writer = stage.fork("writer", |stage| {
        let packed = [&[7][..], &0x0102_0304_u32.to_le_bytes()].concat();
        memory.write(0, &packed);
        stage.event("writer", format!("writes the bytes {packed:02x?}"));
        Ok(packed.len())
    })?;
    let written = writer.join()?;
    let (kind, value) = (offset_of!(Record, kind), offset_of!(Record, value));
    let mut bytes = [0; size_of::<Record>()];
    memory.read(kind, &mut bytes);
    let field: [u8; 4] = bytes[value..].try_into()?;
    let read = u32::from_le_bytes(field);
    stage.event(
        "main",
        format!("reads {field:02x?} at offset {value}: {read:#010x}"),
    );
    stage.saw("bytes that were written", written);
    stage.saw("bytes of the struct", size_of::<Record>());
    stage.saw("the second field", format!("{read:#010x}"));
    match read {
        0x0000_0001 => Ok(1),
        0x0102_0304 => Ok(2),
        0x0403_0201 => Ok(3),
        other => bail!("{other:#x}"),
    }
}
// ANCHOR_END: padding

pub(super) const LOCK_OUTLIVES_CLOSE: Experiment = Experiment {
    name: "lock-outlives-close",
    title: "Locked, mapped, closed",
    level: Level::Deep,
    question: "A opens a file, locks it by flock(2), maps it by mmap(2), and closes its only \
               descriptor: the mapping is all that it needs. B opens the file, and calls flock \
               with LOCK_EX and LOCK_NB. What does B get?",
    answers: &[
        wrong(
            "0: the close of A was the end of the lock",
            "close(2) gives the lock up with the last reference to the open file. A descriptor \
             is one; there can be others.",
        ),
        wrong(
            "0: a lock of A's does not stop another process",
            "It does not stop read(2) and write(2), which never look. It stops whoever asks for \
             the same lock.",
        ),
        right(
            "EAGAIN: the mapping keeps the file and its lock",
            "A lock of flock belongs to the open file. The mapping keeps that open, until \
             munmap(2) or the end of the process.",
        ),
    ],
    kind: Kind::Kernel,
    run: lock_outlives_close,
    moral: "Unlock by flock(LOCK_UN), before you close. What ends with the last reference ends \
            late wherever mmap, fork(2) or SCM_RIGHTS made another one.",
    see: "flock(2), mmap(2)",
    file: file!(),
    shows: &[
        "lock-outlives-close-broken",
        "lock-outlives-close-cured",
        "lock-outlives-close",
    ],
};

// ANCHOR: lock-outlives-close-broken
fn close(file: File) -> Result<()> {
    drop(file); // close(2)
    Ok(())
}
// ANCHOR_END: lock-outlives-close-broken

// ANCHOR: lock-outlives-close-cured
fn unlock_and_close(file: File) -> Result<()> {
    flock(&file, FlockOperation::Unlock).context("flock")?;
    drop(file); // close(2)
    Ok(())
}
// ANCHOR_END: lock-outlives-close-cured

// ANCHOR: lock-outlives-close
fn lock_outlives_close(stage: &Stage) -> Result<usize> {
    let path = stage.path("file");
    std::fs::write(&path, [0; 4096]).context("write")?;
    let b_gets = |leave: fn(File) -> Result<()>, how: &str| {
        let (mapped, end) = (stage.gate()?, stage.gate()?);
        let a = stage.fork("A", |stage| {
            let file = File::options().read(true).write(true).open(&path);
            let file = file.context("open")?;
            flock(&file, FlockOperation::LockExclusive).context("flock")?;
            let _memory = mmap(&file, 4096).context("mmap")?;
            leave(file)?;
            stage.event("A", format!("open, flock(LOCK_EX), mmap, {how}"));
            mapped.open(1)?;
            end.pass()
        })?;
        mapped.pass()?;
        let file = File::open(&path).context("open")?;
        let locked = flock(&file, FlockOperation::NonBlockingLockExclusive);
        let locked = locked.map_err(|error| Errno::from_raw(error.raw_os_error()));
        stage.event("main", "is B");
        stage.call("flock(fd, LOCK_EX | LOCK_NB)", &locked);
        end.open(1)?;
        a.join()?;
        anyhow::Ok(named(locked))
    };
    let broken = b_gets(close, "close")?;
    let cured = b_gets(unlock_and_close, "flock(LOCK_UN), close")?;
    stage.saw("B, after A's close", broken.as_str());
    stage.saw("B, after A's LOCK_UN and close", cured.as_str());
    match broken.as_str() {
        "0" => Ok(1),
        "EAGAIN" => Ok(3),
        other => bail!("flock: {other}"),
    }
}
// ANCHOR_END: lock-outlives-close

pub(super) const LENGTH_READ_TWICE: Experiment = Experiment {
    name: "length-read-twice",
    title: "Checked, and then used",
    level: Level::Deep,
    question: "Shared memory holds a length of 8, and up to 64 bytes behind it. A reader checks \
               `header->length <= 64`, and then copies `header->length` bytes. Between the two, \
               the other process stores 5000 there. How many bytes does the reader copy?",
    answers: &[
        wrong(
            "8 bytes, which it had checked",
            "It checked one load, and used another. A compiler may make one load of the two, \
             and need not: nothing in the source asks for it.",
        ),
        right(
            "5000 bytes, which it loads anew",
            "The check was of a number that is no longer there. This is the mistake behind \
             many security holes: time of check, time of use.",
        ),
        wrong(
            "64 bytes, which is the most there",
            "Nobody cuts it. The copy goes over the end of the room, and into what lies behind.",
        ),
    ],
    kind: Kind::Kernel,
    run: length_read_twice,
    moral: "Load once into a variable of your own, check that, use that. What another process \
            can write may change between any two of your instructions.",
    see: "shm_overview(7)",
    file: file!(),
    shows: &[
        "length-read-twice-broken",
        "length-read-twice-cured",
        "length-read-twice",
    ],
};

const LENGTH: usize = 0;
const ROOM: u32 = 64;

// ANCHOR: length-read-twice-broken
/// The length to copy, if it fits; `between` is what happens meanwhile.
fn two_loads(page: &Page, between: &dyn Fn() -> Result<()>) -> Result<Option<u32>> {
    if page.load(LENGTH) > ROOM {
        return Ok(None);
    }
    between()?;
    Ok(Some(page.load(LENGTH)))
}
// ANCHOR_END: length-read-twice-broken

// ANCHOR: length-read-twice-cured
fn one_load(page: &Page, between: &dyn Fn() -> Result<()>) -> Result<Option<u32>> {
    let length = page.load(LENGTH);
    if length > ROOM {
        return Ok(None);
    }
    between()?;
    Ok(Some(length))
}
// ANCHOR_END: length-read-twice-cured

// ANCHOR: length-read-twice
fn length_read_twice(stage: &Stage) -> Result<usize> {
    type Load = fn(&Page, &dyn Fn() -> Result<()>) -> Result<Option<u32>>;
    let copies = |load: Load| {
        let page = Page::new()?;
        page.word(LENGTH).store(8, SeqCst);
        let (checked, stored) = (stage.gate()?, stage.gate()?);
        let writer = stage.fork("writer", |stage| {
            checked.pass()?;
            page.word(LENGTH).store(5000, SeqCst);
            stage.event("writer", "length = 5000");
            stored.open(1)
        })?;
        let length = load(&page, &|| {
            stage.event("main", "has checked that the length is at most 64");
            checked.open(1)?;
            stored.pass()
        })?;
        writer.join()?;
        let length = length.context("the length was too large")?;
        stage.event("main", format!("copies {length} bytes"));
        anyhow::Ok(length)
    };
    let (broken, cured) = (copies(two_loads)?, copies(one_load)?);
    stage.saw("bytes, with two loads", broken);
    stage.saw("bytes, with one load", cured);
    match broken {
        8 => Ok(1),
        5000 => Ok(2),
        64 => Ok(3),
        other => bail!("{other}"),
    }
}
// ANCHOR_END: length-read-twice
