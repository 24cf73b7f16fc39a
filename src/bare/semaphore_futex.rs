//! A semaphore by hand, bare: shm_open(3), ftruncate(2), mmap(2), futex(2), shm_unlink(3).
//!
//! Wire: no bytes but a word of shared memory, the value: a post adds 1, a wait takes 1 or sleeps.
//! Not here: a poster that dies, a name that is left, the largest value. See chapter semaphore.
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "mman"] }

use std::io::stdout;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc::{FUTEX_WAIT, FUTEX_WAKE, SYS_futex, syscall};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, shm_open, shm_unlink};
use nix::sys::stat::Mode;
use nix::unistd::{ftruncate, write};

/// Either side may be first: a new one has the value 0.
fn map_word(name: &str) -> nix::Result<&'static AtomicU32> {
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    let object = shm_open(name, OFlag::O_RDWR | OFlag::O_CREAT, mode)?;
    ftruncate(&object, 4)?;
    let (size, shared) = (4.try_into().unwrap(), MapFlags::MAP_SHARED);
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: any 4 bytes are a word, and these stay mapped.
    unsafe { Ok(mmap(None, size, access, shared, object, 0)?.cast().as_ref()) }
}

/// No library wraps futex(2). EAGAIN, EINTR: the callers look at the word again.
fn futex(word: &AtomicU32, op: i32, value: u32) {
    // SAFETY: a word that stays mapped; 0 is no timeout.
    unsafe { syscall(SYS_futex, word, op, value, 0_usize) };
}

fn waiter(name: &str, times: u32) -> nix::Result<()> {
    let word = map_word(name)?;
    for number in 1..=times {
        loop {
            let old = word.load(SeqCst);
            if old == 0 {
                futex(word, FUTEX_WAIT, 0); // sleeps while it is 0
            } else if word.compare_exchange(old, old - 1, SeqCst, SeqCst).is_ok() {
                break; // took 1: no other process has changed it since the load
            }
        }
        write(stdout(), format!("took {number}\n").as_bytes())?;
    }
    match shm_unlink(name) {
        Err(Errno::ENOENT) => Ok(()), // the role (ipclab semaphore poster) has removed it
        unlinked => unlinked,
    }
}

fn poster(name: &str, times: u32) -> nix::Result<()> {
    let word = map_word(name)?;
    for _ in 0..times {
        word.fetch_add(1, SeqCst);
        futex(word, FUTEX_WAKE, 1); // wakes a waiter that sleeps
    }
    Ok(())
}

pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let times = words.get(2).map_or(1, |times| times.parse().unwrap_or(0));
    match &words[..] {
        [role, name] | [role, name, _] if role == "waiter" && times > 0 => {
            waiter(name, times)?
        }
        [role, name] | [role, name, _] if role == "poster" && times > 0 => {
            poster(name, times)?
        }
        _ => {
            eprintln!("usage: semaphore_futex waiter|poster PLACE [TIMES]");
            std::process::exit(2)
        }
    }
    Ok(())
}
