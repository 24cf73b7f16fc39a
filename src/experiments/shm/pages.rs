//! Where the pages are, and when there are any.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::atomic::Ordering::SeqCst;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::mman::shm_open;
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, fstat};
use nix::unistd::ftruncate;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use crate::child::End;
use crate::record::Returned;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::shared::{Shared, mmap};
use os::shm_file::segment_path;

pub(super) const ADDRESSES: Experiment = Experiment {
    name: "addresses",
    title: "A pointer in shared memory",
    level: Level::First,
    question: "Two children, A and B, of one process map two shared objects: A first \
               `greetings`, then `farewells`; B the other way round. At the same offset is \
               `hello` in greetings and `adieu` in farewells. A stores a pointer to `hello` \
               in greetings. B follows it. What does it find?",
    answers: &[
        wrong(
            "`hello`, and no error at all",
            "The memory is the same, but the addresses are not: an address that is free in \
             one process can be taken in another. A pointer means something only in the \
             process that made it.",
        ),
        wrong(
            "a SIGSEGV, and no word at all",
            "Two programs that were started one by one, with randomized addresses, would \
             most likely get that. A and B have the addresses of their parent, and B has a \
             mapping where A's pointer points.",
        ),
        right(
            "`adieu`, and no error at all",
            "In both children the same addresses are free, and mmap(2) takes the next of \
             them, so the order decides. Where A has greetings, B has farewells.",
        ),
    ],
    kind: Kind::Kernel,
    run: addresses,
    moral: "Store offsets, never pointers; and nothing that holds a pointer: no Box, no Vec, \
            no String, no reference.",
    see: "mmap(2), shm_overview(7)",
    file: file!(),
    shows: &["addresses-broken", "addresses-cured", "addresses"],
};

// ANCHOR: addresses-broken
/// The word that a pointer points to, as a load at that address would find it.
fn follow(address: u64) -> Result<String> {
    let mut word = [0; 5];
    let own_memory = File::open("/proc/self/mem")?;
    own_memory.read_exact_at(&mut word, address)?;
    Ok(String::from_utf8_lossy(&word).into_owned())
}
// ANCHOR_END: addresses-broken

// ANCHOR: addresses-cured
/// The word at an offset from where this process has the object.
fn at_offset(object: &Shared, offset: u64) -> String {
    let mut word = [0; 5];
    object.read(offset as usize, &mut word);
    String::from_utf8_lossy(&word).into_owned()
}
// ANCHOR_END: addresses-cured

// ANCHOR: addresses
fn addresses(stage: &Stage) -> Result<usize> {
    const LENGTH: usize = 1 << 20;
    let names = [stage.segment("greetings"), stage.segment("farewells")];
    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR;
    for name in &names {
        let fd = shm_open(name.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR);
        ftruncate(fd.context("shm_open")?, LENGTH as i64).context("ftruncate")?;
    }
    let map = |which: usize| -> Result<Shared> {
        let fd = shm_open(names[which].as_str(), OFlag::O_RDWR, Mode::empty())?;
        Ok(mmap(&fd, LENGTH)?)
    };
    // The pointer is at 0 of greetings, the offset at 8, the words at 64.
    let a = stage.fork("A", |stage| {
        let (greetings, farewells) = (map(0)?, map(1)?);
        greetings.write(64, b"hello");
        farewells.write(64, b"adieu");
        let pointer = greetings.address() + 64;
        stage.event("A", format!("has greetings at {:#x}", greetings.address()));
        greetings.u64(0).store(pointer as u64, SeqCst);
        greetings.u64(8).store(64, SeqCst);
        stage.event(
            "A",
            format!("stores the pointer {pointer:#x} and the offset 64"),
        );
        Ok(())
    })?;
    a.join()?;
    let b = stage.fork("B", |stage| {
        let (farewells, greetings) = (map(1)?, map(0)?);
        stage.event("B", format!("has greetings at {:#x}", greetings.address()));
        stage.event("B", format!("has farewells at {:#x}", farewells.address()));
        let word = follow(greetings.u64(0).load(SeqCst)).ok();
        Ok((word, at_offset(&greetings, greetings.u64(8).load(SeqCst))))
    })?;
    let (word, by_offset) = b.join()?;
    stage.saw("at the pointer", word.as_deref());
    stage.saw("at the offset", by_offset.as_str());
    Ok(match word.as_deref() {
        Some("hello") => 1,
        Some("adieu") => 3,
        _ => 2,
    })
}
// ANCHOR_END: addresses

