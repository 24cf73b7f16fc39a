//! A mapped file that another process may cut short: mmap(2), sigaction(2), futex(2).
//!
//! Wire: one slot: a length (0: no line; 0xffffffff: the end), a line. The role's ring is another.
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "mman", "signal"] }

use std::{cell::Cell, sync::atomic::AtomicU32, sync::atomic::Ordering::SeqCst};

use nix::libc::{self, FUTEX_WAIT, FUTEX_WAKE, SYS_futex, syscall};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::mman::{MapFlags, ProtFlags, mmap};
use nix::unistd::{ftruncate, unlink, write};
use nix::{errno::Errno, fcntl::OFlag, fcntl::open, sys::stat::Mode};

#[repr(C)]
struct Slot {
    length: AtomicU32,
    line: [Cell<u8>; 4092],
}

/// Another process has cut the file short: an access to what is gone sends SIGBUS.
extern "C" fn cut_short(_: i32) {
    let text = b"the file was cut short\n";
    // SAFETY: write(2) and _exit(2) may be called in a handler (signal-safety(7)).
    unsafe {
        libc::write(2, text.as_ptr().cast(), text.len());
        libc::_exit(1)
    }
}

/// Either side may be first: what ftruncate(2) adds is 0.
fn map_slot(name: &str) -> nix::Result<&'static Slot> {
    // SAFETY: the handler does nothing that a handler may not do.
    unsafe { signal(Signal::SIGBUS, SigHandler::Handler(cut_short))? };
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    let file = open(name, OFlag::O_RDWR | OFlag::O_CREAT, mode)?;
    ftruncate(&file, 4096)?;
    let (size, shared) = (4096.try_into().unwrap(), MapFlags::MAP_SHARED);
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: any bytes are a Slot, and these stay mapped.
    unsafe { Ok(mmap(None, size, access, shared, file, 0)?.cast().as_ref()) }
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
            u32::MAX => return unlink(name),         // the sender has sent all
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
            eprintln!("usage: mmap receiver PLACE | sender PLACE MESSAGE...");
            std::process::exit(2)
        }
    }
    Ok(())
}
