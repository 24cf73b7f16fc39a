//! Sockets: addresses, messages, and the descriptors and credentials that go with them.

use super::super::memory::{i32_at, u64_at};
use super::argument::{Arg, Cx, Names, hex, names, set, word};
use super::{data, files};
use crate::event::Piece;

const FAMILY: Names = names! { AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_UNSPEC };
const KIND: Names = names! {
    SOCK_RAW SOCK_SEQPACKET SOCK_DGRAM SOCK_STREAM SOCK_NONBLOCK SOCK_CLOEXEC
};
/// The flags of send and recv.
pub(super) const MESSAGE: Names = names! {
    MSG_OOB MSG_PEEK MSG_DONTROUTE MSG_CTRUNC MSG_TRUNC MSG_DONTWAIT MSG_EOR MSG_WAITALL
    MSG_NOSIGNAL MSG_MORE MSG_WAITFORONE MSG_ZEROCOPY MSG_CMSG_CLOEXEC
};
const HOW: Names = names! { SHUT_RD SHUT_WR SHUT_RDWR };
const LEVEL: Names = names! { SOL_SOCKET IPPROTO_TCP IPPROTO_IP IPPROTO_IPV6 };
const SOCKET_OPTION: Names = names! {
    SO_REUSEADDR SO_TYPE SO_ERROR SO_BROADCAST SO_SNDBUF SO_RCVBUF SO_KEEPALIVE SO_LINGER
    SO_REUSEPORT SO_PASSCRED SO_PEERCRED SO_RCVTIMEO SO_SNDTIMEO SO_ACCEPTCONN SO_DOMAIN
    SO_PROTOCOL SO_PEERPIDFD
};
const IP_OPTION: Names = names! {
    IP_TTL IP_PKTINFO IP_RECVERR IP_MTU_DISCOVER IP_MTU IP_MULTICAST_IF IP_MULTICAST_TTL
    IP_MULTICAST_LOOP IP_MULTICAST_ALL IP_ADD_MEMBERSHIP IP_DROP_MEMBERSHIP IP_FREEBIND
};
const TCP_OPTION: Names = names! { TCP_NODELAY TCP_CORK TCP_INFO TCP_QUICKACK };

pub(super) fn signature(name: &str) -> Option<&'static [Arg]> {
    use Arg::{After, Before, Fd, Hex, In, Int, Out, Set, Size, Word};
    Some(match name {
        "socket" => &[Word(FAMILY), Before(kind), Int],
        "socketpair" => &[Word(FAMILY), Before(kind), Int, After(files::pair)],
        "bind" | "connect" => &[Fd, Before(data::sockaddr), Int],
        "listen" => &[Fd, Int],
        "accept" => &[Fd, After(data::sockaddr_out), After(data::pointed)],
        "accept4" => &[
            Fd,
            After(data::sockaddr_out),
            After(data::pointed),
            Before(kind_flags),
        ],
        "sendto" => &[Fd, In(2), Size, Set(MESSAGE), Before(data::sockaddr), Int],
        "recvfrom" => &[
            Fd,
            Out,
            Size,
            Set(MESSAGE),
            After(data::sockaddr_out),
            After(data::pointed),
        ],
        "sendmsg" => &[Fd, Before(message), Set(MESSAGE)],
        "recvmsg" => &[Fd, After(message), Set(MESSAGE)],
        "sendmmsg" => &[Fd, Before(messages), Int, Set(MESSAGE)],
        "recvmmsg" => {
            &[Fd, After(messages), Int, Set(MESSAGE), Before(data::timespec)]
        }
        "shutdown" => &[Fd, Word(HOW)],
        "getsockname" | "getpeername" => {
            &[Fd, After(data::sockaddr_out), After(data::pointed)]
        }
        "setsockopt" => {
            &[Fd, Word(LEVEL), Before(option), Before(option_value), Int]
        }
        "getsockopt" => &[Fd, Word(LEVEL), Before(option), After(option_value), Hex],
        _ => return None,
    })
}

fn kind(cx: &mut Cx<'_>, index: usize) -> Piece {
    let raw = cx.args[index];
    let flags = raw & !0xf;
    let kind = word(raw & 0xf, KIND);
    Piece::text(match flags {
        0 => kind,
        flags => format!("{kind}|{}", set(flags, &KIND[4..])),
    })
}

fn kind_flags(cx: &mut Cx<'_>, index: usize) -> Piece {
    Piece::text(set(cx.args[index], &KIND[4..]))
}

fn option(cx: &mut Cx<'_>, index: usize) -> Piece {
    let names = match cx.int(1) {
        libc::SOL_SOCKET => SOCKET_OPTION,
        libc::IPPROTO_TCP => TCP_OPTION,
        libc::IPPROTO_IP => IP_OPTION,
        _ => &[],
    };
    Piece::text(word(cx.args[index], names))
}

fn option_value(cx: &mut Cx<'_>, index: usize) -> Piece {
    let at = cx.args[index];
    if (cx.int(1), cx.int(2)) == (libc::SOL_SOCKET, libc::SO_PEERCRED) {
        return cx.memory().array::<12>(at).map_or(hex(at), |b| credentials(&b));
    }
    data::pointed(cx, index)
}

