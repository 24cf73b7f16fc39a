//! A number in shared memory, whose object may be replaced: shm_open(3), fstat(2), mmap(2).
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "mman"] }

use std::error::Error;
use std::os::fd::AsFd;

//[
use nix::errno::Errno;
//]
use nix::fcntl::OFlag;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap, shm_open};
//[
use nix::sys::stat::fstat;
//]
use nix::sys::stat::Mode;

fn number(object: impl AsFd) -> Result<u32, Box<dyn Error>> {
    let (length, access) = (4.try_into()?, ProtFlags::PROT_READ);
    // SAFETY: a new mapping replaces no other, and 4 bytes are there. It is unmapped after the load.
    unsafe {
        let shared = mmap(None, length, access, MapFlags::MAP_SHARED, object, 0)?;
        let number = shared.cast::<u32>().read_volatile();
        munmap(shared, 4)?;
        Ok(number)
    }
}

//[
fn now(name: &str) -> Result<String, Box<dyn Error>> {
    match shm_open(name, OFlag::O_RDONLY, Mode::empty()) {
        Err(Errno::ENOENT) => Ok("none".to_owned()),
        opened => {
            let object = opened?; // closed at the end of this block
            let long_enough = fstat(&object)?.st_size >= 4;
            Ok(if long_enough { number(object)?.to_string() } else { "none".to_owned() })
        }
    }
}

//]
fn look(name: &str) -> Result<(), Box<dyn Error>> {
    //| let object = shm_open(name, OFlag::O_RDONLY, Mode::empty())?;
    for question in std::io::stdin().lines() { // sleeps until a question comes
        question?;
        //[
        println!("{}", now(name)?);
        //]
        //| println!("{}", number(&object)?);
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, name] if role == "look" => look(name)?,
        _ => {
            eprintln!("usage: look PLACE");
            std::process::exit(2)
        }
    }
    Ok(())
}
