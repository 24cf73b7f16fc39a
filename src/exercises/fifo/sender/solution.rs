//! A FIFO whose reader may die: mkfifo(3), open(2), write(2), read(2), unlink(2).
//!
//! Wire: a message a line. The end is the last writer's close(2).
//! Cargo.toml: nix = { version = "0.31", features = ["fs"] }

use std::io::stdout;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{mkfifo, read, unlink, write};

fn receiver(name: &str) -> nix::Result<()> {
    make(name)?;
    let fifo = open(name, OFlag::O_RDONLY, Mode::empty())?; // sleeps until a writer opens it
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
        unlinked => unlinked,
    }
}

fn sender(name: &str, messages: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    make(name)?;
    let fifo = open(name, OFlag::O_WRONLY, Mode::empty())?; // sleeps until a reader opens it
    for (count, message) in messages.iter().enumerate() {
        let message = format!("{message}\n");
        let mut rest = message.as_bytes();
        while !rest.is_empty() { // a part of a message is none
            // Sleeps while it is full. EPIPE: Rust ignores SIGPIPE, which would kill.
            let n = write(&fifo, rest)
                .map_err(|errno| format!("write: {errno}; messages handed over: {count}"))?;
            rest = &rest[n..];
        }
    }
    Ok(()) // close(2), by drop: the reader's read returns 0
}

/// Either side may be first.
fn make(name: &str) -> nix::Result<()> {
    match mkfifo(name, Mode::S_IRUSR | Mode::S_IWUSR) {
        Err(Errno::EEXIST) => Ok(()),
        made => made,
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
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
