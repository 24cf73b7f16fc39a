//! A connection passed to another process, bare: sendmsg(2), recvmsg(2), SCM_RIGHTS of unix(7).
//!
//! Wire: the byte x with a descriptor, then OK. The client's: program tcp's. The server is first.
//! Not here: a worker that ends without its OK, two workers, two clients. See chapter fdpass.
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "net", "uio"] }

use std::io::{IoSlice, IoSliceMut, stdout};
use std::os::fd::AsRawFd;

use nix::sys::socket::*;
use nix::unistd::{close, unlink, write};

fn server(name: &str, address: SockaddrIn) -> nix::Result<()> {
    let workers =
        socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None)?;
    bind(workers.as_raw_fd(), &UnixAddr::new(name)?)?; // makes the name
    listen(&workers, Backlog::new(5)?)?; // from now on the kernel connects workers
    let clients =
        socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None)?;
    // SO_REUSEADDR: or bind fails while a connection of an earlier server is in TIME_WAIT.
    setsockopt(&clients, sockopt::ReuseAddr, &true)?;
    bind(clients.as_raw_fd(), &address)?;
    listen(&clients, Backlog::new(5)?)?; // from now on the kernel connects clients
    let worker = accept(workers.as_raw_fd())?; // sleeps until a worker comes
    let client = accept(clients.as_raw_fd())?; // sleeps until a client comes
    let (bytes, descriptors) = ([IoSlice::new(b"x")], [client]);
    let rights = [ControlMessage::ScmRights(&descriptors)];
    // MSG_NOSIGNAL: EPIPE, and no SIGPIPE, if the worker has left.
    sendmsg::<()>(worker, &bytes, &rights, MsgFlags::MSG_NOSIGNAL, None)?; // sleeps if it is full
    recv(worker, &mut [0; 2], MsgFlags::MSG_WAITALL)?; // sleeps until OK: it has a copy
    close(client)?; // the worker's copy keeps the connection open
    close(worker)?; // the worker's recvmsg returns 0
    unlink(name)
}

fn worker(name: &str) -> nix::Result<()> {
    let sock =
        socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None)?;
    let fd = sock.as_raw_fd();
    connect(fd, &UnixAddr::new(name)?)?; // sleeps while the backlog is full
    loop {
        let (mut byte, mut room) = ([0], nix::cmsg_space!(i32));
        let mut bytes = [IoSliceMut::new(&mut byte)];
        // MSG_CMSG_CLOEXEC: no program that this one starts inherits the descriptor.
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let got = recvmsg::<()>(fd, &mut bytes, Some(&mut room), flags)?; // sleeps until x comes
        if got.bytes == 0 {
            return Ok(()); // the server has left
        }
        let rights = got.cmsgs()?.next();
        let Some(ControlMessageOwned::ScmRights(rights)) = rights else { continue };
        let client = rights[0]; // another number than the server's, of the same open socket
        rights[1..].iter().try_for_each(|other| close(*other))?; // what else came
        send(fd, b"OK", MsgFlags::MSG_NOSIGNAL)?; // the server's recv returns
        let mut data = [0; 4096];
        loop {
            let n = recv(client, &mut data, MsgFlags::empty())?; // sleeps until data comes
            if n == 0 {
                break;
            }
            send(client, &data[..n], MsgFlags::MSG_NOSIGNAL)?; // sleeps while the socket is full
        }
        close(client)?; // the last copy: the client's recv returns 0
    }
}

fn client(address: SockaddrIn, messages: &[String]) -> nix::Result<()> {
    let sock =
        socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None)?;
    connect(sock.as_raw_fd(), &address)?; // sleeps until the host answers
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
    match &words[..] {
        [role, name, place] if role == "server" => server(name, place.parse()?)?,
        [role, name] if role == "worker" => worker(name)?,
        [role, place, messages @ ..] if role == "client" => {
            client(place.parse()?, messages)?
        }
        _ => {
            eprintln!(
                "usage: fdpass server PLACE ADDRESS | worker PLACE | client ADDRESS MESSAGE..."
            );
            std::process::exit(2)
        }
    }
    Ok(())
}
