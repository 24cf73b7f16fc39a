//! The sockets of a network namespace: sock_diag(7), asked over netlink(7) as ss(8) does.
//!
//! The requests are written and the answers are read here, byte for byte: the crate
//! netlink-packet-sock-diag keeps the device and inode of a socket's file to itself, and
//! drops a whole answer for a name that it cannot read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};

use os::sock_diag::{ask, attributes, unix_request, word};
use wire::visible;

/// A socket, as the kernel lists it.
#[derive(Debug, Clone, Default)]
pub(super) struct Socket {
    pub(super) inode: u64,
    /// AF_UNIX, AF_INET, AF_INET6.
    pub(super) family: u8,
    /// SOCK_STREAM and so on; of internet sockets IPPROTO_TCP or IPPROTO_UDP.
    pub(super) kind: u8,
    /// As the kernel counts the states of TCP.
    pub(super) state: u8,
    /// What a Unix socket is bound to: a path, or `@name`.
    pub(super) name: Option<String>,
    /// The inode of that path.
    pub(super) file: Option<u32>,
    /// The inode of the peer.
    pub(super) peer: Option<u64>,
    /// The inodes of the clients in the backlog.
    pub(super) clients: Vec<u64>,
    /// Bytes unread, or clients in the backlog.
    pub(super) received: u64,
    /// Bytes sent and unread, or the most clients in the backlog.
    pub(super) sent: u64,
    /// Of internet sockets.
    pub(super) local: Option<SocketAddr>,
    pub(super) remote: Option<SocketAddr>,
}

/// TCP_CLOSE_WAIT, TCP_LAST_ACK and TCP_CLOSING: a FIN has come, which counts as a byte unread.
pub(super) const PEER_ENDED: [u8; 3] = [8, 9, 11];
/// TCP_LISTEN, in [`Socket::state`].
pub(super) const LISTEN: u8 = 10;

/// All Unix, TCP and UDP sockets of the network namespace `namespace`, a path in /proc; of
/// ours without one. A thread of its own goes there, and ends.
///
/// # Errors
/// EPERM for another namespace without CAP_SYS_ADMIN; EPROTONOSUPPORT in a kernel without it.
pub(super) fn sockets(namespace: Option<String>) -> Result<Vec<Socket>, Errno> {
    let there = move || {
        if let Some(path) = namespace {
            let file = std::fs::File::open(path).map_err(|e| {
                e.raw_os_error().map_or(Errno::EPERM, Errno::from_raw)
            })?;
            setns(file, CloneFlags::CLONE_NEWNET).map_err(|_| Errno::EPERM)?;
        }
        dump_all()
    };
    std::thread::spawn(there).join().unwrap_or(Err(Errno::ENOMEM))
}

fn dump_all() -> Result<Vec<Socket>, Errno> {
    // Name, file, peer, backlog, lengths.
    let of_unix = unix_request(0, 1 | 2 | 4 | 8 | 16);
    let mut all = Vec::new();
    ask(&of_unix, libc::NLM_F_DUMP, |answer| all.extend(unix(answer)))?;
    for family in [libc::AF_INET, libc::AF_INET6] {
        for protocol in [libc::IPPROTO_TCP, libc::IPPROTO_UDP] {
            let request = inet_request(family as u8, protocol as u8);
            // A kernel may be without IPv6, or without the list for UDP.
            let _ = ask(&request, libc::NLM_F_DUMP, |answer| {
                all.extend(inet(answer, protocol as u8));
            });
        }
    }
    Ok(all)
}

/// `struct inet_diag_req_v2`: all states.
fn inet_request(family: u8, protocol: u8) -> Vec<u8> {
    let mut request = vec![family, protocol, 0, 0];
    request.extend(u32::MAX.to_ne_bytes());
    request.extend([0; 48]);
    request
}

/// `struct unix_diag_msg`, and its attributes.
fn unix(answer: &[u8]) -> Option<Socket> {
    let mut socket = Socket {
        family: *answer.first()?,
        kind: *answer.get(1)?,
        state: *answer.get(2)?,
        inode: word(answer, 4)?.into(),
        ..Socket::default()
    };
    for (kind, value) in attributes(answer, 16) {
        match kind {
            0 => socket.name = Some(name(value)),
            1 => socket.file = word(value, 0),
            2 => socket.peer = word(value, 0).map(u64::from).filter(|i| *i != 0),
            3 => {
                let inodes = value.chunks_exact(4).filter_map(|four| word(four, 0));
                socket.clients = inodes.map(u64::from).collect();
            }
            4 => {
                socket.received = word(value, 0)?.into();
                socket.sent = word(value, 4)?.into();
            }
            _ => {}
        }
    }
    Some(socket)
}

/// A path ends with a NUL, an abstract name begins with one.
fn name(value: &[u8]) -> String {
    match value {
        [0, rest @ ..] => format!("@{}", visible::text(rest)),
        [path @ .., 0] | path => visible::text(path),
    }
}

/// `struct inet_diag_msg`.
fn inet(answer: &[u8], protocol: u8) -> Option<Socket> {
    let family = *answer.first()?;
    let address = |at: usize| -> Option<IpAddr> {
        let bytes: [u8; 16] = answer.get(at..at + 16)?.try_into().ok()?;
        Some(match i32::from(family) {
            libc::AF_INET6 => IpAddr::from(Ipv6Addr::from(bytes)).to_canonical(),
            _ => Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into(),
        })
    };
    let port = |at: usize| -> Option<u16> {
        Some(u16::from_be_bytes(answer.get(at..at + 2)?.try_into().ok()?))
    };
    Some(Socket {
        family,
        kind: protocol,
        state: *answer.get(1)?,
        inode: word(answer, 68)?.into(),
        received: word(answer, 56)?.into(),
        sent: word(answer, 60)?.into(),
        local: Some(SocketAddr::new(address(8)?, port(4)?)),
        remote: Some(SocketAddr::new(address(24)?, port(6)?))
            .filter(|remote| remote.port() != 0),
        ..Socket::default()
    })
}
