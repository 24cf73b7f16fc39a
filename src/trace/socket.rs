//! What a socket is, asked of a duplicate of it: getsockopt(2), getsockname(2),
//! getpeername(2).

use std::os::fd::{AsRawFd, OwnedFd};

use std::os::unix::ffi::OsStrExt;

use nix::sys::socket::{AddressFamily, SockType, SockaddrLike, SockaddrStorage};
use nix::sys::socket::{getpeername, getsockname, getsockopt, sockopt};

use wire::visible;

/// A socket at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Socket {
    /// AF_UNIX, AF_INET, …
    pub(super) domain: i32,
    /// Whether it carries a stream of bytes, not messages.
    pub(super) stream: bool,
    /// Whether it knows no connection: SOCK_DGRAM.
    pub(super) datagram: bool,
    /// Whether it listens.
    pub(super) listens: bool,
    /// Its own address, if it has one.
    pub(super) local: Option<String>,
    /// Its peer's, if it is connected.
    pub(super) peer: Option<String>,
    /// Whether it is connected.
    pub(super) connected: bool,
    /// The process that connected to us, of a Unix socket.
    pub(super) peer_pid: i32,
}

/// Asks `fd` what it is; `None` if it is no socket.
pub(super) fn ask(fd: &OwnedFd) -> Option<Socket> {
    let local: SockaddrStorage = getsockname(fd.as_raw_fd()).ok()?;
    let kind = getsockopt(fd, sockopt::SockType).ok()?;
    let peer = getpeername::<SockaddrStorage>(fd.as_raw_fd()).ok();
    let domain = local.family().map_or(0, |family| family as i32);
    let peer_pid = match domain {
        libc::AF_UNIX => {
            getsockopt(fd, sockopt::PeerCredentials).map_or(0, |c| c.pid())
        }
        _ => 0,
    };
    Some(Socket {
        domain,
        stream: kind == SockType::Stream,
        datagram: kind == SockType::Datagram,
        listens: getsockopt(fd, sockopt::AcceptConn).unwrap_or(false),
        local: address(&local),
        peer: peer.as_ref().and_then(address),
        connected: peer.is_some(),
        peer_pid,
    })
}

impl Socket {
    /// Whether it is a Unix socket.
    pub(super) fn is_unix(&self) -> bool {
        self.domain == libc::AF_UNIX
    }

    /// `unix`, `tcp`, `udp`, or `socket`.
    pub(super) fn family(&self) -> &'static str {
        match self.domain {
            libc::AF_UNIX => "unix",
            libc::AF_INET | libc::AF_INET6 if self.stream => "tcp",
            libc::AF_INET | libc::AF_INET6 => "udp",
            libc::AF_NETLINK => "netlink",
            _ => "socket",
        }
    }

    /// Its addresses; `None` if it has none. `shown` shortens paths.
    pub(super) fn label(&self, shown: impl Fn(&str) -> String) -> Option<String> {
        match (&self.local, &self.peer) {
            (Some(local), Some(peer)) if self.domain != libc::AF_UNIX => {
                Some(format!("{local}→{peer}"))
            }
            (_, Some(peer)) => Some(format!("→{}", shown(peer))),
            (Some(local), None) if self.listens => {
                Some(format!("{} listening", shown(local)))
            }
            (Some(local), None) => Some(shown(local)),
            (None, None) => None,
        }
    }
}

/// An address as text: a path, `@abstract`, `127.0.0.1:7777`; `None` if it is empty.
pub(super) fn address(address: &SockaddrStorage) -> Option<String> {
    match address.family()? {
        AddressFamily::Unix => {
            let unix = address.as_unix_addr()?;
            if let Some(path) = unix.path() {
                return Some(visible::text(path.as_os_str().as_bytes()));
            }
            let name = unix.as_abstract()?;
            Some(format!("@{}", name.escape_ascii()))
        }
        AddressFamily::Inet => {
            let v4 = address.as_sockaddr_in()?;
            (v4.port() != 0).then(|| v4.to_string())
        }
        AddressFamily::Inet6 => {
            let v6 = address.as_sockaddr_in6()?;
            (v6.port() != 0).then(|| v6.to_string())
        }
        _ => None,
    }
}
