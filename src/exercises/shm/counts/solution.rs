//! A counter in shared memory: shm_open(3), mmap(2).
//!
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "mman"] }

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;

use nix::fcntl::OFlag;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, shm_open};
use nix::sys::stat::Mode;

#[repr(C)]
struct Words {
    count: AtomicU32,
    stop: AtomicU32,
    own: AtomicU32,
}

fn counter(name: &str) -> nix::Result<()> {
    let object = shm_open(name, OFlag::O_RDWR, Mode::empty())?;
    let (size, shared) = (4096.try_into().unwrap(), MapFlags::MAP_SHARED);
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: any bytes are Words, and these stay mapped.
    let words: &Words = unsafe { mmap(None, size, access, shared, object, 0)?.cast().as_ref() };
    let mut own = 0_u32;
    while words.stop.load(SeqCst) == 0 {
        //[
        words.count.fetch_add(1, SeqCst); // one operation: load, add and store
        //]
        //| words.count.store(words.count.load(SeqCst).wrapping_add(1), SeqCst);
        own = own.wrapping_add(1);
    }
    words.own.store(own, SeqCst);
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, name] if role == "counter" => counter(name)?,
        _ => {
            eprintln!("usage: counter PLACE");
            std::process::exit(2)
        }
    }
    Ok(())
}
