//! A FIFO with one receiver: mkfifo(3), open(2), flock(2), poll(2), read(2), unlink(2).
//!
//! Wire: a message a line. The end is the last writer's close(2).
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "poll"] }

use std::io::stdout;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, Flock, FlockArg, OFlag, fcntl, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use nix::unistd::{mkfifo, read, unlink, write};

fn receiver(name: &str) -> nix::Result<()> {
    make(name)?;
    let now = OFlag::O_RDONLY | OFlag::O_NONBLOCK; // open returns at once
    let fifo = open(name, now, Mode::empty())?;
    // EWOULDBLOCK: another receiver is there.
    let fifo = Flock::lock(fifo, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno)?;
    let mut writer = [PollFd::new(fifo.as_fd(), PollFlags::POLLIN)];
    poll(&mut writer, PollTimeout::NONE)?; // sleeps until a writer has written, or come and gone
    fcntl(&*fifo, FcntlArg::F_SETFL(OFlag::empty()))?; // without O_NONBLOCK
    let mut buffer = [0; 4096];
    loop {
        let n = read(&*fifo, &mut buffer)?; // sleeps while it is empty
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

fn sender(name: &str, messages: &[String]) -> nix::Result<()> {
    make(name)?;
    let fifo = open(name, OFlag::O_WRONLY, Mode::empty())?; // sleeps until a reader opens it
    for message in messages {
        write(&fifo, format!("{message}\n").as_bytes())?; // sleeps while it is full
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
