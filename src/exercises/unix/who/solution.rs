//! Who a client is: socket(2), bind(2), listen(2), accept(2), getsockopt(2), send(2), unix(7).
//!
//! Wire: the server sends a line, PID UID GID, and closes.
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "socket"] }

//[
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::sys::socket::*;
use nix::unistd::{unlink, write};
//]

fn server(name: &str) -> nix::Result<()> {
    //[
    let listener =
        socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None)?;
    bind(listener.as_raw_fd(), &UnixAddr::new(name)?)?; // makes the name
    listen(&listener, Backlog::new(5)?)?; // from now on the kernel connects clients
    let client = accept(listener.as_raw_fd())?; // sleeps until a client comes
    // SAFETY: accept has made this descriptor, and nothing else owns it.
    let client = unsafe { OwnedFd::from_raw_fd(client) };
    // What the kernel wrote down at the client's connect.
    let peer = getsockopt(&client, sockopt::PeerCredentials)?;
    let line = format!("{} {} {}\n", peer.pid(), peer.uid(), peer.gid());
    write(&client, line.as_bytes())?;
    unlink(name) // close(2), by drop: the client's recv returns 0
    //]
    //| // Make the socket `name`, accept a client, tell it who it is, and remove the name.
    //| eprintln!("server {name}: not written yet");
    //| std::process::exit(1)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, name] if role == "server" => server(name)?,
        _ => {
            eprintln!("usage: server PLACE");
            std::process::exit(2)
        }
    }
    Ok(())
}
