//! A FIFO that is one: mkfifo(3), open(2), fstat(2), write(2), read(2), unlink(2).
//!
//! Wire: a message a line. The end is the last writer's close(2).
//! Cargo.toml: nix = { version = "0.31", features = ["fs"] }

use std::error::Error;
use std::io::stdout;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::unistd::{mkfifo, read, unlink, write};

fn receiver(name: &str) -> Result<(), Box<dyn Error>> {
    let fifo = open_fifo(name, OFlag::O_RDONLY)?; // sleeps until a writer opens it
    let mut buffer = [0; 4096];
    loop {
        let n = read(&fifo, &mut buffer)?; // sleeps while it is empty
        if n == 0 {
            break; // the last writer has closed it
        }
        write(stdout(), &buffer[..n])?;
    }
    match unlink(name) {
        Err(Errno::ENOENT) => Ok(()), // the role (ipclab fifo sender) has removed it
        unlinked => Ok(unlinked?),
    }
}

fn sender(name: &str, messages: &[String]) -> Result<(), Box<dyn Error>> {
    let fifo = open_fifo(name, OFlag::O_WRONLY)?; // sleeps until a reader opens it
    for message in messages {
        write(&fifo, format!("{message}\n").as_bytes())?; // sleeps while it is full
    }
    Ok(()) // close(2), by drop: the reader's read returns 0
}

/// Either side may be first. What was opened is looked at, not what has the name now.
fn open_fifo(name: &str, flags: OFlag) -> Result<OwnedFd, Box<dyn Error>> {
    match mkfifo(name, Mode::S_IRUSR | Mode::S_IWUSR) {
        Err(Errno::EEXIST) => {}
        made => made?,
    }
    let fifo = open(name, flags | OFlag::O_NOFOLLOW, Mode::empty())?; // ELOOP: a link
    let kind = SFlag::from_bits_truncate(fstat(&fifo)?.st_mode) & SFlag::S_IFMT;
    match kind {
        SFlag::S_IFIFO => Ok(fifo),
        _ => Err(format!("{name}: no FIFO").into()),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, name] if role == "receiver" => receiver(name)?,
        [role, name, messages @ ..] if role == "sender" => sender(name, messages)?,
        _ => {
            eprintln!("usage: fifo receiver PLACE | sender PLACE MESSAGE...");
            std::process::exit(2)
        }
    }
    Ok(())
}
