//! A server that finds its socket, or makes one: sd_listen_fds(3), bind(2), listen(2), accept(2).
//!
//! Wire: the server sends a line, and closes.
//! Cargo.toml: nix = { version = "0.31", features = ["fs", "socket"] }

use std::error::Error;
use std::io::Write;
use std::net::TcpListener;
//[
use std::os::fd::{FromRawFd, OwnedFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{getsockopt, sockopt::AcceptConn};
//]

fn listener(place: &str) -> Result<TcpListener, Box<dyn Error>> {
    //[
    let own = std::process::id().to_string();
    if std::env::var("LISTEN_PID").is_ok_and(|pid| pid == own) {
        // SAFETY: whoever has started this process says that descriptor 3 is for it.
        let given = unsafe { OwnedFd::from_raw_fd(3) };
        if !getsockopt(&given, AcceptConn)? {
            return Err("descriptor 3 does not listen".into());
        }
        // It is not for what this process may start.
        fcntl(&given, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        return Ok(given.into());
    }
    //]
    Ok(TcpListener::bind(place)?)
}

fn server(place: &str, message: &str) -> Result<(), Box<dyn Error>> {
    let (mut client, _) = listener(place)?.accept()?; // sleeps until a client comes
    client.write_all(format!("{message}\n").as_bytes())?;
    Ok(()) // the client's recv returns 0: what is dropped is closed
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words[..] {
        [role, place, message] if role == "server" => server(place, message),
        _ => {
            eprintln!("usage: tcp server PLACE MESSAGE");
            std::process::exit(2)
        }
    }
}
