//! A semaphore's waiter by hand: shm_open(3), ftruncate(2), mmap(2), futex(2), shm_unlink(3).
//!
//! Wire: no bytes but a word of shared memory, the value: a post adds 1, a wait takes 1 or sleeps.
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "mman"] }

use std::io::stdout;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc::{FUTEX_WAIT, SYS_futex, syscall};
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

/// Sleeps while the word has this value. No library wraps futex(2).
fn futex_wait(word: &AtomicU32, value: u32) {
    // SAFETY: a word that stays mapped; 0 is no timeout.
    unsafe { syscall(SYS_futex, word, FUTEX_WAIT, value, 0_usize) };
}

fn waiter(name: &str, times: u32) -> nix::Result<()> {
    let word = map_word(name)?;
    for number in 1..=times {
        //[
        loop {
            let old = word.load(SeqCst);
            if old == 0 {
                // Whatever it returns, and for whatever reason: the word is looked at again.
                futex_wait(word, 0);
            } else if word.compare_exchange(old, old - 1, SeqCst, SeqCst).is_ok() {
                break; // took 1: no other process has changed it since the load
            }
        }
        //]
        //| if word.load(SeqCst) == 0 {
        //|     futex_wait(word, 0);
        //| }
        //| word.fetch_sub(1, SeqCst);
        write(stdout(), format!("took {number}\n").as_bytes())?;
    }
    match shm_unlink(name) {
        Err(Errno::ENOENT) => Ok(()), // another waiter has removed it
        unlinked => unlinked,
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let times = words.get(2).map_or(0, |times| times.parse().unwrap_or(0));
    match &words[..] {
        [role, name, _] if role == "waiter" && times > 0 => waiter(name, times)?,
        _ => {
            eprintln!("usage: waiter PLACE TIMES");
            std::process::exit(2)
        }
    }
    Ok(())
}