pub(super) const BEFORE_SIZED: Experiment = Experiment {
    name: "before-sized",
    title: "Opening before it has a size",
    level: Level::First,
    question: "One process makes a shared memory object: shm_open with O_CREAT, then \
               ftruncate to 4096. Between the two calls another process opens it, calls mmap \
               for 4096 bytes, and loads the first of them. What happens?",
    answers: &[
        wrong(
            "mmap returns EINVAL for an empty object",
            "EINVAL is for a length of 0. A process that asks fstat for the length, and maps \
             that, gets it here. mmap does not compare a length with the size of the object.",
        ),
        right(
            "mmap succeeds, and the load is SIGBUS",
            "The mapping is longer than the object. Only an access asks the object for the \
             page, and there is none.",
        ),
        wrong(
            "mmap succeeds, and the load returns 0",
            "That is true within the size of the object, where a page is made when it is \
             first touched. Past the size there is nothing to touch.",
        ),
        wrong(
            "shm_open sleeps until the object has a size",
            "The kernel cannot know that a size will follow. The object is a file, and a \
             file can be empty.",
        ),
    ],
    kind: Kind::Kernel,
    run: before_sized,
    moral: "The size first, then the name: make the object under a name that nobody knows, \
            give it its size and its contents, and rename(2) it in /dev/shm. The same \
            pitfall, with a semaphore: semaphore/create-then-init.",
    see: "shm_open(3), mmap(2), rename(2)",
    file: file!(),
    shows: &["before-sized-broken", "before-sized-cured", "before-sized"],
};

