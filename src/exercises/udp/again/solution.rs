//! UDP, bare, whose client sends again: socket(2), bind(2), connect(2), send(2), poll(2), recv(2).
//!
//! Wire: `NUMBER LENGTH MESSAGE`, sent back; an empty one is the goodbye. The server starts first.
//! Not here: a message that is carried out twice, more than 4096 bytes, two clients.
//! Cargo.toml: nix = { version = "0.31", features = ["net", "poll"] }

use std::io::stdout;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::*;
use nix::unistd::write;

fn server(address: SockaddrIn) -> nix::Result<()> {
    let sock =
        socket(AddressFamily::Inet, SockType::Datagram, SockFlag::empty(), None)?;
    let fd = sock.as_raw_fd();
    bind(fd, &address)?; // from now on the kernel keeps what comes to this port
    let mut data = [0; 4096];
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

/// Sends the datagram until its answer comes, which is returned.
fn ask(
    sock: &OwnedFd,
    datagram: &[u8],
    is_answer: impl Fn(&[u8]) -> bool,
) -> nix::Result<Vec<u8>> {
    let mut data = [0; 4096];
    for _ in 0..8 {
        send(sock.as_raw_fd(), datagram, MsgFlags::empty())?;
        let mut fds = [PollFd::new(sock.as_fd(), PollFlags::POLLIN)];
        // Sleeps until data comes, or the time is over: the datagram was lost, or the answer.
        while poll(&mut fds, PollTimeout::from(250_u16))? > 0 {
            let n = recv(sock.as_raw_fd(), &mut data, MsgFlags::empty())?;
            if is_answer(&data[..n]) {
                return Ok(data[..n].to_vec());
            }
        }
    }
    Err(Errno::ETIMEDOUT)
}

fn client(address: SockaddrIn, messages: &[String]) -> nix::Result<()> {
    let sock =
        socket(AddressFamily::Inet, SockType::Datagram, SockFlag::empty(), None)?;
    // Nothing is sent: only notes the address, and takes a free port.
    connect(sock.as_raw_fd(), &address)?;
    for (number, message) in (1..).zip(messages) {
        let head = format!("{number} {} ", message.len());
        let datagram = [head.as_bytes(), message.as_bytes()].concat();
        let answer = ask(&sock, &datagram, |data| data.starts_with(head.as_bytes()))?;
        write(stdout(), &[&answer[head.len()..], b"\n"].concat())?;
    }
    ask(&sock, b"", |data| data.is_empty())?; // the server's recvfrom returns 0
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
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
