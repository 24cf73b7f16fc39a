//! A pipe, bare: pipe(2), fork(2), close(2), write(2), read(2), waitpid(2).
//!
//! Wire: a message a line. The end is the last writer's close(2).
//! Not here: an answer (a pipe goes one way), a child that fails, SIGPIPE. See chapter pipe.
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "process"] }

use std::io::{stdin, stdout};
use std::os::fd::AsFd;

use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork, pipe, read, write};

fn sender(writing: impl AsFd, messages: &[String]) -> nix::Result<()> {
    for message in messages {
        write(&writing, format!("{message}\n").as_bytes())?; // sleeps while it is full
    }
    Ok(()) // close(2), by drop or by exit: the reader's read returns 0
}

fn receiver(reading: impl AsFd) -> nix::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let n = read(&reading, &mut buffer)?; // sleeps while it is empty
        if n == 0 {
            return Ok(()); // the last writer has closed it
        }
        write(stdout(), &buffer[..n])?;
    }
}

/// Makes the pipe, and a second process that gets both ends as well.
fn both(messages: &[String]) -> nix::Result<()> {
    let (reading, writing) = pipe()?;
    // SAFETY: this process has one thread, so its child may call what it likes.
    match unsafe { fork() }? {
        ForkResult::Child => {
            drop(writing); // or read never returns 0: the child is a writer as well
            receiver(reading)?;
            std::process::exit(0)
        }
        ForkResult::Parent { child } => {
            drop(reading); // or write would never fail with EPIPE: the parent is a reader
            sender(writing, messages)?; // closes it as well: the child's read returns 0
            waitpid(child, None).map(drop) // sleeps until the child has ended
        }
    }
}

pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, messages @ ..] if role == "sender" => sender(stdout(), messages)?,
        [role] if role == "receiver" => receiver(stdin())?,
        [role, messages @ ..] if role == "fork" => both(messages)?,
        _ => {
            eprintln!("usage: pipe sender MESSAGE... | receiver | fork MESSAGE...");
            std::process::exit(2)
        }
    }
    Ok(())
}
