//! Edge-triggered: epoll(7), EPOLLET, and the calls of program unix.
//!
//! Wire: that of program unix. The server ends when its last client has left.
//! Cargo.toml: nix = { version = "0.31", features = ["event", "fs", "socket"] }

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

//[
use nix::errno::Errno;
//]
use nix::sys::{epoll::*, socket::*};
use nix::unistd::{close, unlink};

fn server(name: &str) -> nix::Result<()> {
    //[
    let flags = SockFlag::SOCK_NONBLOCK;
    //]
    //| let flags = SockFlag::empty();
    let listener = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    bind(listener.as_raw_fd(), &UnixAddr::new(name)?)?; // makes the name
    listen(&listener, Backlog::new(5)?)?; // from now on the kernel connects clients
    let epoll = Epoll::new(EpollCreateFlags::empty())?; // the kernel keeps the interest list
    let edge = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
    epoll.add(&listener, EpollEvent::new(edge, listener.as_raw_fd() as u64))?;
    let mut ready = [EpollEvent::empty(); 64];
    let mut clients = 0;
    loop {
        let count = epoll.wait(&mut ready, EpollTimeout::NONE); // sleeps until something has come
        //[
        if count == Err(Errno::EINTR) {
            continue; // stopped and continued: signal(7)
        }
        //]
        let count = count?;
        for event in &ready[..count] {
            let fd = event.data() as RawFd;
            if fd == listener.as_raw_fd() {
                //[
                // Until EAGAIN: an event may stand for several clients.
                while let Some(client) = taken(accept(fd))? {
                    // SAFETY: this descriptor is open until it is closed in serve.
                    let sock = unsafe { BorrowedFd::borrow_raw(client) };
                    epoll.add(sock, EpollEvent::new(edge, client as u64))?;
                    clients += 1;
                }
                //]
                //| let client = accept(fd)?;
                //| // SAFETY: this descriptor is open until it is closed in serve.
                //| let sock = unsafe { BorrowedFd::borrow_raw(client) };
                //| epoll.add(sock, EpollEvent::new(edge, client as u64))?;
                //| clients += 1;
            } else if serve(fd)? {
                clients -= 1;
            }
        }
        if clients == 0 {
            return unlink(name);
        }
    }
}

/// Sends back what has come; whether the client has left.
fn serve(fd: RawFd) -> nix::Result<bool> {
    let mut data = [0; 4096];
    //[
    // Until EAGAIN: all is read, and more makes an event.
    while let Some(n) = taken(recv(fd, &mut data, MsgFlags::MSG_DONTWAIT))? {
        if n == 0 {
            close(fd)?; // the client's recv returns 0; fd leaves the interest list
            return Ok(true);
        }
        send(fd, &data[..n], MsgFlags::MSG_NOSIGNAL)?; // sleeps while it is full
    }
    //]
    //| let n = recv(fd, &mut data, MsgFlags::empty())?;
    //| if n == 0 {
    //|     close(fd)?; // the client's recv returns 0; fd leaves the interest list
    //|     return Ok(true);
    //| }
    //| send(fd, &data[..n], MsgFlags::MSG_NOSIGNAL)?; // sleeps while it is full
    Ok(false)
}

//[
/// `None` for EAGAIN: all that had come has been taken.
fn taken<T>(result: nix::Result<T>) -> nix::Result<Option<T>> {
    match result {
        Err(Errno::EAGAIN) => Ok(None),
        result => result.map(Some),
    }
}

//]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, name] if role == "server" => server(name)?,
        _ => {
            eprintln!("usage: edge server PLACE");
            std::process::exit(2)
        }
    }
    Ok(())
}
