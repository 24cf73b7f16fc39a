//! Lines of two inputs, as they come: poll(2), read(2), write(2).
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "poll"] }

use std::io::{stdin, stdout};
use std::os::fd::{AsFd, BorrowedFd};

//| use nix::errno::Errno;
//| use nix::fcntl::{FcntlArg, fcntl};
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use nix::unistd::{read, write};

//| /// All that is there; nothing at the end.
//| fn drain(input: BorrowedFd) -> nix::Result<Vec<u8>> {
//|     let (mut all, mut data) = (Vec::new(), [0; 4096]);
//|     loop {
//|         match read(input, &mut data) {
//|             Ok(0) | Err(Errno::EAGAIN) => return Ok(all),
//|             n => all.extend(&data[..n?]),
//|         }
//|     }
//| }
//|
/// Reads what has come, and prints the lines that are whole. Whether there may be more.
fn take(input: BorrowedFd, begun: &mut Vec<u8>) -> nix::Result<bool> {
    //[
    let mut data = [0; 4096];
    let n = read(input, &mut data)?; // once: poll has said that this one does not sleep
    begun.extend(&data[..n]);
    //]
    //| let data = drain(input)?;
    //| let n = data.len();
    //| begun.extend(&data);
    if n == 0 && !begun.is_empty() {
        begun.push(b'\n');
    }
    let whole = begun.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if whole > 0 {
        write(stdout(), &begun[..whole])?;
        begun.drain(..whole);
    }
    Ok(n > 0)
}

fn merge(name: &str) -> nix::Result<()> {
    let fifo = open(name, OFlag::O_RDONLY, Mode::empty())?; // sleeps until a writer has it open
    let own = stdin();
    let mut inputs = vec![(own.as_fd(), Vec::new()), (fifo.as_fd(), Vec::new())];
    //| for (input, _) in &inputs {
    //|     fcntl(input, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    //| }
    while !inputs.is_empty() {
        let watch = |(input, _): &(_, _)| PollFd::new(*input, PollFlags::POLLIN);
        let mut fds: Vec<PollFd> = inputs.iter().map(watch).collect();
        poll(&mut fds, PollTimeout::NONE)?; // sleeps until one of them has data, or its end
        for at in (0..fds.len()).rev() {
            let (input, begun) = &mut inputs[at];
            if fds[at].any() == Some(true) && !take(*input, begun)? {
                inputs.remove(at);
            }
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, name] if role == "merge" => merge(name)?,
        _ => {
            eprintln!("usage: merge PLACE");
            std::process::exit(2)
        }
    }
    Ok(())
}