fn credentials(bytes: &[u8]) -> Piece {
    let [pid, uid, gid] = [0, 4, 8].map(|offset| i32_at(bytes, offset));
    Piece::text(format!("{{pid {pid}, uid {uid}, gid {gid}}}"))
}

fn connected(cx: &mut Cx<'_>) -> bool {
    let desc = cx.desc(cx.int(0));
    desc.and_then(|desc| desc.socket).is_some_and(|socket| socket.stream)
}

/// A `struct msghdr`: its address, its buffers, its control messages.
fn message(cx: &mut Cx<'_>, index: usize) -> Piece {
    let all = cx.result;
    message_at(cx, cx.args[index], all)
}

/// `struct mmsghdr`s: as many as were asked for, or as came; each with its own length.
fn messages(cx: &mut Cx<'_>, index: usize) -> Piece {
    const SIZE: u64 = 64;
    const MOST: u64 = 8;
    let returned = cx.result != i64::MAX;
    let count = if returned { cx.result as u64 } else { cx.args[2] & 0xffff_ffff };
    let mut parts = Vec::new();
    for n in 0..count.min(MOST) {
        let at = cx.args[index].wrapping_add(SIZE * n);
        let length = cx.memory().u32(at.wrapping_add(56)).unwrap_or(0);
        let moved = if returned { i64::from(length) } else { i64::MAX };
        parts.push(message_at(cx, at, moved));
    }
    if count > MOST {
        parts.push(Piece::text("…"));
    }
    Piece::Group("[", parts, "]")
}

/// The `struct msghdr` at an address, of which so many bytes were moved.
fn message_at(cx: &mut Cx<'_>, address: u64, moved: i64) -> Piece {
    let Some(header) = cx.memory().array::<56>(address) else {
        return hex(address);
    };
    let mut parts = Vec::new();
    let (name, length) = (u64_at(&header, 0), i32_at(&header, 8));
    let returned = cx.result != i64::MAX;
    if name != 0 && length > 0 && !(returned && connected(cx)) {
        parts.push(data::sockaddr_at(cx, name, length as u64));
    }
    let (buffers, count) = (u64_at(&header, 16), u64_at(&header, 24));
    parts.push(files::buffers(cx, buffers, count, moved));
    let (control, length) = (u64_at(&header, 32), u64_at(&header, 40));
    const MOST: u64 = 4096;
    if control != 0 && length > 0 {
        let bytes = cx.memory().bytes(control, length.min(MOST) as usize);
        parts.extend(controls(cx, &bytes));
    }
    let flags = i32_at(&header, 48) as u64;
    if returned && flags != 0 {
        parts.push(Piece::text(set(flags, MESSAGE)));
    }
    Piece::Group("{", parts, "}")
}

fn controls(cx: &mut Cx<'_>, bytes: &[u8]) -> Vec<Piece> {
    let shown = |(level, kind, data): (i32, i32, &[u8])| match (level, kind) {
        (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
            let numbers =
                data.as_chunks::<4>().0.iter().copied().map(i32::from_ne_bytes);
            Piece::Group("SCM_RIGHTS {", first(16, numbers.map(|fd| cx.fd(fd))), "}")
        }
        (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) => {
            Piece::Group("SCM_CREDENTIALS ", vec![credentials(data)], "")
        }
        (level, kind) => Piece::text(format!("control {level}/{kind}")),
    };
    first(4, split(bytes).map(shown))
}

/// So many of them, and whether there are more.
fn first(most: usize, mut pieces: impl Iterator<Item = Piece>) -> Vec<Piece> {
    let mut parts: Vec<_> = pieces.by_ref().take(most).collect();
    parts.extend(pieces.next().map(|_| Piece::text("…")));
    parts
}

/// The descriptors that a struct msghdr carries.
pub(super) fn rights(cx: &Cx<'_>, header: u64) -> Vec<i32> {
    const MOST: u64 = 4096;
    let header = cx.memory().bytes(header, 56);
    let (control, length) = (u64_at(&header, 32), u64_at(&header, 40));
    let bytes = cx.memory().bytes(control, length.min(MOST) as usize);
    let rights = split(&bytes).filter(|(level, kind, _)| {
        (*level, *kind) == (libc::SOL_SOCKET, libc::SCM_RIGHTS)
    });
    rights
        .flat_map(|(_, _, data)| data.as_chunks::<4>().0.iter().copied())
        .map(i32::from_ne_bytes)
        .collect()
}

/// The control messages in `bytes`: level, type, data.
fn split(bytes: &[u8]) -> impl Iterator<Item = (i32, i32, &[u8])> {
    const HEADER: usize = size_of::<libc::cmsghdr>();
    let mut at = 0;
    std::iter::from_fn(move || {
        let length = u64_at(bytes, at) as usize;
        let data = bytes.get(at.checked_add(HEADER)?..at.checked_add(length)?)?;
        let found = (i32_at(bytes, at + 8), i32_at(bytes, at + 12), data);
        at += length.checked_next_multiple_of(size_of::<usize>())?;
        Some(found)
    })
}
