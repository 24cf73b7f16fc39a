//! UDP, with room for any datagram: socket(2), bind(2), connect(2), sendto(2), recvfrom(2), send(2), recv(2).
//!
//! Wire: `NUMBER LENGTH MESSAGE`, sent back; an empty one is the goodbye. The server starts first.
//! Not here: a datagram that is lost, two clients. The most that one carries is 65507 bytes.
//! Cargo.toml: nix = { version = "0.31", features = ["net"] }

use std::io::stdout;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::*;
use nix::unistd::write;

fn server(address: SockaddrIn) -> nix::Result<()> {
    let sock =
        socket(AddressFamily::Inet, SockType::Datagram, SockFlag::empty(), None)?;
    let fd = sock.as_raw_fd();
    bind(fd, &address)?; // from now on the kernel keeps what comes to this port
    let mut data = [0; 65507];
    loop {
        let (n, client) = recvfrom(fd, &mut data)?; // sleeps until a datagram comes
        let client: SockaddrIn = client.ok_or(Errno::EDESTADDRREQ)?;
        // No error tells whether anybody gets it.
        sendto(fd, &data[..n], &client, MsgFlags::empty())?;
        if n == 0 {
            return Ok(()); // the client's goodbye, and now it has the server's
        }
    }
}

fn client(address: SockaddrIn, messages: &[String]) -> nix::Result<()> {
    let sock =
        socket(AddressFamily::Inet, SockType::Datagram, SockFlag::empty(), None)?;
    let fd = sock.as_raw_fd();
    connect(fd, &address)?; // nothing is sent: only notes the address, and takes a free port
    let mut data = [0; 65507];
    for (number, message) in (1..).zip(messages) {
        let head = format!("{number} {} ", message.len());
        let datagram = [head.as_bytes(), message.as_bytes()].concat();
        send(fd, &datagram, MsgFlags::empty())?;
        let n = recv(fd, &mut data, MsgFlags::empty())?; // sleeps until data comes, or for ever
        let answer = data[..n].get(head.len()..).ok_or(Errno::EBADMSG)?;
        write(stdout(), &[answer, b"\n"].concat())?;
    }
    send(fd, b"", MsgFlags::empty())?; // the server's recvfrom returns 0
    recv(fd, &mut data, MsgFlags::empty())?; // sleeps until the server's goodbye
    Ok(())
}

pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, place] if role == "server" => server(place.parse()?)?,
        [role, place, messages @ ..] if role == "client" => {
            client(place.parse()?, messages)?
        }
        _ => {
            eprintln!("usage: udp server PLACE | client PLACE MESSAGE...");
            std::process::exit(2)
        }
    }
    Ok(())
}
