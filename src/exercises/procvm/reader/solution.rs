//! Bytes of another process's memory: process_vm_readv(2).
//!
//! Cargo.toml: nix = { version = "0.31", features = ["process", "uio"] }

use std::error::Error;
//[
use std::io::{IoSliceMut, Write};

use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
//]

fn reader(place: &str) -> Result<(), Box<dyn Error>> {
    //[
    let line = std::fs::read_to_string(place)?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let &[pid, address, length] = &words[..] else {
        return Err("three words were expected".into());
    };
    let (pid, length) = (Pid::from_raw(pid.parse()?), length.parse()?);
    let there = RemoteIoVec { base: usize::from_str_radix(address, 16)?, len: length };
    let mut room = vec![0; length];
    let here = &mut [IoSliceMut::new(&mut room)];
    let n = process_vm_readv(pid, here, &[there])?; // an error, if not one byte is there
    std::io::stdout().write_all(&room[..n])?;
    if n < length {
        return Err(format!("only {n} of {length} bytes are there").into());
    }
    Ok(())
    //]
    //| // Read the line, copy the bytes, and print them.
    //| Err(format!("reader {place}: not written yet").into())
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, place] if role == "reader" => reader(place)?,
        _ => {
            eprintln!("usage: reader PLACE");
            std::process::exit(2)
        }
    }
    Ok(())
}
