//! An eventfd that is read until its connection ends: recvmsg(2), poll(2), read(2), eventfd(2).
//!
//! Cargo.toml: nix = { version = "0.31", features = ["poll", "socket", "uio"] }

use std::error::Error;
//[
use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::unistd::read;
//]

fn reader(place: &str) -> Result<(), Box<dyn Error>> {
    //[
    let sock = UnixStream::connect(place)?;
    let (mut byte, mut room) = ([0], nix::cmsg_space!(RawFd));
    let mut bytes = [IoSliceMut::new(&mut byte)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let got = recvmsg::<()>(sock.as_raw_fd(), &mut bytes, Some(&mut room), flags)?; // sleeps
    let Some(ControlMessageOwned::ScmRights(rights)) = got.cmsgs()?.next() else {
        return Err("no descriptor came".into());
    };
    // SAFETY: it was just received, and is nobody else's.
    let event = unsafe { OwnedFd::from_raw_fd(rights[0]) };
    loop {
        let watched = [event.as_fd(), sock.as_fd()];
        let mut fds = watched.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        poll(&mut fds, PollTimeout::NONE)?; // sleeps until there is a number, or the end
        match fds.map(|fd| fd.any().unwrap_or(false)) {
            [true, _] => {
                let mut number = [0; 8];
                read(&event, &mut number)?; // takes all, or 1 if it was made so
                println!("{}", u64::from_ne_bytes(number));
            }
            // Only now: what was written before the end has been read.
            [false, true] => return Ok(()),
            [false, false] => {}
        }
    }
    //]
    //| // Connect to `place`, be passed the eventfd, and print its numbers until the end.
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
