//! TCP, bare: socket(2), bind(2), listen(2), accept(2), connect(2), send(2), recv(2), shutdown(2).
//!
//! Wire: a message a line, sent back. shutdown(2) is the end. The server starts first.
//! Not here: a second client, a client that is killed, host names, IPv6. See chapter tcp.
//! Cargo.toml: nix = { version = "0.31", features = ["net"] }

use std::io::stdout;
use std::os::fd::AsRawFd;

use nix::sys::socket::*;
use nix::unistd::{close, write};

fn server(address: SockaddrIn) -> nix::Result<()> {
    let listener =
        socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None)?;
    // SO_REUSEADDR: or bind fails while a connection of an earlier server is in TIME_WAIT.
    setsockopt(&listener, sockopt::ReuseAddr, &true)?;
    bind(listener.as_raw_fd(), &address)?;
    listen(&listener, Backlog::new(5)?)?; // from now on the kernel connects clients
    let client = accept(listener.as_raw_fd())?; // sleeps until a client comes
    let mut data = [0; 4096];
    loop {
        let n = recv(client, &mut data, MsgFlags::empty())?; // sleeps until data comes
        if n == 0 {
            return close(client); // the client's recv returns 0
        }
        // MSG_NOSIGNAL: EPIPE, and no SIGPIPE, if the client has left.
        send(client, &data[..n], MsgFlags::MSG_NOSIGNAL)?; // sleeps while the socket is full
    }
}

fn client(address: SockaddrIn, messages: &[String]) -> nix::Result<()> {
    let sock =
        socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None)?;
    connect(sock.as_raw_fd(), &address)?; // sleeps until the host answers
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

pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, place] if role == "server" => server(place.parse()?)?,
        [role, place, messages @ ..] if role == "client" => {
            client(place.parse()?, messages)?
        }
        _ => {
            eprintln!("usage: tcp server PLACE | client PLACE MESSAGE...");
            std::process::exit(2)
        }
    }
    Ok(())
}
