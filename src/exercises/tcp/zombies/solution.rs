//! TCP, a child process for each client, bare: fork(2), waitpid(2), and the calls of program tcp.
//!
//! Wire: a message a line, sent back. shutdown(2) is the end. The server starts first.
//! Not here: a server that is killed.
//! Cargo.toml: nix = { version = "0.31", features = ["net", "process", "signal"] }

use std::{io::stdout, os::fd::AsRawFd, process::exit};

use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::{socket::*, wait::*};
use nix::unistd::{close, fork, write};

fn server(address: SockaddrIn, mut clients: i64) -> nix::Result<()> {
    // SAFETY: no handler is set. No child becomes a zombie.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn)? };
    let listener =
        socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None)?;
    // SO_REUSEADDR: or bind fails while a connection of an earlier server is in TIME_WAIT.
    setsockopt(&listener, sockopt::ReuseAddr, &true)?;
    bind(listener.as_raw_fd(), &address)?;
    listen(&listener, Backlog::new(5)?)?; // from now on the kernel connects clients
    let mut data = [0; 4096];
    while clients != 0 {
        let client = accept(listener.as_raw_fd())?; // sleeps until a client comes
        // SAFETY: this process has one thread, so that its child may make any call.
        if unsafe { fork() }?.is_child() {
            close(listener)?;
            loop {
                let n = recv(client, &mut data, MsgFlags::empty())?; // sleeps until data comes
                if n == 0 {
                    exit(0); // and close: the client's recv returns 0
                }
                // MSG_NOSIGNAL: EPIPE, and no SIGPIPE, if the client has left.
                send(client, &data[..n], MsgFlags::MSG_NOSIGNAL)?; // sleeps while it is full
            }
        }
        close(client)?; // or the client's recv would not return 0
        clients -= 1;
    }
    close(listener)?; // a later client is refused
    while waitpid(None, None).is_ok() {} // sleeps until all have ended: ECHILD
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
    let usage = "usage: tcp_fork server PLACE [CLIENTS] | client PLACE MESSAGE...";
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
            exit(2)
        }
    }
    Ok(())
}
