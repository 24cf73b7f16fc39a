//! A table in shared memory, made by another program: shm_open(3), fstat(2), mmap(2).
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "mman"] }

use std::error::Error;

use nix::fcntl::OFlag;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, shm_open};
//[
use nix::sys::stat::fstat;
//]
use nix::sys::stat::Mode;

#[repr(C)]
struct Header {
    magic: [u8; 4],
    version: u32,
    size: u32,
    count: u32,
}

#[repr(C)]
struct Entry {
    kind: u8,
    value: u32,
}

fn show(name: &str) -> Result<(), Box<dyn Error>> {
    let object = shm_open(name, OFlag::O_RDONLY, Mode::empty())?;
    //[
    let length = fstat(&object)?.st_size as usize;
    if length < size_of::<Header>() {
        return Err(format!("{name}: too short for a header").into());
    }
    //]
    //| let length = 4096;
    let (bytes, access) = (length.try_into()?, ProtFlags::PROT_READ);
    // SAFETY: a new mapping replaces no other.
    let table = unsafe { mmap(None, bytes, access, MapFlags::MAP_SHARED, &object, 0)? };
    // SAFETY: so many bytes are mapped, and any bytes are a Header. What is checked is what is used.
    let header = unsafe { table.cast::<Header>().read_volatile() };
    if header.magic != *b"tabl" || header.version == 0 {
        return Err(format!("{name}: no table").into());
    }
    let (size, count) = (header.size as usize, header.count as usize);
    //[
    if size < size_of::<Header>() || size > length {
        return Err(format!("{name}: no such header").into());
    }
    // No product: it could wrap.
    if count > (length - size) / size_of::<Entry>() {
        return Err(format!("{name}: too short for its entries").into());
    }
    //]
    //| let size = size.min(size_of::<Header>());
    for index in 0..count {
        // SAFETY: so many bytes are mapped, and any bytes are an Entry.
        let entry = unsafe {
            table.byte_add(size).cast::<Entry>().add(index).as_ptr().read_unaligned()
        };
        println!("{} {}", entry.kind, entry.value);
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, name] if role == "show" => show(name)?,
        _ => {
            eprintln!("usage: show PLACE");
            std::process::exit(2)
        }
    }
    Ok(())
}
