//! Many clients in one thread, bare: epoll(7), and the calls of program unix.
//!
//! Wire: that of program unix. The server starts first, and ends when its last client has left.
//! Not here: a client that reads no answer, EINTR after a stop. See chapter multiplex.
//! Cargo.toml: nix = { version = "0.31", features = ["event", "fs", "socket"] }

use std::io::stdout;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use nix::sys::{epoll::*, socket::*};
use nix::unistd::{close, unlink, write};

fn server(name: &str) -> nix::Result<()> {
    let listener =
        socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None)?;
    bind(listener.as_raw_fd(), &UnixAddr::new(name)?)?; // makes the name
    listen(&listener, Backlog::new(5)?)?; // from now on the kernel connects clients
    let epoll = Epoll::new(EpollCreateFlags::empty())?; // the kernel keeps the interest list
    let readable = |fd: RawFd| EpollEvent::new(EpollFlags::EPOLLIN, fd as u64);
    epoll.add(&listener, readable(listener.as_raw_fd()))?;
    let mut ready = [EpollEvent::empty(); 64];
    let mut data = [0; 4096];
    let mut clients = 0;
    loop {
        let count = epoll.wait(&mut ready, EpollTimeout::NONE)?; // sleeps until a socket is ready
        for event in &ready[..count] {
            let fd = event.data() as RawFd;
            if fd == listener.as_raw_fd() {
                let client = accept(fd)?; // ready: neither accept nor recv sleeps
                // SAFETY: this descriptor is open until the close below.
                let sock = unsafe { BorrowedFd::borrow_raw(client) };
                epoll.add(sock, readable(client))?;
                clients += 1;
                continue;
            }
            let n = recv(fd, &mut data, MsgFlags::empty())?;
            if n > 0 {
                send(fd, &data[..n], MsgFlags::MSG_NOSIGNAL)?; // sleeps while it is full
            } else {
                close(fd)?; // the client's recv returns 0; fd leaves the interest list
                clients -= 1;
            }
        }
        if clients == 0 {
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

pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let usage = "usage: multiplex_epoll server PLACE | client PLACE MESSAGE...";
    match &words[..] {
        [role, name] if role == "server" => server(name)?,
        [role, name, messages @ ..] if role == "client" => client(name, messages)?,
        _ => {
            eprintln!("{usage}");
            std::process::exit(2)
        }
    }
    Ok(())
}
