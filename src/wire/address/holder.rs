//! The process that has an address, by /proc/net/tcp and /proc/net/udp.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::visible::visible;
use os::proc;
use os::proc_fd::holders;

/// Whose ports an address is of: those of TCP and of UDP are not the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    /// The command that shows which process has an address.
    pub(super) fn ss(self) -> &'static str {
        match self {
            Protocol::Tcp => "ss -tanp",
            Protocol::Udp => "ss -uanp",
        }
    }

    /// What such a process does there.
    fn does(self) -> &'static str {
        match self {
            Protocol::Tcp => "listens",
            Protocol::Udp => "is bound",
        }
    }

    /// The lists of its sockets, and the state of one to which all may send.
    fn tables(self) -> ([&'static str; 2], &'static str) {
        match self {
            Protocol::Tcp => (["/proc/net/tcp", "/proc/net/tcp6"], "0A"),
            Protocol::Udp => (["/proc/net/udp", "/proc/net/udp6"], "07"),
        }
    }
}

/// The process that has an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    protocol: Protocol,
    pub(super) who: Who,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Who {
    Process { pid: u32, name: String },
    Uid(String),
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (does, ss) = (self.protocol.does(), self.protocol.ss());
        match &self.who {
            Who::Process { pid, name } => {
                write!(f, "pid {pid} ({name}) {does} there")
            }
            Who::Uid(uid) => {
                write!(f, "uid {uid} {does} there; `sudo {ss}` shows the pid")
            }
        }
    }
}

/// Who has `address`: /proc/net/tcp has its socket's inode number, and a link
/// `socket:[INODE]` in some /proc/PID/fd has the process, if we may look there.
pub(super) fn holder(protocol: Protocol, address: SocketAddr) -> Option<Holder> {
    let (uid, inode) = socket_at(protocol, address)?;
    let wanted = format!("socket:[{inode}]");
    let Some(pid) = holders(&wanted).next() else {
        return Some(Holder { protocol, who: Who::Uid(uid) });
    };
    let name = proc::text(format!("/proc/{pid}/comm"));
    // The process chose this name: it may hold escape sequences for a terminal.
    let name = visible(name.unwrap_or_default().trim_end());
    Some(Holder { protocol, who: Who::Process { pid, name } })
}

/// The user of the process that has `address`, by number.
pub(super) fn owner(protocol: Protocol, address: SocketAddr) -> Option<String> {
    socket_at(protocol, address).map(|(uid, _)| uid)
}

/// The uid and inode number of the socket at `address` to which all may send.
fn socket_at(protocol: Protocol, address: SocketAddr) -> Option<(String, String)> {
    let tables = protocol.tables().0.map(proc::text);
    let lines = tables.iter().flatten().flat_map(|table| table.lines().skip(1));
    lines.filter_map(|line| open_to_all(line, protocol)).find_map(
        |(local, uid, inode)| {
            let same = local.ip() == address.ip()
                || local.ip().is_unspecified()
                || address.ip().is_unspecified();
            (same && local.port() == address.port())
                .then(|| (uid.to_owned(), inode.to_owned()))
        },
    )
}

/// The address, uid and inode number of a line of such a list, if all may send to its socket.
pub(crate) fn open_to_all(
    line: &str,
    protocol: Protocol,
) -> Option<(SocketAddr, &str, &str)> {
    let words: Vec<_> = line.split_whitespace().collect();
    let &[_, local, _, its, _, _, _, uid, _, inode, ..] = words.as_slice() else {
        return None;
    };
    if its != protocol.tables().1 {
        return None;
    }
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
