//! Network addresses: listened on, dialled, and published for those who do not know them.
//!
//! A TCP server's address is its name. Nothing announces that somebody begins to listen
//! there, so a client that is first can only try again. A server that lets the kernel
//! choose its port (`--listen 127.0.0.1:0`) publishes the address that it got as a line
//! in the file `NAME.addr`; a client that was given no address reads it there.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::socket::sockopt::{ReuseAddr, TcpNoDelay};
use nix::sys::socket::{
    self, AddressFamily, Backlog, SockFlag, SockType, SockaddrLike, SockaddrStorage,
    setsockopt,
};

use super::meet::{self, At, Place, with_suffix};
use super::say;
use crate::errors::{Advise, usage};
use crate::os::cleanup::notes::beside;
use crate::os::holders::holders;
use crate::os::proc;
use crate::say;

/// How many clients may wait to be accepted: connected by the kernel, unknown to us.
const BACKLOG: i32 = 128;

/// The address that `HOST:PORT` stands for: `127.0.0.1:7777`, `[::1]:7777`.
///
/// # Errors
/// A usage error when it is none in form; what getaddrinfo(3) says of a host's name.
///
/// ```
/// let address = ipclab::wire::address::resolve("[::1]:7777")?;
/// assert!(address.is_ipv6() && address.port() == 7777);
/// # anyhow::Ok(())
/// ```
pub fn resolve(text: &str) -> Result<SocketAddr> {
    let found = text.to_socket_addrs();
    let looks_right = text
        .rsplit_once(':')
        .is_some_and(|(host, port)| is_host(host) && port.parse::<u16>().is_ok());
    match found.map(|mut all| all.next()) {
        Ok(Some(first)) => Ok(first),
        Err(error) if looks_right => {
            Err(error).with_context(|| format!("getaddrinfo {text}"))
        }
        _ => {
            let form = "an address is HOST:PORT, as in 127.0.0.1:7777 or [::1]:7777";
            Err(usage(format!("{text:?} is no address: {form}")))
        }
    }
}

/// Whether this could be a host's name.
fn is_host(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    !name.is_empty() && name.chars().all(plain)
}

// ANCHOR: listen
/// Listens at `address`; port 0 lets the kernel choose a free one. Returns the socket,
/// and the address that it really has.
///
/// # Errors
/// EADDRINUSE, and who has it; EACCES below port 1024; EADDRNOTAVAIL.
pub fn listen(address: SocketAddr) -> Result<(OwnedFd, SocketAddr)> {
    let socket = tcp_socket(address)?;
    // A connection that this server closes first stays in TIME_WAIT for a minute. Without
    // this, bind(2) would refuse the address for so long. It must have been set on the
    // old socket too. (Rust's TcpListener::bind sets it, and does not say so.)
    setsockopt(&socket, ReuseAddr, &true).context("setsockopt(SO_REUSEADDR)")?;
    socket::bind(socket.as_raw_fd(), &SockaddrStorage::from(address))
        .with_context(|| format!("bind {address}"))
        .advise(|error| way_out(error, address))?;
    let backlog = Backlog::new(BACKLOG).context("a backlog")?;
    // Two may bind the same free port, with SO_REUSEADDR; the second to listen fails.
    socket::listen(&socket, backlog)
        .with_context(|| format!("listen {address}"))
        .advise(|error| way_out(error, address))?;
    let address = address_of(&socket)?;
    say!("setsockopt(SO_REUSEADDR), bind({address}), listen({BACKLOG})");
    if !address.ip().is_loopback() {
        say!("{address} is no loopback address: other machines may connect, too");
    }
    Ok((socket, address))
}
// ANCHOR_END: listen

