//! The address of a server, and a connection to it.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with,
    sockopt,
};

use super::wait::{PATIENCE, now};

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerAddress {
    /// A Unix socket.
    Unix(PathBuf),
    /// A TCP port.
    Tcp(SocketAddr),
}

impl FromStr for ServerAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<ServerAddress, String> {
        if text.starts_with('/') {
            return Ok(ServerAddress::Unix(text.into()));
        }
        let address =
            text.parse().map_err(|_| format!("{text:?}: no path, no HOST:PORT"));
        address.map(ServerAddress::Tcp)
    }
}

impl std::fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ServerAddress::Unix(path) => write!(f, "{}", path.display()),
            ServerAddress::Tcp(address) => write!(f, "{address}"),
        }
    }
}

impl ServerAddress {
    /// A connected socket that does not block.
    pub(super) fn connect(&self) -> Result<OwnedFd> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let family = match self {
            ServerAddress::Unix(_) => AddressFamily::UNIX,
            ServerAddress::Tcp(SocketAddr::V4(_)) => AddressFamily::INET,
            ServerAddress::Tcp(SocketAddr::V6(_)) => AddressFamily::INET6,
        };
        let socket = socket_with(family, SocketType::STREAM, flags, None);
        let socket = socket.context("socket")?;
        match self {
            ServerAddress::Unix(path) => {
                let name = SocketAddrUnix::new(path).context("a path too long")?;
                let began = now();
                // EAGAIN: its queue is full (unix(7)). No event shows when it no longer is.
                while let Err(error) = connect(&socket, &name) {
                    let late = now() - began > PATIENCE;
                    if error != Errno::AGAIN || late {
                        return Err(error)
                            .with_context(|| format!("connect {self}"));
                    }
                    std::thread::sleep(Duration::from_micros(100));
                }
            }
            ServerAddress::Tcp(address) => {
                sockopt::set_tcp_nodelay(&socket, true).context("TCP_NODELAY")?;
                // A reset at the end: no port stays in TIME_WAIT, where they run out.
                sockopt::set_socket_linger(&socket, Some(Duration::ZERO))
                    .context("SO_LINGER")?;
                match connect(&socket, address) {
                    Ok(()) => {}
                    Err(Errno::INPROGRESS) => self.finish(&socket)?,
                    error => error.with_context(|| format!("connect {self}"))?,
                }
            }
        }
        Ok(socket)
    }

    /// Waits until a TCP connection is made.
    fn finish(&self, socket: &OwnedFd) -> Result<()> {
        let mut fds = [PollFd::new(socket, PollFlags::OUT)];
        let most =
            Timespec { tv_sec: (PATIENCE / 1_000_000_000) as i64, tv_nsec: 0 };
        let made = poll(&mut fds, Some(&most)).context("poll")?;
        ensure!(made == 1, "connect {self}: not made within 5 s");
        let error = sockopt::socket_error(socket).context("SO_ERROR")?;
        error.with_context(|| format!("connect {self}"))
    }
}
