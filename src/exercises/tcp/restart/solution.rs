//! A server that closes first: socket(2), setsockopt(2), bind(2), listen(2), accept(2), send(2).
//!
//! Wire: the server sends a line, and closes.
//! Cargo.toml: nix = { version = "0.31", features = ["net"] }

use std::io::stdout;
use std::os::fd::AsRawFd;

use nix::sys::socket::*;
use nix::unistd::{close, write};

fn server(address: SockaddrIn, message: &str) -> nix::Result<()> {
    let listener =
        socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None)?;
    //[
    // bind takes an address of which only connections in TIME_WAIT are left.
    setsockopt(&listener, sockopt::ReuseAddr, &true)?;
    //]
    bind(listener.as_raw_fd(), &address)?;
    listen(&listener, Backlog::new(5)?)?; // from now on the kernel connects clients
    let client = accept(listener.as_raw_fd())?; // sleeps until a client comes
    send(client, format!("{message}\n").as_bytes(), MsgFlags::MSG_NOSIGNAL)?;
    close(client) // the client's recv returns 0
}

fn client(address: SockaddrIn) -> nix::Result<()> {
    let sock =
        socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None)?;
    connect(sock.as_raw_fd(), &address)?; // sleeps until the host answers
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
        [role, place, message] if role == "server" => server(place.parse()?, message)?,
        [role, place] if role == "client" => client(place.parse()?)?,
        _ => {
            eprintln!("usage: tcp server PLACE MESSAGE | client PLACE");
            std::process::exit(2)
        }
    }
    Ok(())
}
