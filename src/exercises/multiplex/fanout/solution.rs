//! One to many: poll(2), accept(2), read(2), send(2).
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "poll", "socket"] }

use std::io::stdin;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::*;
use nix::unistd::{read, unlink};

/// Whether the client has got all of it.
fn tell(client: &OwnedFd, lines: &[u8]) -> nix::Result<bool> {
    //[
    // MSG_DONTWAIT: EAGAIN, or a part, and no sleep, if there is no room.
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    Ok(send(client.as_raw_fd(), lines, flags) == Ok(lines.len()))
    //]
    //| let mut sent = 0;
    //| while sent < lines.len() {
    //|     // Sleeps while there is no room.
    //|     sent += send(client.as_raw_fd(), &lines[sent..], MsgFlags::MSG_NOSIGNAL)?;
    //| }
    //| Ok(true)
}

fn publish(name: &str) -> nix::Result<()> {
    let listener =
        socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None)?;
    bind(listener.as_raw_fd(), &UnixAddr::new(name)?)?;
    listen(&listener, Backlog::new(100)?)?;
    let (own, mut clients, mut begun) = (stdin(), Vec::new(), Vec::new());
    loop {
        let mut fds = [own.as_fd(), listener.as_fd()]
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        poll(&mut fds, PollTimeout::NONE)?; // sleeps until there are lines, or a client
        let [lines, client] = fds.map(|fd| fd.any() == Some(true));
        if client {
            let client = accept(listener.as_raw_fd())?;
            // SAFETY: accept has made it for us.
            clients.push(unsafe { OwnedFd::from_raw_fd(client) });
        }
        if !lines {
            continue;
        }
        let mut data = [0; 65536];
        let n = read(&own, &mut data)?;
        if n == 0 {
            return unlink(name);
        }
        begun.extend(&data[..n]);
        let whole = begun.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines: Vec<u8> = begun.drain(..whole).collect();
        let mut failed = Ok(());
        clients.retain(|client| {
            tell(client, &lines).unwrap_or_else(|error| {
                failed = Err(error);
                false
            })
        });
        failed?;
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, name] if role == "publish" => publish(name)?,
        _ => {
            eprintln!("usage: publish PLACE");
            std::process::exit(2)
        }
    }
    Ok(())
}
