//! Shared memory that is ours: shm_open(3), fstat(2), ftruncate(2), mmap(2), futex(2), shm_unlink(3).
//!
//! Wire: one slot: a length (0: no line; 0xffffffff: the end), a line. The role's ring is another.
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "mman"] }

use std::{cell::Cell, sync::atomic::AtomicU32, sync::atomic::Ordering::SeqCst};

use nix::libc::{FUTEX_WAIT, FUTEX_WAKE, SYS_futex, syscall};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, shm_open, shm_unlink};
use nix::unistd::{ftruncate, write};
use nix::{errno::Errno, fcntl::OFlag, sys::stat::Mode, sys::stat::fstat};

#[repr(C)]
struct Slot {
    length: AtomicU32,
    line: [Cell<u8>; 4092],
}

/// Either side may be first: what ftruncate(2) adds is 0.
fn map_slot(name: &str) -> nix::Result<&'static Slot> {
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    let object = shm_open(name, OFlag::O_RDWR | OFlag::O_CREAT, mode)?;
    match fstat(&object)?.st_size {
        0 => ftruncate(&object, 4096)?, // new: we have made it, or the other side just now
        4096 => {}
        _ => return Err(Errno::EEXIST), // another program's: nothing of it may change
    }
    let (size, shared) = (4096.try_into().unwrap(), MapFlags::MAP_SHARED);
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: any bytes are a Slot, and these stay mapped.
    unsafe { Ok(mmap(None, size, access, shared, object, 0)?.cast().as_ref()) }
}

/// No library wraps futex(2). EAGAIN, EINTR: the callers look at the word again.
fn futex(word: &AtomicU32, op: i32, value: u32) {
    // SAFETY: a word that stays mapped; 0 is no timeout.
    unsafe { syscall(SYS_futex, word, op, value, 0_usize) };
}

fn receiver(name: &str) -> nix::Result<()> {
    let slot = map_slot(name)?;
    loop {
        match slot.length.load(SeqCst) {
            0 => futex(&slot.length, FUTEX_WAIT, 0), // sleeps while it is 0
            u32::MAX => return shm_unlink(name),     // the sender has sent all
            length => {
                let line = slot.line.iter().take(length as usize).map(Cell::get);
                write(std::io::stdout(), &line.collect::<Vec<u8>>())?;
                slot.length.store(0, SeqCst);
                futex(&slot.length, FUTEX_WAKE, 1); // the sender may store the next line
            }
        }
    }
}

fn sender(name: &str, messages: &[String]) -> nix::Result<()> {
    let slot = map_slot(name)?;
    for line in messages.iter().map(|message| format!("{message}\n")) {
        let place = slot.line.get(..line.len()).ok_or(Errno::EMSGSIZE)?;
        place.iter().zip(line.bytes()).for_each(|(to, byte)| to.set(byte));
        slot.length.store(line.len() as u32, SeqCst); // only now: the receiver waits for a length
        futex(&slot.length, FUTEX_WAKE, 1);
        while slot.length.load(SeqCst) != 0 {
            futex(&slot.length, FUTEX_WAIT, line.len() as u32); // sleeps until it is 0
        }
    }
    slot.length.store(u32::MAX, SeqCst);
    futex(&slot.length, FUTEX_WAKE, 1);
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, name] if role == "receiver" => receiver(name)?,
        [role, name, messages @ ..] if role == "sender" => sender(name, messages)?,
        _ => {
            eprintln!("usage: shm receiver PLACE | sender PLACE MESSAGE...");
            std::process::exit(2)
        }
    }
    Ok(())
}
