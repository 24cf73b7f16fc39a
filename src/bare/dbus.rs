//! D-Bus, bare: bind(2), listen(2), accept(2), connect(2); messages and AUTH by zbus.
//!
//! Wire: D-Bus on a Unix socket, without a bus: a call of Post(s), a reply with a u.
//! Not here: a second client, another user's client, signals, properties, a bus. See chapter dbus.
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "socket"] }
//! Cargo.toml: zbus = { version = "6", features = ["p2p"] }

use std::error::Error;
use std::io::stdout;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::*;
use nix::unistd::{unlink, write};
use zbus::connection::Builder;
use zbus::{Guid, block_on, fdo, interface};

const OBJECT: &str = "/org/ipclab/Board";
const INTERFACE: &str = "org.ipclab.Board1";

/// The object, with the number of its last message.
struct Board(u32);

#[interface(name = "org.ipclab.Board1")]
impl Board {
    fn post(&mut self, text: &str) -> fdo::Result<u32> {
        let written = write(stdout(), format!("{text}\n").as_bytes());
        written.map_err(|errno| fdo::Error::IOError(errno.to_string()))?;
        self.0 += 1;
        Ok(self.0)
    }
}

async fn server(name: &str) -> Result<(), Box<dyn Error>> {
    let listener =
        socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None)?;
    bind(listener.as_raw_fd(), &UnixAddr::new(name)?)?; // EADDRINUSE: the name exists
    listen(&listener, Backlog::new(1)?)?;
    let client = accept(listener.as_raw_fd())?; // sleeps until a client connects
    // SAFETY: accept has made this descriptor, and nothing else owns it.
    let client = UnixStream::from(unsafe { OwnedFd::from_raw_fd(client) });
    let connection = Builder::unix_stream(client).p2p().server(Guid::generate());
    let connection = connection.serve_at(OBJECT, Board(0)).build().await?; // sleeps during AUTH
    connection.closed().await; // sleeps until the client closes; zbus calls post meanwhile
    Ok(unlink(name)?)
}

async fn client(name: &str, messages: &[String]) -> Result<(), Box<dyn Error>> {
    let address = format!("unix:path={name}");
    let connection = Builder::address(&*address).p2p().build().await?; // ENOENT: no server yet
    for message in messages {
        let call = connection.call_method(
            None::<&str>,
            OBJECT,
            Some(INTERFACE),
            "Post",
            message,
        );
        let number: u32 = call.await?.body().deserialize()?; // sleeps until the reply comes
        write(stdout(), format!("{number}\n").as_bytes())?;
    }
    Ok(()) // close(2), by drop
}

pub fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, name] if role == "server" => block_on(server(name)),
        [role, name, messages @ ..] if role == "client" => {
            block_on(client(name, messages))
        }
        _ => {
            eprintln!("usage: dbus server PLACE | client PLACE MESSAGE...");
            std::process::exit(2)
        }
    }
}
