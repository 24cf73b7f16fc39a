//! A mutex and condition variables, bare: shm_open(3), flock(2), mmap(2), pthread_*(3).
//!
//! Wire: a header, the locks, 4 counters at 256, 8 slots from 4096 on: a length, then the text.
//! Not here: a process that is killed, a buffer of another shape. See chapter mutex.
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "mman"] }

use std::{io::stdout, mem::zeroed};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::libc::*;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, shm_open, shm_unlink};
use nix::sys::stat::Mode;
use nix::unistd::{ftruncate, write};

/// Each lock has a place of 64 bytes: its size differs from one C library to another.
#[repr(C, align(64))]
struct Place<T>(T);

#[repr(C)]
struct Buffer {
    header: Place<[u32; 5]>, // the magic, the version, the slots, and two sizes
    mutex: Place<pthread_mutex_t>,
    not_empty: Place<pthread_cond_t>,
    not_full: Place<pthread_cond_t>,
    count: Place<Counters>,
    slots: [Slot; 8],
}

#[repr(C)]
struct Counters {
    put: u32,
    taken: u32,
    producers: u32,
    closed: u32,
}

impl Counters {
    fn is_empty(&self) -> bool {
        self.put == self.taken
    }
}

#[repr(C, align(4096))]
#[derive(Clone, Copy)]
struct Slot {
    length: u32,
    text: [u8; 4092],
}

/// pthread_*(3) return the error, and leave errno alone.
fn ok(number: i32) -> nix::Result<()> {
    if number == 0 { Ok(()) } else { Err(Errno::from_raw(number)) }
}

/// Either may be first: the one that finds no magic makes all else, and writes the magic last.
fn map_buffer(name: &str) -> nix::Result<*mut Buffer> {
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    let object = shm_open(name, OFlag::O_RDWR | OFlag::O_CREAT, mode)?;
    // It sleeps while another process makes it.
    let object =
        Flock::lock(object, FlockArg::LockExclusive).map_err(|error| error.1)?;
    ftruncate(&*object, size_of::<Buffer>() as i64)?;
    let (size, access) =
        (size_of::<Buffer>(), ProtFlags::PROT_READ | ProtFlags::PROT_WRITE);
    // SAFETY: any bytes are a Buffer, and these stay mapped; each lock is made before the magic.
    unsafe {
        let shared = MapFlags::MAP_SHARED;
        let b = mmap(None, size.try_into().unwrap(), access, shared, &*object, 0)?;
        let b: *mut Buffer = b.as_ptr().cast();
        if (*b).header.0[0] == 0 {
            let (mut mutex, mut cond) = zeroed();
            ok(pthread_mutexattr_init(&mut mutex))?;
            ok(pthread_mutexattr_setpshared(&mut mutex, PTHREAD_PROCESS_SHARED))?;
            ok(pthread_mutexattr_setrobust(&mut mutex, 1))?; // PTHREAD_MUTEX_ROBUST
            ok(pthread_mutex_init(&raw mut (*b).mutex.0, &mutex))?;
            ok(pthread_condattr_init(&mut cond))?;
            ok(pthread_condattr_setpshared(&mut cond, PTHREAD_PROCESS_SHARED))?;
            ok(pthread_cond_init(&raw mut (*b).not_empty.0, &cond))?;
            ok(pthread_cond_init(&raw mut (*b).not_full.0, &cond))?;
            let sizes = [size_of::<pthread_mutex_t>(), size_of::<pthread_cond_t>()];
            (*b).header.0 = [0, 1, 8, sizes[0] as u32, sizes[1] as u32];
            (&raw mut (*b).header.0[0]).write_volatile(0x6d63_7069); // "ipcm"
        }
        Ok(b) // Flock unlocks here; close(2) alone would not: the map has the file open
    }
}

fn worker(name: &str) -> nix::Result<()> {
    let b = map_buffer(name)?;
    // SAFETY: mapped, and made; the counters and slots belong to the process that has the mutex.
    unsafe {
        let (mutex, count) = (&raw mut (*b).mutex.0, &raw mut (*b).count.0);
        loop {
            ok(pthread_mutex_lock(mutex))?; // sleeps while another process has it
            while (*count).is_empty() && (*count).closed == 0 {
                // It sleeps, without the mutex, until a signal.
                ok(pthread_cond_wait(&raw mut (*b).not_empty.0, mutex))?;
            }
            if (*count).is_empty() {
                break; // the producers have put all, and all is taken
            }
            let slot = (*b).slots[(*count).taken as usize % 8]; // a copy: the place is free
            (*count).taken = (*count).taken.wrapping_add(1);
            ok(pthread_cond_signal(&raw mut (*b).not_full.0))?; // wakes one producer
            ok(pthread_mutex_unlock(mutex))?;
            let text = &slot.text[..slot.text.len().min(slot.length as usize)];
            write(stdout(), &[text, b"\n"].concat())?;
        }
        ok(pthread_mutex_unlock(mutex))?;
    }
    match shm_unlink(name) {
        Err(Errno::ENOENT) => Ok(()), // another worker was first
        unlinked => unlinked,
    }
}

fn producer(name: &str, messages: &[String]) -> nix::Result<()> {
    let b = map_buffer(name)?;
    // SAFETY: as in `worker`.
    unsafe {
        let (mutex, count) = (&raw mut (*b).mutex.0, &raw mut (*b).count.0);
        ok(pthread_mutex_lock(mutex))?; // sleeps while another process has it
        ((*count).producers, (*count).closed) = ((*count).producers + 1, 0);
        for text in messages {
            while (*count).put.wrapping_sub((*count).taken) == 8 {
                // It sleeps, without the mutex, until a slot is free.
                ok(pthread_cond_wait(&raw mut (*b).not_full.0, mutex))?;
            }
            let slot = &mut (*b).slots[(*count).put as usize % 8];
            let place = slot.text.get_mut(..text.len()).ok_or(Errno::EMSGSIZE)?;
            place.copy_from_slice(text.as_bytes());
            slot.length = text.len() as u32;
            (*count).put = (*count).put.wrapping_add(1); // only now: the text is there
            ok(pthread_cond_signal(&raw mut (*b).not_empty.0))?; // wakes one worker
        }
        (*count).producers -= 1;
        if (*count).producers == 0 {
            (*count).closed = 1;
            ok(pthread_cond_broadcast(&raw mut (*b).not_empty.0))?; // wakes all
        }
        ok(pthread_mutex_unlock(mutex))
    }
}

pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, name] if role == "worker" => worker(name)?,
        [role, name, messages @ ..] if role == "producer" => {
            producer(name, messages)?
        }
        _ => {
            eprintln!("usage: mutex worker PLACE | producer PLACE MESSAGE...");
            std::process::exit(2)
        }
    }
    Ok(())
}
