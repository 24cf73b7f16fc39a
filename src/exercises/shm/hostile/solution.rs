//! Shared memory that another process may fill with anything: shm_open(3), ftruncate(2), mmap(2), futex(2), shm_unlink(3).
//!
//! Wire: one slot: a length (0: no line; 0xffffffff: the end), a line. The role's ring is another.
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "mman"] }

use std::{cell::Cell, error::Error, sync::atomic::AtomicU32, sync::atomic::Ordering::SeqCst};

use nix::libc::{FUTEX_WAIT, FUTEX_WAKE, SYS_futex, syscall};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, shm_open, shm_unlink};
use nix::unistd::{ftruncate, write};
use nix::{errno::Errno, fcntl::OFlag, sys::stat::Mode};

#[repr(C)]
struct Slot {
    length: AtomicU32,
    line: [Cell<u8>; 4092],
}

/// Either side may be first: what ftruncate(2) adds is 0.
fn map_slot(name: &str) -> nix::Result<&'static Slot> {
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    let object = shm_open(name, OFlag::O_RDWR | OFlag::O_CREAT, mode)?;
    ftruncate(&object, 4096)?;
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

fn receiver(name: &str) -> Result<(), Box<dyn Error>> {
    let slot = map_slot(name)?;
    loop {
        match slot.length.load(SeqCst) {
            0 => futex(&slot.length, FUTEX_WAIT, 0), // sleeps while it is 0
            u32::MAX => return Ok(shm_unlink(name)?), // the sender has sent all
            length => {
                // Loaded once: what was compared is what is used.
                let Some(line) = slot.line.get(..length as usize) else {
                    shm_unlink(name)?;
                    return Err(format!("{name}: no line has {length} bytes").into());
                };
                write(std::io::stdout(), &line.iter().map(Cell::get).collect::<Vec<u8>>())?;
                slot.length.store(0, SeqCst);
                futex(&slot.length, FUTEX_WAKE, 1); // the sender may store the next line
            }
        }
    }
}

fn sender(name: &str, messages: &[String]) -> Result<(), Box<dyn Error>> {
    let slot = map_slot(name)?;
    for line in messages.iter().map(|message| format!("{message}\n")) {
        let place = slot.line.get(..line.len()).ok_or(Errno::EMSGSIZE)?;
        place.iter().zip(line.bytes()).for_each(|(to, byte)| to.set(byte));
        slot.length.store(line.len() as u32, SeqCst); // only now: the receiver waits for a length
        futex(&slot.length, FUTEX_WAKE, 1);
        loop {
            match slot.length.load(SeqCst) {
                0 => break,
                now if now == line.len() as u32 => futex(&slot.length, FUTEX_WAIT, now), // sleeps
                other => return Err(format!("{name}: the length became {other}").into()),
            }
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
