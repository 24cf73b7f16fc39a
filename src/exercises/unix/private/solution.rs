//! A Unix socket, bare: socket(2), bind(2), listen(2), accept(2), connect(2), send(2), recv(2).
//!
//! Wire: a message a line, sent back. shutdown(2) is the end. The server starts first.
//! Not here: a second client, a name that a killed server left, full sockets.
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "socket"] }

use std::io::stdout;
use std::os::fd::AsRawFd;

use nix::sys::socket::*;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{close, unlink, write};

fn server(name: &str) -> nix::Result<()> {
    let listener =
        socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None)?;
    let before = umask(Mode::from_bits_truncate(0o177)); // of the whole process
    let bound = bind(listener.as_raw_fd(), &UnixAddr::new(name)?); // makes the name, mode 0600
    umask(before);
    bound?;
    listen(&listener, Backlog::new(5)?)?; // from now on the kernel connects clients
    let client = accept(listener.as_raw_fd())?; // sleeps until a client comes
    let mut data = [0; 4096];
    loop {
        let n = recv(client, &mut data, MsgFlags::empty())?; // sleeps until data comes
        if n == 0 {
            close(client)?; // the client's recv returns 0
            return unlink(name);
        }
        // MSG_NOSIGNAL: EPIPE, and no SIGPIPE, if the client has left.
        send(client, &data[..n], MsgFlags::MSG_NOSIGNAL)?; // sleeps while the socket is full
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
            eprintln!("usage: unix server PLACE | client PLACE MESSAGE...");
            std::process::exit(2)
        }
    }
    Ok(())
}
