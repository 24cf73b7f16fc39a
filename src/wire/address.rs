//! Network addresses: listened on, connected to, and published for clients without them.
//!
//! A TCP server's address is its name. Nothing announces that a server begins to listen there,
//! so a client that is first can only try again. A server that lets the kernel choose its port
//! (`--listen 127.0.0.1:0`) publishes the address that it got as a line in the file `NAME.addr`;
//! a client that was given no address reads it there. UDP's side of it is in [`udp`].

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::sys::socket::sockopt::{ReuseAddr, TcpNoDelay};
use nix::sys::socket::{
    self, AddressFamily, Backlog, SockFlag, SockType, SockaddrLike, SockaddrStorage,
    setsockopt,
};

use nix::unistd::geteuid;

use super::meet::{self, Presence, Rendezvous, with_suffix};
use super::say;
use crate::errors::{Advise, errno, usage};
use os::cleanup::notes::beside;

pub(crate) mod holder;
pub mod udp;

use holder::{Protocol, holder};

/// How many clients may wait to be accepted: connected by the kernel, unknown to us.
pub const BACKLOG: i32 = 128;

/// Every address that `HOST:PORT` stands for: a name may have several, and only an answer shows
/// which of them is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// As the command line had it.
    text: String,
    /// In the order in which they are to be tried (RFC 6724); never empty.
    all: Vec<SocketAddr>,
}

/// The addresses of `HOST:PORT`: `127.0.0.1:7777`, `[::1]:7777`, `localhost:7777`, or
/// `[fe80::1%eth0]:7777`, whose network interface must be named.
///
/// # Errors
/// A usage error when `text` is no address in form; as getaddrinfo(3) for a host's name.
///
/// ```
/// let addresses = ipclab_wire::address::resolve("[::1]:7777")?;
/// assert_eq!(addresses.to_string(), "[::1]:7777");
/// assert_eq!(addresses.port(), 7777);
/// # anyhow::Ok(())
/// ```
pub fn resolve(text: &str) -> Result<Addresses> {
    let parts = text.rsplit_once(':').and_then(|(host, port)| {
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match inner {
            Some(v6) => v6.contains(':').then_some(v6)?,
            None => Some(host).filter(|host| is_host(host))?,
        };
        Some((host, port.parse::<u16>().ok()?))
    });
    let Some(parts) = parts else {
        let form = "an address is HOST:PORT, as in 127.0.0.1:7777 or [::1]:7777";
        return Err(usage(format!("{text:?} is no address: {form}")));
    };
    let found = parts.to_socket_addrs();
    let found = found.with_context(|| format!("getaddrinfo {text}"))?;
    let mut all = Vec::new();
    for address in found {
        if !all.contains(&address) {
            all.push(address);
        }
    }
    ensure!(!all.is_empty(), "getaddrinfo {text}: no address");
    Ok(Addresses { text: text.to_owned(), all })
}

/// Whether this could be a host's name, or an address of IPv4's.
fn is_host(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    !name.is_empty() && name.chars().all(plain)
}

impl Addresses {
    /// The port of them all.
    pub fn port(&self) -> u16 {
        self.all[0].port()
    }
}

