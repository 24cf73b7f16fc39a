//! A Unix socket, bare: socket(2), bind(2), listen(2), accept(2), connect(2), send(2), recv(2).
//!
//! Wire: a message a line, sent back. shutdown(2) is the end. The server starts first.
//! Not here: a second client, full sockets, two servers that start at the same time.
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "socket"] }

use std::error::Error;
use std::io::stdout;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;

use nix::errno::Errno;
use nix::sys::socket::*;
use nix::unistd::{close, unlink, write};

/// Removes the name of a server that is dead; any other name is left alone.
fn remove_stale(name: &str) -> Result<(), Box<dyn Error>> {
    if !std::fs::symlink_metadata(name)?.file_type().is_socket() {
        return Err(format!("{name}: no socket").into());
    }
    // SOCK_NONBLOCK: or connect sleeps while the backlog is full.
    let flags = SockFlag::SOCK_NONBLOCK;
    let probe = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    match connect(probe.as_raw_fd(), &UnixAddr::new(name)?) {
        Err(Errno::ECONNREFUSED) => Ok(unlink(name)?), // nobody listens
        Err(Errno::EAGAIN) => Err(format!("{name}: a server is there, and is busy").into()),
        connected => {
            connected?;
            Err(format!("{name}: a server is there").into())
        }
    }
}

fn server(name: &str) -> Result<(), Box<dyn Error>> {
    let listener =
        socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None)?;
    match bind(listener.as_raw_fd(), &UnixAddr::new(name)?) {
        Err(Errno::EADDRINUSE) => {
            remove_stale(name)?;
            bind(listener.as_raw_fd(), &UnixAddr::new(name)?)?;
        }
        bound => bound?, // makes the name
    }
    listen(&listener, Backlog::new(5)?)?; // from now on the kernel connects clients
    let client = accept(listener.as_raw_fd())?; // sleeps until a client comes
    let mut data = [0; 4096];
    loop {
        let n = recv(client, &mut data, MsgFlags::empty())?; // sleeps until data comes
        if n == 0 {
            close(client)?; // the client's recv returns 0
            return Ok(unlink(name)?);
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

fn main() -> Result<(), Box<dyn Error>> {
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
