//! TCP, one client after another, bare: accept(2) in a loop, and the calls of program tcp.
//!
//! Wire: a message a line, sent back. shutdown(2) is the end. The server starts first.
//! Not here: two clients at once, host names, IPv6.
//! Cargo.toml: nix = { version = "0.31", features = ["net"] }

use std::io::stdout;
use std::os::fd::{AsRawFd, RawFd};

use nix::sys::socket::*;
use nix::unistd::{close, write};

fn serve(client: RawFd) -> nix::Result<()> {
    let mut data = [0; 4096];
    loop {
        let n = recv(client, &mut data, MsgFlags::empty())?; // sleeps until data comes
        if n == 0 {
            return Ok(());
        }
        // MSG_NOSIGNAL: EPIPE, and no SIGPIPE, if the client has left.
        send(client, &data[..n], MsgFlags::MSG_NOSIGNAL)?; // sleeps while the socket is full
    }
}

fn server(address: SockaddrIn, mut clients: i64) -> nix::Result<()> {
    let listener =
        socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None)?;
    // SO_REUSEADDR: or bind fails while a connection of an earlier server is in TIME_WAIT.
    setsockopt(&listener, sockopt::ReuseAddr, &true)?;
    bind(listener.as_raw_fd(), &address)?;
    listen(&listener, Backlog::new(5)?)?; // from now on the kernel connects clients
    while clients != 0 {
        let client = accept(listener.as_raw_fd())?; // sleeps until a client comes
        if let Err(error) = serve(client) {
            eprintln!("a client was lost: {error}"); // ECONNRESET, EPIPE
        }
        close(client)?; // the client's recv returns 0
        clients -= 1;
    }
    Ok(())
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

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let clients = words.get(2).map_or(0, |clients| clients.parse().unwrap_or(0));
    let usage =
        "usage: tcp_iterative server PLACE [CLIENTS] | client PLACE MESSAGE...";
    match &words[..] {
        [role, place] if role == "server" => server(place.parse()?, -1)?, // for ever
        [role, place, _] if role == "server" && clients > 0 => {
            server(place.parse()?, clients)?
        }
        [role, place, messages @ ..] if role == "client" => {
            client(place.parse()?, messages)?
        }
        _ => {
            eprintln!("{usage}");
            std::process::exit(2)
        }
    }
    Ok(())
}