impl From<SocketAddr> for Addresses {
    fn from(address: SocketAddr) -> Addresses {
        Addresses { text: address.to_string(), all: vec![address] }
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The error of each address that was tried, where none could be used.
#[derive(Debug, Default)]
struct Tried(Vec<(SocketAddr, anyhow::Error)>);

impl Tried {
    /// Whether some address was refused: a server may listen there some day.
    fn may_come(&self) -> bool {
        self.0.iter().any(|(_, error)| errno(error) == Some(Errno::ECONNREFUSED))
    }

    /// As one error: the last, and before it all that were tried.
    fn error(mut self, call: &str, addresses: &Addresses) -> anyhow::Error {
        let (_, error) = self.0.pop().expect("addresses are never empty");
        if self.0.is_empty() {
            return error;
        }
        let others = self.0.iter().map(|(address, error)| match errno(error) {
            Some(errno) => format!("{address}: {errno:?}"),
            None => format!("{address}: {error}"),
        });
        let others: Vec<_> = others.collect();
        error.context(format!("{call} {addresses} (not {})", others.join(", ")))
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (address, error)) in self.0.iter().enumerate() {
            let and = if index > 0 { ", " } else { "" };
            match errno(error) {
                Some(errno) => write!(f, "{and}connect({address}) = {errno:?}")?,
                None => write!(f, "{and}connect({address}): {error}")?,
            }
        }
        Ok(())
    }
}

// ANCHOR: listen
/// Listens at the first of `addresses` that this machine has; port 0 lets the kernel choose
/// a free one. Returns the socket, and the address that it really has.
///
/// # Errors
/// EADDRINUSE, and the process that has it; EACCES below port 1024; EADDRNOTAVAIL.
pub fn listen(addresses: &Addresses) -> Result<(OwnedFd, SocketAddr)> {
    listen_by("--listen", addresses)
}

/// As [`listen`], where another `option` names the address.
///
/// # Errors
/// As [`listen`].
pub fn listen_by(
    option: &str,
    addresses: &Addresses,
) -> Result<(OwnedFd, SocketAddr)> {
    at_the_first(addresses, |address| listen_at(address, option))
}

/// What `bind` makes at the first of `addresses` that this machine has.
fn at_the_first<T>(
    addresses: &Addresses,
    bind: impl Fn(SocketAddr) -> Result<T>,
) -> Result<T> {
    let mut tried = Tried::default();
    for address in &addresses.all {
        match bind(*address) {
            Err(error) if is_missing(&error) => tried.0.push((*address, error)),
            // In use: a client of this name would come there, too, and not to us.
            bound => return bound,
        }
    }
    Err(tried.error("bind", addresses))
}

fn listen_at(address: SocketAddr, option: &str) -> Result<(OwnedFd, SocketAddr)> {
    let socket = socket_for(address, SockType::Stream)?;
    // A connection that this server closes first stays in TIME_WAIT for a minute. Without this
    // option, bind(2) would refuse the address for so long. It must have been set on the old
    // socket too. (Rust's TcpListener::bind sets it, and does not say so.)
    setsockopt(&socket, ReuseAddr, &true).context("setsockopt(SO_REUSEADDR)")?;
    socket::bind(socket.as_raw_fd(), &SockaddrStorage::from(address))
        .with_context(|| format!("bind {address}"))
        .advise(|error| way_out(error, Protocol::Tcp, address, option))?;
    let backlog = Backlog::new(BACKLOG).context("a backlog")?;
    // Two processes may bind the same free port, with SO_REUSEADDR; the second to listen fails.
    socket::listen(&socket, backlog)
        .with_context(|| format!("listen {address}"))
        .advise(|error| way_out(error, Protocol::Tcp, address, option))?;
    let address = address_of(&socket)?;
    say!("setsockopt(SO_REUSEADDR), bind({address}), listen({BACKLOG})");
    warn_of_others(address, "connect");
    Ok((socket, address))
}
// ANCHOR_END: listen

/// Says that processes of other machines may `come` to this address, too.
fn warn_of_others(address: SocketAddr, come: &str) {
    if !address.ip().is_loopback() {
        say!("{address} is no loopback address: other machines may {come}, too");
    }
}

/// Whether this machine does not have an address: another address of the name may do.
fn is_missing(error: &anyhow::Error) -> bool {
    matches!(errno(error), Some(Errno::EADDRNOTAVAIL | Errno::EAFNOSUPPORT))
}

// ANCHOR: connect_tcp
/// Connects to a server: at `given`, or else where one is published beside `rendezvous`, or else
/// at `default`, but not from a runtime directory of the caller's own: a user who sets
/// `IPCLAB_DIR` wants to meet only peers of that directory. While no server listens it tries
/// again, and reads again what is published; `server` is the command that would end the waiting.
///
/// # Errors
/// As connect(2) for each address, unless one of them was ECONNREFUSED.
pub fn connect_tcp(
    rendezvous: &Rendezvous,
    given: Option<Addresses>,
    default: Addresses,
    server: &str,
) -> Result<(OwnedFd, SocketAddr)> {
    let mut pause = RetryDelay::new();
    loop {
        let mut waits = None;
        for addresses in places(rendezvous, given.as_ref(), &default)? {
            match connect(&addresses)? {
                Ok(connected) => return Ok(connected),
                Err(tried) => waits = waits.or(Some(tried)),
            }
        }
        if pause.is_first() {
            let what = match waits {
                Some(tried) => format!("{tried}: no server listens"),
                None => no_note(rendezvous),
            };
            let what = format_args!("{what} yet; trying again until one listens");
            say::waiting(what, server);
        }
        pause.sleep();
    }
}

/// Where a server may be, as [`connect_tcp`] says it.
fn places(
    rendezvous: &Rendezvous,
    given: Option<&Addresses>,
    default: &Addresses,
) -> Result<Vec<Addresses>> {
    if let Some(given) = given {
        return Ok(vec![given.clone()]);
    }
    let fallback = (!rendezvous.is_private()).then(|| default.clone());
    let published = published(rendezvous)?.map(Addresses::from);
    Ok(published.into_iter().chain(fallback).collect())
}

/// connect(2) to one address after the other; their errors when no server listens yet.
fn connect(addresses: &Addresses) -> Result<Result<(OwnedFd, SocketAddr), Tried>> {
    let mut tried = Tried::default();
    for address in &addresses.all {
        match connect_to(*address) {
            Ok(socket) => {
                say!("connect({address}) = 0: the kernel has connected us");
                say_whose(&socket, *address);
                return Ok(Ok((socket, *address)));
            }
            Err(error) => tried.0.push((*address, error)),
        }
    }
    if tried.may_come() {
        Ok(Err(tried))
    } else {
        Err(tried.error("connect", addresses))
    }
}

/// Says which user's server it is, if it is another user's: on one machine all users have the
/// same ports.
fn say_whose(socket: &OwnedFd, address: SocketAddr) {
    // Both ends are this machine's. Elsewhere, a port of the same number is another's.
    let here =
        |own: SocketAddr| address.ip().is_loopback() || own.ip() == address.ip();
    if !say::on() || !address_of(socket).is_ok_and(here) {
        return;
    }
    let us = geteuid().to_string();
    if let Some(uid) = holder::owner(Protocol::Tcp, address).filter(|uid| *uid != us)
    {
        say!(
            "the server belongs to uid {uid}, and we are uid {us}: what you send goes to \
             that user"
        );
    }
}

fn connect_to(address: SocketAddr) -> Result<OwnedFd> {
    let socket = socket_for(address, SockType::Stream)?;
    let done = socket::connect(socket.as_raw_fd(), &SockaddrStorage::from(address));
    // Where no server listens, TCP may connect a socket to itself: when the free port that the
    // kernel chose for it is the very port that it connects to (a simultaneous open).
    let done = match done {
        Ok(()) if address_of(&socket)? == address => Err(Errno::ECONNREFUSED),
        done => done,
    };
    done.with_context(|| format!("connect {address}"))
        .advise(|error| way_out(error, Protocol::Tcp, address, "--connect"))?;
    Ok(socket)
}
// ANCHOR_END: connect_tcp

/// A socket of this type for `address`, which no program that we might start inherits.
fn socket_for(address: SocketAddr, kind: SockType) -> Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    socket::socket(family, kind, SockFlag::SOCK_CLOEXEC, None).context("socket")
}