// ANCHOR: dial
/// Connects to a server: at `given`, or else where one is published beside `at`, or else
/// at `default`, but not from a runtime directory of the caller's own: who sets
/// `IPCLAB_DIR` wants to meet nobody else. While nobody listens it tries again, and reads
/// again what is published; `server` is the command that would end the waiting.
///
/// # Errors
/// What connect(2) says, but ECONNREFUSED.
pub fn dial(
    at: &At,
    given: Option<SocketAddr>,
    default: SocketAddr,
    server: &str,
) -> Result<(OwnedFd, SocketAddr)> {
    let mut pause = Pause::new();
    loop {
        let fallback = (given.is_none() && !at.is_private()).then_some(default);
        let first = match given {
            Some(address) => Some(address),
            None => published(at)?,
        };
        for address in first.into_iter().chain(fallback) {
            match connect(address) {
                Ok(Some(socket)) => {
                    say!("connect({address}) = 0: the kernel has connected us");
                    return Ok((socket, address));
                }
                Ok(None) => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("connect {address}"));
                }
            }
        }
        if pause.is_first() {
            let what = match first.or(fallback) {
                Some(address) => {
                    format!("connect({address}) = ECONNREFUSED: nobody listens")
                }
                None => format!("{} is not there: no server", note_of(at).display()),
            };
            let what = format_args!("{what} yet; trying again until somebody does");
            say::waiting(what, server);
        }
        pause.sleep();
    }
}

/// connect(2); `None` when nobody listens there.
fn connect(address: SocketAddr) -> Result<Option<OwnedFd>> {
    let socket = tcp_socket(address)?;
    match socket::connect(socket.as_raw_fd(), &SockaddrStorage::from(address)) {
        Ok(()) => {}
        Err(Errno::ECONNREFUSED) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    // Where nobody listens, TCP may connect a socket to itself: when the free port that
    // the kernel chose for it is the very port that it calls (a simultaneous open).
    if address_of(&socket)? == address {
        return Ok(None);
    }
    Ok(Some(socket))
}
// ANCHOR_END: dial

/// A TCP socket for `address`, which no program that we might start inherits.
fn tcp_socket(address: SocketAddr) -> Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let (kind, flags) = (SockType::Stream, SockFlag::SOCK_CLOEXEC);
    socket::socket(family, kind, flags, None).context("socket")
}

/// TCP_NODELAY: small messages leave at once. Otherwise the kernel (Nagle's algorithm)
/// holds one back until the one before it is acknowledged, and the peer's kernel delays
/// that acknowledgement by up to 40 ms, in the hope of an answer to send it with.
///
/// # Errors
/// What setsockopt(2) says.
pub fn send_at_once(socket: &OwnedFd) -> Result<()> {
    setsockopt(socket, TcpNoDelay, &true).context("setsockopt(TCP_NODELAY)")
}

/// The address that a socket has: getsockname(2).
///
/// # Errors
/// What getsockname(2) says.
pub fn address_of(socket: &OwnedFd) -> Result<SocketAddr> {
    let name: SockaddrStorage =
        socket::getsockname(socket.as_raw_fd()).context("getsockname")?;
    Ok(plain(&name))
}

/// A socket address of the kernel's as the standard library has it.
pub fn plain(name: &SockaddrStorage) -> SocketAddr {
    match (name.as_sockaddr_in(), name.as_sockaddr_in6()) {
        (Some(v4), _) => SocketAddr::V4((*v4).into()),
        (_, Some(v6)) => SocketAddr::V6((*v6).into()),
        _ => panic!("a TCP socket with a name of family {:?}", name.family()),
    }
}

/// Ever longer pauses between attempts: 10, 20, 40, 80, then 100 ms.
#[derive(Debug)]
pub struct Pause {
    next: Duration,
}

impl Pause {
    const SHORTEST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_millis(100);

    /// The first pause is to come.
    #[expect(clippy::new_without_default, reason = "a pause has no default length")]
    pub fn new() -> Pause {
        Pause { next: Pause::SHORTEST }
    }

    /// Whether there has been none yet.
    pub fn is_first(&self) -> bool {
        self.next == Pause::SHORTEST
    }

    /// Sleeps.
    pub fn sleep(&mut self) {
        std::thread::sleep(self.next);
        self.next = (self.next * 2).min(Pause::LONGEST);
    }
}

/// The file in which a server publishes its address.
pub fn note_of(at: &At) -> PathBuf {
    with_suffix(&at.path(), beside::ADDRESS)
}

/// Publishes `address` beside the place: written whole, then renamed, so that a client
/// reads all of it or nothing. The last role out removes it.
///
/// # Errors
/// ENOSPC and the like.
pub fn publish(at: &At, place: &mut Place, address: SocketAddr) -> Result<()> {
    place.publishes(&note_of(at), &format!("{address}\n"))
}

