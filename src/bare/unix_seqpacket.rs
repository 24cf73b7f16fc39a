//! Packets on a Unix socket, bare: socket(2), SOCK_SEQPACKET, and the calls of program unix.
//!
//! Wire: a message a packet, sent back; simpler than the role's: no empty one. The server is first.
//! Not here: more than 4096 bytes, a second client, a client that is killed. See chapter unix.
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "socket"] }

use std::io::stdout;
use std::os::fd::AsRawFd;

use nix::sys::socket::*;
use nix::unistd::{close, unlink, write};

fn server(name: &str) -> nix::Result<()> {
    let listener =
        socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::empty(), None)?;
    bind(listener.as_raw_fd(), &UnixAddr::new(name)?)?; // makes the name
    listen(&listener, Backlog::new(5)?)?; // from now on the kernel connects clients
    let client = accept(listener.as_raw_fd())?; // sleeps until a client comes
    let mut data = [0; 4096];
    loop {
        let n = recv(client, &mut data, MsgFlags::empty())?; // sleeps until data comes
        if n == 0 {
            close(client)?; // the client's recv returns 0
            return unlink(name);
        }
        // MSG_NOSIGNAL: EPIPE, and no SIGPIPE, if the client has left.
        send(client, &data[..n], MsgFlags::MSG_NOSIGNAL)?; // sleeps while the socket is full
    }
}

fn client(name: &str, messages: &[String]) -> nix::Result<()> {
    let sock =
        socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::empty(), None)?;
    let fd = sock.as_raw_fd();
    connect(fd, &UnixAddr::new(name)?)?; // sleeps while the backlog is full
    let mut data = [0; 4097];
    for message in messages {
        send(fd, message.as_bytes(), MsgFlags::MSG_NOSIGNAL)?; // sleeps while the socket is full
        let n = recv(fd, &mut data[..4096], MsgFlags::empty())?; // sleeps until data comes
        data[n] = b'\n';
        write(stdout(), &data[..=n])?;
    }
    shutdown(fd, Shutdown::Write)?; // the server's recv returns 0
    recv(fd, &mut data, MsgFlags::empty())?; // sleeps until the server's close
    Ok(())
}

pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, name] if role == "server" => server(name)?,
        [role, name, messages @ ..] if role == "client" => client(name, messages)?,
        _ => {
            eprintln!(
                "usage: unix_seqpacket server PLACE | client PLACE MESSAGE..."
            );
            std::process::exit(2)
        }
    }
    Ok(())
}
