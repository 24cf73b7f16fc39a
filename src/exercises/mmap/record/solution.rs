//! A record of a mapped file: open(2), fstat(2), ftruncate(2), mmap(2).
//!
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "mman"] }

use std::error::Error;

use nix::fcntl::{OFlag, open};
use nix::sys::mman::{MapFlags, ProtFlags, mmap};
use nix::sys::stat::Mode;
//[
use nix::sys::stat::fstat;
//]
use nix::unistd::ftruncate;

fn set(name: &str, number: usize, text: &str) -> Result<(), Box<dyn Error>> {
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    let file = open(name, OFlag::O_RDWR | OFlag::O_CREAT, mode)?;
    let end = 64 * (number + 1);
    //[
    if fstat(&file)?.st_size < end as i64 {
        ftruncate(&file, end as i64)?; // behind the end there is no memory, but SIGBUS
    }
    let flags = MapFlags::MAP_SHARED; // the file's pages, and no copy
    //]
    //| ftruncate(&file, end as i64)?;
    //| let flags = MapFlags::MAP_PRIVATE;
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: a new mapping of `end` bytes, all of which the file has. Nobody else refers to the
    // last 64 of them, and `text` has no more.
    unsafe {
        let memory = mmap(None, end.try_into()?, access, flags, &file, 0)?.cast::<u8>();
        let record = memory.add(end - 64);
        record.write_bytes(0, 64);
        record.as_ptr().copy_from(text.as_ptr(), text.len());
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, name, number, text] if role == "set" && text.len() <= 64 => {
            set(name, number.parse()?, text)?;
        }
        _ => {
            eprintln!("usage: set PLACE N TEXT");
            std::process::exit(2)
        }
    }
    Ok(())
}
