//! UDP and TCP at one port, in one thread: poll(2), and the calls of programs udp and tcp.
//!
//! Wire: what comes is sent back, by the way it came. A signal ends the server.
//! Cargo.toml: nix = { version = "0.31", features = ["net", "poll"] }

//[
use std::os::fd::BorrowedFd;
//]
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
//[
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
//]
use nix::sys::socket::*;

/// Sends all of `data` on a connection.
fn send_all(fd: i32, mut data: &[u8]) -> nix::Result<()> {
    while !data.is_empty() {
        let n = send(fd, data, MsgFlags::MSG_NOSIGNAL)?; // sleeps while it is full
        data = &data[n..];
    }
    Ok(())
}

fn server(address: SockaddrIn) -> nix::Result<()> {
    let inet = AddressFamily::Inet;
    let udp = socket(inet, SockType::Datagram, SockFlag::empty(), None)?;
    bind(udp.as_raw_fd(), &address)?; // a port of UDP's
    let listener = socket(inet, SockType::Stream, SockFlag::empty(), None)?;
    setsockopt(&listener, sockopt::ReuseAddr, &true)?;
    bind(listener.as_raw_fd(), &address)?; // a port of TCP's, with the same number
    listen(&listener, Backlog::new(5)?)?;
    let mut data = [0; 65536];
    //[
    let mut clients: Vec<OwnedFd> = Vec::new();
    //]
    loop {
        //[
        let mut all = vec![udp.as_raw_fd(), listener.as_raw_fd()];
        all.extend(clients.iter().map(AsRawFd::as_raw_fd));
        // SAFETY: each of them is open until the end of this round.
        let open = |fd: &i32| unsafe { BorrowedFd::borrow_raw(*fd) };
        let mut fds: Vec<_> =
            all.iter().map(|fd| PollFd::new(open(fd), PollFlags::POLLIN)).collect();
        poll(&mut fds, PollTimeout::NONE)?; // sleeps until a socket is ready
        let ready: Vec<_> = fds.iter().map(|fd| fd.any() == Some(true)).collect();
        for at in (0..all.len()).rev().filter(|at| ready[*at]) {
            match at {
                0 => {
                    let (n, client) = recvfrom(all[0], &mut data)?;
                    let client: SockaddrIn = client.ok_or(Errno::EDESTADDRREQ)?;
                    sendto(all[0], &data[..n], &client, MsgFlags::empty())?;
                }
                1 => {
                    let client = accept(all[1])?;
                    // SAFETY: accept has just made it.
                    clients.push(unsafe { OwnedFd::from_raw_fd(client) });
                }
                _ => match recv(all[at], &mut data, MsgFlags::empty()) {
                    Ok(n @ 1..) => send_all(all[at], &data[..n])?,
                    _ => drop(clients.remove(at - 2)),
                },
            }
        }
        //]
        //| // SAFETY: accept has just made it.
        //| let client = unsafe { OwnedFd::from_raw_fd(accept(listener.as_raw_fd())?) };
        //| loop {
        //|     let n = recv(client.as_raw_fd(), &mut data, MsgFlags::empty())?;
        //|     if n == 0 {
        //|         break;
        //|     }
        //|     send_all(client.as_raw_fd(), &data[..n])?;
        //| }
        //| let (n, client) = recvfrom(udp.as_raw_fd(), &mut data)?;
        //| let client: SockaddrIn = client.ok_or(Errno::EDESTADDRREQ)?;
        //| sendto(udp.as_raw_fd(), &data[..n], &client, MsgFlags::empty())?;
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, place] if role == "server" => server(place.parse()?)?,
        _ => {
            eprintln!("usage: both server PLACE");
            std::process::exit(2)
        }
    }
    Ok(())
}
