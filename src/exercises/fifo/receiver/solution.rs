//! A FIFO's receiver: mkfifo(3), open(2), read(2), write(2), unlink(2).
//!
//! Cargo.toml: nix = { version = "0.31", features = ["fs"] }

//[
use std::io::stdout;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{mkfifo, read, unlink, write};
//]

fn receiver(name: &str) -> nix::Result<()> {
    //[
    match mkfifo(name, Mode::S_IRUSR | Mode::S_IWUSR) {
        Err(Errno::EEXIST) => {} // the sender was first
        made => made?,
    }
    let fifo = open(name, OFlag::O_RDONLY, Mode::empty())?; // sleeps until a writer opens it
    let mut buffer = [0; 65536];
    loop {
        let n = read(&fifo, &mut buffer)?; // sleeps while it is empty
        if n == 0 {
            break; // the last writer has closed it
        }
        let mut rest = &buffer[..n];
        while !rest.is_empty() {
            let written = write(stdout(), rest)?; // may be less than all
            rest = &rest[written..];
        }
    }
    unlink(name)
    //]
    //| // Make the FIFO at `name`, open it, print what comes out, and remove it.
    //| eprintln!("receiver {name}: not written yet");
    //| std::process::exit(1)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, name] if role == "receiver" => receiver(name)?,
        _ => {
            eprintln!("usage: receiver PLACE");
            std::process::exit(2)
        }
    }
    Ok(())
}
