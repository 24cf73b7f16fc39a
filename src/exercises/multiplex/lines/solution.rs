//! Lines of many clients: poll(2), and the calls of program unix.
//!
//! Wire: a line, and a line back with its length. The server ends when its last client has left.
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "poll", "socket"] }

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::*;
use nix::unistd::{unlink, write};

struct Client {
    sock: OwnedFd,
    //[
    /// Of its line so far.
    length: usize,
    //]
}

fn server(name: &str) -> nix::Result<()> {
    let listener =
        socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None)?;
    bind(listener.as_raw_fd(), &UnixAddr::new(name)?)?; // makes the name
    listen(&listener, Backlog::new(5)?)?; // from now on the kernel connects clients
    let mut clients: Vec<Client> = Vec::new();
    loop {
        let mut fds = vec![PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        for client in &clients {
            fds.push(PollFd::new(client.sock.as_fd(), PollFlags::POLLIN));
        }
        poll(&mut fds, PollTimeout::NONE)?; // sleeps until a socket is ready
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any() == Some(true)).collect();
        // Downwards, since the last moves into a gap.
        for i in (0..clients.len()).rev().filter(|i| ready[1 + i]) {
            if serve(&mut clients[i])? {
                clients.swap_remove(i); // close(2), by drop: the client's recv returns 0
            }
        }
        if ready[0] {
            let client = accept(listener.as_raw_fd())?; // ready: it does not sleep
            // SAFETY: accept has made this descriptor, and nothing else owns it.
            let sock = unsafe { OwnedFd::from_raw_fd(client) };
            //[
            clients.push(Client { sock, length: 0 });
            //]
            //| clients.push(Client { sock });
        }
        if clients.is_empty() {
            return unlink(name);
        }
    }
}

/// Answers lines; whether the client has left.
fn serve(client: &mut Client) -> nix::Result<bool> {
    //[
    let mut data = [0; 4096];
    // Once: a second recv could sleep.
    let n = recv(client.sock.as_raw_fd(), &mut data, MsgFlags::empty())?;
    for byte in &data[..n] {
        if *byte == b'\n' {
            let answer = format!("{}\n", client.length);
            write(&client.sock, answer.as_bytes())?; // sleeps while it is full
            client.length = 0;
        } else {
            client.length += 1;
        }
    }
    Ok(n == 0)
    //]
    //| let mut length = 0;
    //| let mut byte = [0];
    //| while recv(client.sock.as_raw_fd(), &mut byte, MsgFlags::empty())? > 0 {
    //|     if byte == *b"\n" {
    //|         write(&client.sock, format!("{length}\n").as_bytes())?; // sleeps while it is full
    //|         return Ok(false);
    //|     }
    //|     length += 1;
    //| }
    //| Ok(true)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, name] if role == "server" => server(name)?,
        _ => {
            eprintln!("usage: lines server PLACE");
            std::process::exit(2)
        }
    }
    Ok(())
}
