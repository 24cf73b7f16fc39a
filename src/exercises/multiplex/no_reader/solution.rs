//! Many clients in one thread, bare: poll(2), and the calls of program unix.
//!
//! Wire: that of program unix. The server starts first, and ends when its last client has left.
//! Not here: a client that is killed.
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "poll", "socket"] }

use std::io::stdout;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::*;
use nix::unistd::{unlink, write};

struct Client {
    sock: OwnedFd,
    /// Answers for which there was no room.
    waiting: Vec<u8>,
}

fn server(name: &str) -> nix::Result<()> {
    let listener =
        socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None)?;
    bind(listener.as_raw_fd(), &UnixAddr::new(name)?)?; // makes the name
    listen(&listener, Backlog::new(5)?)?; // from now on the kernel connects clients
    let mut clients: Vec<Client> = Vec::new();
    let mut data = [0; 4096];
    loop {
        let mut fds = vec![PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        for client in &clients {
            // One of the two: while an answer waits, nothing more is read.
            let full = !client.waiting.is_empty();
            let events = if full { PollFlags::POLLOUT } else { PollFlags::POLLIN };
            fds.push(PollFd::new(client.sock.as_fd(), events));
        }
        poll(&mut fds, PollTimeout::NONE)?; // sleeps until a socket is ready
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any() == Some(true)).collect();
        // Downwards, since the last moves into a gap.
        for i in (0..clients.len()).rev().filter(|i| ready[1 + i]) {
            let client = &mut clients[i];
            let fd = client.sock.as_raw_fd();
            if client.waiting.is_empty() {
                let n = recv(fd, &mut data, MsgFlags::empty())?; // ready: it does not sleep
                if n == 0 {
                    clients.swap_remove(i); // close(2), by drop: the client's recv returns 0
                    continue;
                }
                client.waiting.extend(&data[..n]);
            }
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            match send(fd, &client.waiting, flags) {
                Err(Errno::EAGAIN) => {} // full
                sent => drop(client.waiting.drain(..sent?)),
            }
        }
        if ready[0] {
            let client = accept(listener.as_raw_fd())?; // ready: it does not sleep
            // SAFETY: accept has made this descriptor, and nothing else owns it.
            let sock = unsafe { OwnedFd::from_raw_fd(client) };
            clients.push(Client { sock, waiting: Vec::new() });
        }
        if clients.is_empty() {
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
