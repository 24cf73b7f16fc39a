//! A file, whole or not at all: open(2), write(2), fsync(2), rename(2), read(2), unlink(2).
//!
//! Wire: a message a line. The end is the end of the file.
//! Cargo.toml: nix = { version = "0.31", features = ["fs"] }

use std::io::stdout;
use std::os::fd::OwnedFd;

use nix::fcntl::{AT_FDCWD, OFlag, open, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{fsync, read, unlink, write};

fn sender(name: &str, messages: &[String]) -> nix::Result<()> {
    let unfinished = &*format!("{name}.tmp"); // a name that no receiver opens
    let new = OFlag::O_CREAT | OFlag::O_EXCL; // EEXIST: another sender writes it
    let file =
        open(unfinished, OFlag::O_WRONLY | new, Mode::S_IRUSR | Mode::S_IWUSR)?;
    let published = fill(&file, messages)
        .and_then(|()| renameat(AT_FDCWD, unfinished, AT_FDCWD, name)); // it appears at once
    if published.is_err() {
        unlink(unfinished)?; // or the next sender fails with EEXIST
    }
    published
}

/// Writes all, or fails.
fn fill(file: &OwnedFd, messages: &[String]) -> nix::Result<()> {
    for message in messages {
        let message = format!("{message}\n");
        let mut rest = message.as_bytes();
        while !rest.is_empty() {
            let n = write(file, rest)?; // on a full disk a part; the next one fails: ENOSPC
            rest = &rest[n..];
        }
    }
    fsync(file) // sleeps until all bytes are on the disk
}

fn receiver(name: &str) -> nix::Result<()> {
    let file = open(name, OFlag::O_RDONLY, Mode::empty())?; // ENOENT: no file was sent yet
    unlink(name)?; // the file has no name now, and is there until it is closed
    let mut buffer = [0; 4096];
    loop {
        let n = read(&file, &mut buffer)?;
        if n == 0 {
            return Ok(()); // the end of the file
        }
        write(stdout(), &buffer[..n])?;
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, name, messages @ ..] if role == "sender" => sender(name, messages)?,
        [role, name] if role == "receiver" => receiver(name)?,
        _ => {
            eprintln!("usage: file sender PLACE MESSAGE... | receiver PLACE");
            std::process::exit(2)
        }
    }
    Ok(())
}
