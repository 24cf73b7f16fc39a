//! Datagrams on a Unix socket, bare: socket(2), bind(2), connect(2), sendto(2), recvfrom(2).
//!
//! Wire: a message a datagram, sent back. An empty one is the goodbye. The server starts first.
//! Not here: a peer that is killed, two clients.
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "socket"] }

use std::io::stdout;
use std::os::fd::{AsRawFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::*;
use nix::unistd::{unlink, write};

/// Receives a datagram of any length, and who sent it.
fn receive(fd: RawFd) -> nix::Result<(Vec<u8>, Option<UnixAddr>)> {
    // MSG_TRUNC: the datagram's own length. MSG_PEEK: it stays in the queue.
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC;
    let length = recv(fd, &mut [], flags)?; // sleeps until data comes
    let mut data = vec![0; length];
    let (_, sender) = recvfrom(fd, &mut data)?;
    Ok((data, sender))
}

fn server(name: &str) -> nix::Result<()> {
    let sock =
        socket(AddressFamily::Unix, SockType::Datagram, SockFlag::empty(), None)?;
    let fd = sock.as_raw_fd();
    bind(fd, &UnixAddr::new(name)?)?; // makes the name
    loop {
        let (data, client) = receive(fd)?; // sleeps until a client sends
        let client = client.ok_or(Errno::EDESTADDRREQ)?;
        sendto(fd, &data, &client, MsgFlags::empty())?; // sleeps while its queue is full
        if data.is_empty() {
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
    for message in messages {
        send(fd, message.as_bytes(), MsgFlags::empty())?; // sleeps while its queue is full
        let (mut data, _) = receive(fd)?; // sleeps until data comes
        data.push(b'\n');
        write(stdout(), &data)?;
    }
    send(fd, b"", MsgFlags::empty())?; // the server's recvfrom returns 0
    recv(fd, &mut [0], MsgFlags::empty())?; // sleeps until the server's goodbye
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
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
