//! Many clients in one thread, bare: poll(2), and the calls of program unix.
//!
//! Wire: that of program unix. The server starts first, and ends when its last client has left.
//! Not here: a client that reads no answer, a client that is killed. See chapter multiplex.
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "poll", "socket"] }

use std::io::stdout;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::*;
use nix::unistd::{unlink, write};

fn server(name: &str) -> nix::Result<()> {
    let listener =
        socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None)?;
    bind(listener.as_raw_fd(), &UnixAddr::new(name)?)?; // makes the name
    listen(&listener, Backlog::new(5)?)?; // from now on the kernel connects clients
    let mut sockets = vec![listener];
    let mut data = [0; 4096];
    let mut exhausted = false;
    loop {
        let mut fds = Vec::new();
        for socket in &sockets {
            fds.push(PollFd::new(socket.as_fd(), PollFlags::POLLIN));
        }
        if exhausted {
            fds[0].set_events(PollFlags::empty()); // or poll would return at once, each time
        }
        poll(&mut fds, PollTimeout::NONE)?; // sleeps until a socket is ready
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any() == Some(true)).collect();
        // Downwards, since the last moves into a gap.
        for i in (0..sockets.len()).rev().filter(|i| ready[*i]) {
            let fd = sockets[i].as_raw_fd();
            if i == 0 {
                let accepted = accept(fd); // ready: neither accept nor recv sleeps
                if accepted == Err(Errno::EMFILE) {
                    exhausted = true;
                    continue;
                }
                let client = accepted?;
                // SAFETY: accept has made this descriptor, and nothing else owns it.
                sockets.push(unsafe { OwnedFd::from_raw_fd(client) });
                continue;
            }
            let n = recv(fd, &mut data, MsgFlags::empty())?;
            if n > 0 {
                send(fd, &data[..n], MsgFlags::MSG_NOSIGNAL)?; // sleeps while it is full
            } else {
                sockets.swap_remove(i); // close(2), by drop: the client's recv returns 0
                exhausted = false;
            }
        }
        if sockets.len() == 1 {
            return unlink(name);
        }
    }
}

fn client(name: &str, messages: &[String]) -> nix::Result<()> {
    let sock =
        socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None)?;
    connect(sock.as_raw_fd(), &UnixAddr::new(name)?)?; // sleeps while the backlog is full
    for message in messages {
        write(&sock, format!("{message}\n").as_bytes())?; // sleeps while the socket is full
    }
    shutdown(sock.as_raw_fd(), Shutdown::Write)?; // the server's recv returns 0
    let mut data = [0; 4096];
    loop {
        let n = recv(sock.as_raw_fd(), &mut data, MsgFlags::empty())?; // sleeps until data comes
        if n == 0 {
            return Ok(());
        }
        write(stdout(), &data[..n])?;
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, name] if role == "server" => server(name)?,
        [role, name, messages @ ..] if role == "client" => client(name, messages)?,
        _ => {
            eprintln!("usage: multiplex server PLACE | client PLACE MESSAGE...");
            std::process::exit(2)
        }
    }
    Ok(())
}
