//! Datagrams on a Unix socket, bare: socket(2), bind(2), connect(2), sendto(2), recvfrom(2).
//!
//! Wire: a message a datagram, sent back. An empty one is the goodbye. The server starts first.
//! Not here: a peer that is killed, more than 4096 bytes, two clients. See chapter unix.
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "socket"] }

use std::io::stdout;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::*;
use nix::unistd::{unlink, write};

fn server(name: &str) -> nix::Result<()> {
    let sock =
        socket(AddressFamily::Unix, SockType::Datagram, SockFlag::empty(), None)?;
    let fd = sock.as_raw_fd();
    bind(fd, &UnixAddr::new(name)?)?; // makes the name
    let mut data = [0; 4096];
    loop {
        let (n, client) = recvfrom(fd, &mut data)?; // sleeps until a client sends
        let client: UnixAddr = client.ok_or(Errno::EDESTADDRREQ)?;
        sendto(fd, &data[..n], &client, MsgFlags::empty())?; // sleeps while its queue is full
        if n == 0 {
            return unlink(name); // the client's goodbye, and now it has the server's
        }
    }
}

fn client(name: &str, messages: &[String]) -> nix::Result<()> {
    let sock =
        socket(AddressFamily::Unix, SockType::Datagram, SockFlag::empty(), None)?;
    let fd = sock.as_raw_fd();
    bind(fd, &UnixAddr::new_unnamed())?; // the kernel chooses a name
    connect(fd, &UnixAddr::new(name)?)?; // no sleep: only notes the address
    let mut data = [0; 4097];
    for message in messages {
        send(fd, message.as_bytes(), MsgFlags::empty())?; // sleeps while its queue is full
        let n = recv(fd, &mut data[..4096], MsgFlags::empty())?; // sleeps until data comes
        data[n] = b'\n';
        write(stdout(), &data[..=n])?;
    }
    send(fd, b"", MsgFlags::empty())?; // the server's recvfrom returns 0
    recv(fd, &mut data, MsgFlags::empty())?; // sleeps until the server's goodbye
    Ok(())
}

pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, name] if role == "server" => server(name)?,
        [role, name, messages @ ..] if role == "client" => client(name, messages)?,
        _ => {
            eprintln!("usage: unix_dgram server PLACE | client PLACE MESSAGE...");
            std::process::exit(2)
        }
    }
    Ok(())
}
