//! Parts of a mapped file: open(2), fstat(2), mmap(2).
//!
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "mman"] }

use std::error::Error;
//[
use std::fs::File;
use std::io::{Write, stdin, stdout};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
//]

fn extract(name: &str) -> Result<(), Box<dyn Error>> {
    //[
    let file = File::open(name)?;
    for line in stdin().lines() {
        let line = line?; // slept until the request came
        let (offset, length) = line.split_once(' ').ok_or("OFFSET LENGTH")?;
        let (offset, length): (usize, usize) = (offset.parse()?, length.parse()?);
        let size = file.metadata()?.len() as usize;
        if offset.checked_add(length).is_none_or(|end| end > size) {
            return Err(format!("{name} has {size} bytes").into());
        }
        // SAFETY: a new mapping, as long as the file, and gone with the bytes at the end.
        unsafe {
            let read = ProtFlags::PROT_READ;
            let all = mmap(None, size.try_into()?, read, MapFlags::MAP_SHARED, &file, 0)?;
            let part = all.cast::<u8>().add(offset);
            // Copied: another process may change them while they are printed.
            let mut bytes = vec![0; length];
            part.as_ptr().copy_to(bytes.as_mut_ptr(), length);
            munmap(all, size)?;
            stdout().write_all(&bytes)?;
        }
    }
    stdout().flush()?;
    Ok(())
    //]
    //| // Map the file `name`. For each line "OFFSET LENGTH" of stdin print these bytes of it.
    //| Err(format!("extract {name}: not written yet").into())
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, name] if role == "extract" => extract(name)?,
        _ => {
            eprintln!("usage: extract PLACE");
            std::process::exit(2)
        }
    }
    Ok(())
}
