//! Lines over TCP: socket(2), bind(2), listen(2), accept(2), recv(2), send(2).
//!
//! Wire: a line, and a line back with its length. shutdown(2) is the end.
//! Cargo.toml: nix = { version = "0.31", features = ["net"] }

use std::os::fd::AsRawFd;

use nix::sys::socket::*;
use nix::unistd::close;

fn server(address: SockaddrIn) -> nix::Result<()> {
    let listener =
        socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None)?;
    // SO_REUSEADDR: or bind fails while a connection of an earlier server is in TIME_WAIT.
    setsockopt(&listener, sockopt::ReuseAddr, &true)?;
    bind(listener.as_raw_fd(), &address)?;
    listen(&listener, Backlog::new(5)?)?; // from now on the kernel connects clients
    let client = accept(listener.as_raw_fd())?; // sleeps until a client comes
    //[
    let mut data = [0; 4096];
    let mut length = 0; // of the line so far: recv knows nothing of lines
    loop {
        let n = recv(client, &mut data, MsgFlags::empty())?; // sleeps until data comes
        if n == 0 {
            break;
        }
        for byte in &data[..n] {
            if *byte == b'\n' {
                let answer = format!("{length}\n");
                // MSG_NOSIGNAL: EPIPE, and no SIGPIPE, if the client has left.
                send(client, answer.as_bytes(), MsgFlags::MSG_NOSIGNAL)?; // sleeps while it is full
                length = 0;
            } else {
                length += 1;
            }
        }
    }
    //]
    //| // For each line, send its length and a newline.
    close(client) // the client's recv returns 0
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, place] if role == "server" => server(place.parse()?)?,
        _ => {
            eprintln!("usage: lines server PLACE");
            std::process::exit(2)
        }
    }
    Ok(())
}
