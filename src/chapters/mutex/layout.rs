//! What lies where in the memory, and how it is made: once, by whichever process is first.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::stat::fstat;
use rustix::fs::{FlockOperation, flock};
use rustix::io::retry_on_intr;

use super::options::{BufferOptions, Kind};
use os::mutex::{Attributes, CONDITION_SIZE, Condition, MUTEX_SIZE, Mutex};
use os::shared::{Shared, mmap};
use wire::ring::join::allocate;

// ANCHOR: layout
/// The first word, `ipcm`; written last, so that it says: all else is there.
const MAGIC: u32 = u32::from_le_bytes(*b"ipcm");
/// A program that knows another version must not guess.
const VERSION: u32 = 1;

/// Where each part begins, in bytes. A lock has a place of 64 bytes, a cache line of its own:
/// `sizeof(pthread_mutex_t)` is another in another C library, and the next part stays where it is.
pub(super) mod at {
    /// The header, a u32 each: how the memory was made.
    pub(in super::super) const MAGIC: usize = 0;
    pub(in super::super) const VERSION: usize = 4;
    pub(in super::super) const SLOTS: usize = 8;
    pub(in super::super) const MUTEX_SIZE: usize = 12;
    pub(in super::super) const CONDITION_SIZE: usize = 16;
    pub(in super::super) const KIND: usize = 20;
    pub(in super::super) const SEATS: usize = 24;
    /// The locks.
    pub(in super::super) const MUTEX: usize = 64;
    pub(in super::super) const NOT_EMPTY: usize = 128;
    pub(in super::super) const NOT_FULL: usize = 192;
    /// The counters, a u32 each, of the process that has the mutex.
    pub(in super::super) const PUT: usize = 256;
    pub(in super::super) const TAKEN: usize = 260;
    pub(in super::super) const PRODUCERS: usize = 264;
    pub(in super::super) const CLOSED: usize = 268;
    /// One mutex for each producer, which has it as long as it lives.
    pub(in super::super) const SEAT: usize = 320;
    /// The slots: a length, and the bytes of a message.
    pub(in super::super) const SLOT: usize = 4096;
}

/// How many bytes a lock may have.
const PLACE: usize = 64;
/// How many producers of ours there can be at once.
pub(super) const SEATS: u32 = 8;
/// How many bytes a slot has; a message 4 less.
pub(super) const SLOT_SIZE: usize = 4096;
/// How many slots there can be.
pub(super) const MOST_SLOTS: u32 = 1024;

const _: () = assert!(MUTEX_SIZE <= PLACE && CONDITION_SIZE <= PLACE);
const _: () = assert!(at::SEAT + SEATS as usize * PLACE <= at::SLOT);

fn length_of(slots: u32) -> usize {
    at::SLOT + slots as usize * SLOT_SIZE
}

pub(super) fn seat(number: u32) -> usize {
    at::SEAT + number as usize * PLACE
}
// ANCHOR_END: layout

/// Memory with a buffer in it.
pub(super) struct Made {
    pub(super) memory: &'static Shared,
    pub(super) slots: u32,
    pub(super) kind: Kind,
    /// Whether we made what is in it.
    pub(super) by_us: bool,
}

// ANCHOR: create
/// Maps the object, and makes the buffer in it unless that is there. `None` once the object
/// has lost its name.
///
/// The lock of flock(2) is the creator's: it ends with its process, so the next one finds no
/// magic, and makes it anew. Without that lock it could only wait, for ever, for a creator that
/// has died.
pub(super) fn map(
    object: &OwnedFd,
    options: &BufferOptions,
) -> Result<Option<Made>> {
    // Sleeps while another process makes it.
    retry_on_intr(|| flock(object, FlockOperation::LockExclusive))
        .context("flock")?;
    let made = map_locked(object, options);
    // close(2) alone would not unlock: the mapping keeps the object open.
    flock(object, FlockOperation::Unlock).context("flock(LOCK_UN)")?;
    made
}

