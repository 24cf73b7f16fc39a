//! A server of UDP that does once what it is told twice: socket(2), bind(2), recvfrom(2), sendto(2).
//!
//! Wire: `NUMBER LENGTH MESSAGE`, sent back. A signal ends the server.
//! Cargo.toml: nix = { version = "0.31", features = ["net"] }

//[
use std::collections::HashMap;
//]
use std::io::stdout;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::*;
use nix::unistd::write;

/// The number, the length and the message; `None` if there are no three parts.
fn parts(data: &[u8]) -> Option<(u32, usize, &[u8])> {
    let mut parts = data.splitn(3, |byte| *byte == b' ');
    let number = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    let length = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    Some((number, length, parts.next()?))
}

fn server(address: SockaddrIn) -> nix::Result<()> {
    let sock =
        socket(AddressFamily::Inet, SockType::Datagram, SockFlag::empty(), None)?;
    let fd = sock.as_raw_fd();
    bind(fd, &address)?; // from now on the kernel keeps what comes to this port
    let mut data = [0; 65536];
    //[
    let mut last: HashMap<SockaddrIn, u32> = HashMap::new(); // the last number of each client
    //]
    loop {
        let (n, client) = recvfrom(fd, &mut data)?; // sleeps until a datagram comes
        let client: SockaddrIn = client.ok_or(Errno::EDESTADDRREQ)?;
        //[
        let Some((number, length, message)) = parts(&data[..n]) else { continue };
        let known = last.get(&client).copied().unwrap_or(0);
        if message.len() != length || number < known {
            continue; // it was cut, or overtaken
        }
        if number > known {
            write(stdout(), &[message, b"\n"].concat())?;
        }
        last.insert(client, number);
        //]
        //| let Some((_number, _length, message)) = parts(&data[..n]) else { continue };
        //| write(stdout(), &[message, b"\n"].concat())?;
        sendto(fd, &data[..n], &client, MsgFlags::empty())?;
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, place] if role == "server" => server(place.parse()?)?,
        _ => {
            eprintln!("usage: once server PLACE");
            std::process::exit(2)
        }
    }
    Ok(())
}