/// The address that a server has published beside the place, if one has and is there
/// still: the port of one that was killed may be another program's by now.
///
/// # Errors
/// When the runtime directory is not ours alone: anyone could have written it.
pub fn published(at: &At) -> Result<Option<SocketAddr>> {
    at.make_dir()?;
    if !at.is_inhabited() {
        return Ok(None);
    }
    let text = meet::published(&note_of(at))?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&text).trim_end().parse().ok())
}

fn way_out(error: &anyhow::Error, address: SocketAddr) -> Option<String> {
    match crate::errors::errno(error)? {
        Errno::EADDRINUSE => {
            let who = match holder(address) {
                Some(holder) => holder.to_string(),
                None => "`ss -tanp` shows who has it".to_owned(),
            };
            let free = SocketAddr::new(address.ip(), 0);
            Some(format!("{who}; use {free} for any free port"))
        }
        Errno::EACCES if address.port() < 1024 => {
            Some("ports below 1024 are the administrator's; use a higher one".into())
        }
        Errno::EADDRNOTAVAIL => {
            Some("this machine has no such address; `ip addr` lists them".into())
        }
        _ => None,
    }
}

/// Who listens at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Holder {
    Process { pid: u32, name: String },
    Uid(String),
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Holder::Process { pid, name } => {
                write!(f, "pid {pid} ({name}) listens there")
            }
            Holder::Uid(uid) => {
                write!(f, "uid {uid} listens there; `sudo ss -ltnp` shows the pid")
            }
        }
    }
}

/// The listener at `address`: /proc/net/tcp has its socket's inode number, and a link
/// `socket:[INODE]` in some /proc/PID/fd has the process, if we may look there.
fn holder(address: SocketAddr) -> Option<Holder> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(proc::text);
    let lines = tables.iter().flatten().flat_map(|table| table.lines().skip(1));
    let (uid, inode) =
        lines.filter_map(listener).find_map(|(local, uid, inode)| {
            let same = local.ip() == address.ip()
                || local.ip().is_unspecified()
                || address.ip().is_unspecified();
            (same && local.port() == address.port()).then_some((uid, inode))
        })?;
    let wanted = format!("socket:[{inode}]");
    let Some(pid) = holders(&wanted).next() else {
        return Some(Holder::Uid(uid.to_owned()));
    };
    let name = proc::text(format!("/proc/{pid}/comm"));
    let name = name.unwrap_or_default().trim_end().to_owned();
    Some(Holder::Process { pid, name })
}

/// The address, uid and inode number of a line of /proc/net/tcp, if it is a listener's.
pub(crate) fn listener(line: &str) -> Option<(SocketAddr, &str, &str)> {
    const LISTENS: &str = "0A";
    let words: Vec<_> = line.split_whitespace().collect();
    let &[_, local, _, LISTENS, _, _, _, uid, _, inode, ..] = words.as_slice()
    else {
        return None;
    };
    let (ip, port) = local.split_once(':')?;
    // Each 32-bit word is printed as a number, so its bytes are in this machine's order.
    let mut bytes = Vec::new();
    for word in ip.as_bytes().chunks(8) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    let ip = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(v4) => IpAddr::V4(Ipv4Addr::from(v4)),
        Err(_) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
    };
    let port = u16::from_str_radix(port, 16).ok()?;
    Some((SocketAddr::new(ip, port), uid, inode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_port_is_found() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let Ok((_socket, address)) = listen(resolve(host).unwrap()) else {
                continue; // a machine without IPv6
            };
            let Some(Holder::Process { pid, .. }) = holder(address) else {
                panic!("nobody is said to listen at {address}");
            };
            assert_eq!(pid, std::process::id());
            let error = listen(address).unwrap_err();
            let line = crate::errors::line(&error);
            assert!(line.contains("EADDRINUSE"), "{line}");
            assert!(line.contains(&format!("pid {pid} ")), "{line}");
            assert!(line.contains(":0 for any free port"), "{line}");
        }
    }

    #[test]
    fn what_is_not_listening_is_not_a_listener() {
        assert_eq!(listener("sl local_address rem_address st"), None);
        let line = "0: 0100007F:1E61 00000000:0000 01 0:0 00:00 00 0 0 42 1 0";
        assert_eq!(listener(line), None);
    }
}