/// TCP_NODELAY: small messages leave at once. Otherwise the kernel (Nagle's algorithm)
/// holds one back until the one before it is acknowledged, and the peer's kernel delays
/// that acknowledgement by up to 40 ms, in the hope of an answer to send it with.
///
/// # Errors
/// As setsockopt(2).
pub fn send_at_once(socket: &OwnedFd) -> Result<()> {
    setsockopt(socket, TcpNoDelay, &true).context("setsockopt(TCP_NODELAY)")
}

/// The address that a socket has: getsockname(2).
///
/// # Errors
/// As getsockname(2).
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
        _ => panic!("an internet socket with a name of family {:?}", name.family()),
    }
}

/// Ever longer pauses between attempts: 10, 20, 40, 80, then 100 ms.
#[derive(Debug)]
pub struct RetryDelay {
    next: Duration,
}

impl RetryDelay {
    const SHORTEST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_millis(100);

    /// The first pause is to come.
    #[expect(clippy::new_without_default, reason = "a pause has no default length")]
    pub fn new() -> RetryDelay {
        RetryDelay { next: RetryDelay::SHORTEST }
    }

    /// Whether there has been none yet.
    pub fn is_first(&self) -> bool {
        self.next == RetryDelay::SHORTEST
    }

    /// Sleeps.
    pub fn sleep(&mut self) {
        std::thread::sleep(self.next);
        self.next = (self.next * 2).min(RetryDelay::LONGEST);
    }
}

