//! Files that are received, one a message: socket(2), connect(2), recvmsg(2), SCM_RIGHTS of unix(7).
//!
//! Cargo.toml: nix = { version = "0.31", features = ["socket", "uio"] }

use std::error::Error;
use std::fs::File;
use std::io::{IoSliceMut, copy, stdout};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

fn receiver(place: &str) -> Result<(), Box<dyn Error>> {
    let sock = UnixStream::connect(place)?;
    loop {
        let (mut byte, mut room) = ([0], nix::cmsg_space!([RawFd; 253])); // SCM_MAX_FD
        let mut bytes = [IoSliceMut::new(&mut byte)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let got = recvmsg::<()>(sock.as_raw_fd(), &mut bytes, Some(&mut room), flags)?; // sleeps
        if got.bytes == 0 {
            return Ok(()); // the other process has closed its end
        }
        if let Some(ControlMessageOwned::ScmRights(rights)) = got.cmsgs()?.next() {
            // SAFETY: they were just received, and are nobody else's. All are closed by drop.
            let own = |fd| unsafe { File::from_raw_fd(fd) };
            //[
            let mut files: Vec<File> = rights.into_iter().map(own).collect();
            if let [file] = &mut files[..] {
                copy(file, &mut stdout())?; // a pipe: sleeps while it is empty
            }
            //]
            //| copy(&mut own(rights[0]), &mut stdout())?; // a pipe: sleeps while it is empty
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, place] if role == "receiver" => receiver(place)?,
        _ => {
            eprintln!("usage: receiver PLACE");
            std::process::exit(2)
        }
    }
    Ok(())
}
