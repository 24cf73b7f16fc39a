//! The process that listens at an address, by /proc/net/tcp.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::visible::visible;
use os::proc;
use os::proc_fd::holders;

/// The process that listens at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Holder {
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
pub(super) fn holder(address: SocketAddr) -> Option<Holder> {
    let (uid, inode) = socket_at(address)?;
    let wanted = format!("socket:[{inode}]");
    let Some(pid) = holders(&wanted).next() else {
        return Some(Holder::Uid(uid));
    };
    let name = proc::text(format!("/proc/{pid}/comm"));
    // The process chose this name: it may hold escape sequences for a terminal.
    let name = visible(name.unwrap_or_default().trim_end());
    Some(Holder::Process { pid, name })
}

/// The user of the process that listens at `address`, by number.
pub(super) fn owner(address: SocketAddr) -> Option<String> {
    socket_at(address).map(|(uid, _)| uid)
}

/// The uid and inode number of the socket that listens at `address`.
fn socket_at(address: SocketAddr) -> Option<(String, String)> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(proc::text);
    let lines = tables.iter().flatten().flat_map(|table| table.lines().skip(1));
    lines.filter_map(listener).find_map(|(local, uid, inode)| {
        let same = local.ip() == address.ip()
            || local.ip().is_unspecified()
            || address.ip().is_unspecified();
        (same && local.port() == address.port())
            .then(|| (uid.to_owned(), inode.to_owned()))
    })
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
