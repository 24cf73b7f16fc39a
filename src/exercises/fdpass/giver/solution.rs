//! Files that are passed on: socket(2), connect(2), open(2), sendmsg(2), SCM_RIGHTS of unix(7).
//!
//! Cargo.toml: nix = { version = "0.31", features = ["socket", "uio"] }

use std::error::Error;
//[
use std::fs::File;
use std::io::IoSlice;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
//]

fn giver(place: &str, files: &[String]) -> Result<(), Box<dyn Error>> {
    //[
    let sock = UnixStream::connect(place)?;
    for name in files {
        let file = File::open(name).map_err(|error| format!("{name}: {error}"))?;
        let descriptors = [file.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&descriptors)];
        let flags = MsgFlags::MSG_NOSIGNAL; // EPIPE, if the other process has gone
        let bytes = [IoSlice::new(b"x")];
        sendmsg::<()>(sock.as_raw_fd(), &bytes, &rights, flags, None)?; // sleeps if it is full
        // The file is closed here: the one in flight keeps it open.
    }
    Ok(())
    //]
    //| // Connect to `place`, and pass each of `files`, opened, with a byte x.
    //| Err(format!("giver {place} {files:?}: not written yet").into())
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, place, files @ ..] if role == "giver" => giver(place, files)?,
        _ => {
            eprintln!("usage: giver PLACE FILE...");
            std::process::exit(2)
        }
    }
    Ok(())
}