// ANCHOR: before-sized-broken
/// The name is there at once, the size later.
fn make(name: &str, meanwhile: impl FnOnce() -> Result<()>) -> Result<()> {
    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR;
    let fd = shm_open(name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
    meanwhile()?;
    Ok(ftruncate(fd, 4096)?)
}
// ANCHOR_END: before-sized-broken

// ANCHOR: before-sized-cured
/// The name comes last, and what has it is whole.
fn make_whole(
    name: &str,
    unknown: &str,
    meanwhile: impl FnOnce() -> Result<()>,
) -> Result<()> {
    make(unknown, meanwhile)?;
    Ok(std::fs::rename(segment_path(unknown), segment_path(name))?)
}
// ANCHOR_END: before-sized-cured

// ANCHOR: before-sized
fn before_sized(stage: &Stage) -> Result<usize> {
    let name = stage.segment("object");
    let mut in_between = None;
    make(&name, || {
        stage.event("maker", "has called shm_open(), not yet ftruncate()");
        let opener = stage.fork("opener", |stage| open_at_once(stage, &name))?;
        in_between = Some(opener.end()?);
        Ok(())
    })?;
    let load = match in_between {
        Some(End::Killed(signal)) => format!("killed by {signal}"),
        Some(End::Done(Some(byte))) => format!("found {byte}"),
        _ => "mmap(4096 bytes) failed".to_owned(),
    };
    stage.event("opener", format!("loads byte 0: {load}"));
    stage.saw("the load", load);

    let (name, unknown) = (stage.segment("whole"), stage.segment("unknown"));
    let open = || shm_open(name.as_str(), OFlag::O_RDWR, Mode::empty());
    make_whole(&name, &unknown, || {
        let early = open();
        stage.call("shm_open(\"/whole\"), before the rename", &early);
        stage.saw("cured, too early", early.err().map(|e: Errno| e.to_string()));
        Ok(())
    })?;
    let size = fstat(open().context("shm_open")?).context("fstat")?.st_size;
    stage.call("fstat(), after the rename: its size", &size);
    stage.saw("cured, size when it has its name", size);
    match in_between {
        Some(End::Killed(Signal::SIGBUS)) => Ok(2),
        Some(End::Killed(signal)) => bail!("killed by {signal}"),
        Some(End::Done(Some(_))) => Ok(3),
        _ => Ok(1),
    }
}

/// Maps fstat's size, then the size that it knows. The byte, or `None` if that failed.
fn open_at_once(stage: &Stage, name: &str) -> Result<Option<u8>> {
    let fd = shm_open(name, OFlag::O_RDWR, Mode::empty())?;
    let size = fstat(&fd)?.st_size as usize;
    let mapped = mmap(&fd, size);
    stage.call(format!("mmap({size} bytes), as fstat() says"), &mapped);
    stage.saw("mapping what fstat says", mapped.shown());
    let mapped = mmap(&fd, 4096);
    stage.call("mmap(4096 bytes)", &mapped);
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?; // no core file
    let mut byte = [0];
    Ok(mapped.ok().map(|memory| {
        memory.read(0, &mut byte);
        byte[0]
    }))
}
// ANCHOR_END: before-sized

pub(super) const LOOKING_COSTS: Experiment = Experiment {
    name: "looking-costs",
    title: "What it takes to look at empty memory",
    level: Level::Deep,
    question: "A shared memory object (a file in a tmpfs) is made 1 MiB long by ftruncate. \
               One process reads all of it by read(2). Then another maps it and loads a byte \
               of each page. Nobody stores anything. When does the object take 1 MiB of the \
               tmpfs?",
    answers: &[
        wrong(
            "not before something is stored",
            "That is true of private memory without a file, where loads share one page of \
             zeros. In a tmpfs the page is made for the first load. A hole in a file on a \
             disk is a third case: a load takes no block of the disk, but a page of the page \
             cache.",
        ),
        wrong(
            "as soon as ftruncate has returned",
            "ftruncate notes a size. posix_fallocate(3) would ask for the pages.",
        ),
        wrong(
            "as soon as read(2) has returned",
            "read(2) copies zeros to the reader, and the object stays empty.",
        ),
        right(
            "as soon as the loads are done",
            "A load through a shared mapping must see what others will store there later, so \
             it needs the object's own page. If there is none, it is made.",
        ),
    ],
    kind: Kind::Kernel,
    run: looking_costs,
    moral: "A program that scans a sparse object of shared memory through its mapping makes \
            all of it. Read it by read(2), or ask lseek(SEEK_DATA) where there is anything.",
    see: "tmpfs(5), ftruncate(2), lseek(2)",
    file: file!(),
    shows: &["looking-costs"],
};

// ANCHOR: looking-costs
fn looking_costs(stage: &Stage) -> Result<usize> {
    const LENGTH: usize = 1 << 20;
    let name = stage.segment("object");
    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR;
    let fd = shm_open(name.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR);
    let object = File::from(fd.context("shm_open")?);
    let taken = |after: &str| -> Result<u64> {
        let bytes = object.metadata().context("fstat")?.blocks() * 512;
        stage.call(format!("fstat() after {after}: bytes taken"), &bytes);
        stage.saw(&format!("taken after {after}"), bytes);
        Ok(bytes)
    };
    object.set_len(LENGTH as u64).context("ftruncate")?;
    let at_first = taken("ftruncate()")?;
    object.read_exact_at(&mut vec![0; LENGTH], 0).context("read")?;
    let after_read = taken("read()")?;

    let memory = mmap(&object, LENGTH).context("mmap")?;
    let sum: u8 = (0..LENGTH)
        .step_by(4096)
        .map(|at| {
            let mut byte = [0];
            memory.read(at, &mut byte);
            byte[0]
        })
        .sum();
    stage.event("main", format!("loads a byte of each page: all are {sum}"));
    let after_loads = taken("the loads")?;
    Ok(match (at_first, after_read, after_loads) {
        (0, 0, 0) => 1,
        (0, 0, _) => 4,
        (0, _, _) => 3,
        _ => 2,
    })
}
// ANCHOR_END: looking-costs