/// The file in which a server publishes its address.
pub fn note_of(rendezvous: &Rendezvous) -> PathBuf {
    with_suffix(&rendezvous.path(), beside::ADDRESS)
}

/// That there is no such file.
fn no_note(rendezvous: &Rendezvous) -> String {
    format!("{} is not there: no server", note_of(rendezvous).display())
}

/// Publishes `address` beside the place: written whole, then renamed, so that a client
/// reads all of it or nothing. The last role out removes it.
///
/// # Errors
/// ENOSPC and the like.
pub fn publish(
    rendezvous: &Rendezvous,
    presence: &mut Presence,
    address: SocketAddr,
) -> Result<()> {
    presence.publish(&note_of(rendezvous), &format!("{address}\n"))
}

/// The address that a server has published beside the place, if one has and is there still: the
/// port of a killed server may be another program's by now.
///
/// # Errors
/// When the runtime directory is not ours alone: another user could have written it.
pub fn published(rendezvous: &Rendezvous) -> Result<Option<SocketAddr>> {
    rendezvous.make_dir()?;
    if !rendezvous.is_in_use()? {
        return Ok(None);
    }
    let text = meet::published(&note_of(rendezvous))?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&text).trim_end().parse().ok())
}

fn way_out(
    error: &anyhow::Error,
    protocol: Protocol,
    address: SocketAddr,
    option: &str,
) -> Option<String> {
    match errno(error)? {
        Errno::EADDRINUSE => {
            let who = match holder(protocol, address) {
                Some(holder) => holder.to_string(),
                None => format!("`{}` shows which process has it", protocol.ss()),
            };
            let free = SocketAddr::new(address.ip(), 0);
            Some(format!("{who}; {option} {free} takes any free port"))
        }
        Errno::EACCES if address.port() < 1024 => {
            Some("ports below 1024 are the administrator's; use a higher one".into())
        }
        Errno::EADDRNOTAVAIL | Errno::ENETUNREACH if address.ip().is_loopback() => {
            Some("the loopback interface is down here: `ip link set lo up`".into())
        }
        Errno::EADDRNOTAVAIL => {
            Some("this machine has no such address; `ip addr` lists them".into())
        }
        Errno::EINVAL if is_link_local(address) => {
            Some("of which interface? [ADDRESS%INTERFACE]:PORT says it".into())
        }
        Errno::EAFNOSUPPORT => {
            Some("this kernel has no IPv6: use an IPv4 address".into())
        }
        _ => None,
    }
}

/// Whether an address is one of many networks' (fe80::/10): each interface has its own.
fn is_link_local(address: SocketAddr) -> bool {
    matches!(address, SocketAddr::V6(v6) if v6.ip().is_unicast_link_local())
}

#[cfg(test)]
mod tests;