fn map_locked(object: impl AsFd, options: &BufferOptions) -> Result<Option<Made>> {
    let about = fstat(&object).context("fstat")?;
    if about.st_nlink == 0 {
        return Ok(None);
    }
    let mut length = about.st_size as usize;
    if length == 0 {
        length = length_of(options.slots());
        // ftruncate(2) would only note the size: a page that cannot be had then is SIGBUS.
        allocate(&object, length).context("posix_fallocate")?;
    }
    let slots = slots_of(length)?;
    let memory = mmap(&object, length).context("mmap")?;
    // It is never unmapped: a mutex in it may be ours until the process ends.
    let memory: &'static Shared = Box::leak(Box::new(memory));
    let by_us = match memory.u32(at::MAGIC).load(Acquire) {
        0 => make(memory, slots, options.kind()).map(|()| true)?,
        MAGIC => false,
        _ => bail!("there is something else in it, and no buffer of ours"),
    };
    check(memory, slots)?;
    let kind = match memory.u32(at::KIND).load(Relaxed) {
        0 => Kind::Pthread,
        1 => Kind::Futex,
        other => {
            bail!("its condition variables are of a kind {other}, unknown here")
        }
    };
    // A bare program has no seats: the first role makes them, still under the lock.
    if memory.u32(at::SEATS).load(Relaxed) == 0 {
        for number in 0..SEATS {
            Mutex::init_at(memory, seat(number), Attributes::shared(true))
                .context("pthread_mutex_init")?;
        }
        memory.u32(at::SEATS).store(SEATS, Relaxed);
    }
    Ok(Some(Made { memory, slots, kind, by_us }))
}

fn make(memory: &'static Shared, slots: u32, kind: Kind) -> Result<()> {
    Mutex::init_at(memory, at::MUTEX, Attributes::shared(true))
        .context("pthread_mutex_init")?;
    if kind == Kind::Pthread {
        for at in [at::NOT_EMPTY, at::NOT_FULL] {
            Condition::init_at(memory, at, true).context("pthread_cond_init")?;
        }
    }
    for (at, value) in [
        (at::VERSION, VERSION),
        (at::SLOTS, slots),
        (at::MUTEX_SIZE, MUTEX_SIZE as u32),
        (at::CONDITION_SIZE, CONDITION_SIZE as u32),
        (at::KIND, u32::from(kind == Kind::Futex)),
    ] {
        memory.u32(at).store(value, Relaxed);
    }
    memory.u32(at::MAGIC).store(MAGIC, Release); // last
    Ok(())
}
// ANCHOR_END: create

// ANCHOR: check
/// What another process wrote is compared with what we know: the size of the object is the
/// kernel's word, the header's is not.
fn check(memory: &Shared, slots: u32) -> Result<()> {
    let word = |at| memory.u32(at).load(Relaxed);
    let version = word(at::VERSION);
    ensure!(version == VERSION, "its version is {version}, and ours {VERSION}");
    let said = word(at::SLOTS);
    ensure!(
        said == slots,
        "it says that it has {said} slots, and has room for {slots}"
    );
    let sizes = (word(at::MUTEX_SIZE), word(at::CONDITION_SIZE));
    ensure!(
        sizes == (MUTEX_SIZE as u32, CONDITION_SIZE as u32),
        "it was made with another C library: a mutex of {} bytes there, of {MUTEX_SIZE} here; \
         a condition variable of {} there, of {CONDITION_SIZE} here",
        sizes.0,
        sizes.1
    );
    Ok(())
}

/// How many slots an object of this length has.
fn slots_of(length: usize) -> Result<u32> {
    let room = length.saturating_sub(at::SLOT);
    let slots = (room / SLOT_SIZE) as u32;
    ensure!(
        length_of(slots) == length && (1..=MOST_SLOTS).contains(&slots),
        "it has {length} bytes, and so no buffer has"
    );
    Ok(slots)
}
// ANCHOR_END: check
