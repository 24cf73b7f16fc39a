//! Two streams of one command: pipe(2), poll(2), read(2), waitpid(2).
//!
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "poll"] }

use std::error::Error;
use std::io::{Write, stdout};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

//[
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;
//]
use nix::unistd::read;

/// A stream, until it has ended, and what it had.
struct Stream {
    end: Option<OwnedFd>,
    kept: Vec<u8>,
}

impl Stream {
    fn new(end: impl Into<OwnedFd>) -> Stream {
        Stream { end: Some(end.into()), kept: Vec::new() }
    }

    /// Reads once, and closes the stream at its end.
    fn take(&mut self) -> nix::Result<()> {
        let mut buffer = [0; 65536];
        if let Some(end) = &self.end {
            let n = read(end, &mut buffer)?;
            self.kept.extend(&buffer[..n]);
            if n == 0 {
                self.end = None; // or poll returns at once for ever
            }
        }
        Ok(())
    }
}

fn run(command: &[String]) -> Result<(), Box<dyn Error>> {
    let mut child = Command::new(&command[0])
        .args(&command[1..])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let out = Stream::new(child.stdout.take().ok_or("no pipe")?);
    let err = Stream::new(child.stderr.take().ok_or("no pipe")?);
    let mut streams = [out, err];
    //[
    while streams.iter().any(|stream| stream.end.is_some()) {
        let open = streams.iter().filter_map(|stream| stream.end.as_ref());
        let mut wanted: Vec<_> =
            open.map(|end| PollFd::new(end.as_fd(), PollFlags::POLLIN)).collect();
        poll(&mut wanted, PollTimeout::NONE)?; // sleeps until one has data, or has ended
        let ready: Vec<bool> = wanted.iter().map(|one| one.any().unwrap_or(true)).collect();
        let mut ready = ready.into_iter();
        for stream in streams.iter_mut().filter(|stream| stream.end.is_some()) {
            if ready.next() == Some(true) {
                stream.take()?;
            }
        }
    }
    //]
    //| for stream in &mut streams {
    //|     while stream.end.is_some() {
    //|         stream.take()?; // sleeps until it has data, or has ended
    //|     }
    //| }
    let status = child.wait()?; // sleeps until the command has ended
    println!("status {}", status.code().unwrap_or(-1));
    for (name, stream) in ["out", "err"].iter().zip(&streams) {
        println!("{name} {}", stream.kept.len());
        stdout().write_all(&stream.kept)?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, command @ ..] if role == "run" && !command.is_empty() => run(command)?,
        _ => {
            eprintln!("usage: run COMMAND ARGUMENT...");
            std::process::exit(2)
        }
    }
    Ok(())
}
