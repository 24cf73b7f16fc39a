//! Bytes and messages: which stream, queue or file they go into or come out of.

use super::super::asked;
use super::super::event::{Effect, Load};
use super::super::memory::{i32_at, u64_at};
use super::super::objects::{Desc, Kind};
use super::addresses::{datagrams, resolved};
use super::argument::{Cx, KEPT};
use super::told::{notifications, received, signal_records};
use os::proc::field;

/// How much a pipe's packet holds: PIPE_BUF.
const PACKET: usize = 4096;

/// Where a call's bytes are in memory: addresses and lengths.
pub(super) type Spans = Vec<(u64, u64)>;

/// An array of `count` struct iovec.
pub(super) fn iov(cx: &Cx<'_>, address: u64, count: u64) -> Spans {
    const MOST: u64 = 1024;
    let bytes = cx.memory().bytes(address, 16 * count.min(MOST) as usize);
    let (all, _) = bytes.as_chunks::<16>();
    all.iter().map(|one| (u64_at(one, 0), u64_at(one, 8))).collect()
}

/// The buffers of a struct msghdr.
pub(super) fn msghdr(cx: &Cx<'_>, address: u64) -> Spans {
    let header = cx.memory().bytes(address, 56);
    iov(cx, u64_at(&header, 16), u64_at(&header, 24))
}

/// The `units` bytes that lie in `spans`.
pub(super) fn load(cx: &mut Cx<'_>, spans: &Spans, units: u64) -> Load {
    let room = cx.world.room(units as usize, KEPT as usize);
    let mut bytes = Vec::new();
    for (address, length) in spans {
        let more = (*length as usize).min(room.saturating_sub(bytes.len()));
        bytes.extend(cx.memory().bytes(*address, more));
    }
    let all =
        spans.iter().fold(0_u64, |all, (_, length)| all.saturating_add(*length));
    let bytes = Some(cx.world.keep(bytes, KEPT as usize));
    Load { units, bytes, cut: units >= all }
}

/// What was put into descriptor `fd`; into a file, at this offset if one was named.
pub(super) fn put(
    cx: &mut Cx<'_>,
    (fd, desc): (i32, &Desc),
    at: Option<u64>,
    load: Load,
) -> Vec<Effect> {
    let key = cx.world.key(desc);
    match desc.kind {
        Kind::Pipe | Kind::Fifo if desc.packets => {
            let bytes = load.bytes.unwrap_or_default();
            let packet = |part: &[u8]| Load {
                units: part.len() as u64,
                bytes: Some(part.into()),
                cut: false,
            };
            let packets = bytes.chunks(PACKET).map(packet);
            packets.map(|p| Effect::Post(key.clone(), String::new(), p)).collect()
        }
        Kind::Pipe | Kind::Fifo => {
            let left = asked::unread(cx.tid, fd);
            let left = left.map(|left| Effect::Remaining(key.clone(), left));
            [Effect::Put(key, load)].into_iter().chain(left).collect()
        }
        Kind::File | Kind::Memory => {
            let end = |end: u64| end.saturating_sub(load.units);
            let from = match (at, appends(cx, fd)) {
                (Some(at), false) => Some(at),
                (Some(_), true) => size(cx, fd).map(end),
                (None, _) => position(cx, fd).map(end),
            };
            from.map(|from| Effect::Write(key, from, load)).into_iter().collect()
        }
        Kind::Socket => send(cx, desc, None, load).into_iter().collect(),
        Kind::Helper if desc.named.short == "eventfd" => {
            let put = Effect::Put(key.clone(), Load::unseen(number(&load)));
            [put].into_iter().chain(counter(cx, fd, key)).collect()
        }
        _ => Vec::new(),
    }
}

/// What was taken out of descriptor `fd`.
pub(super) fn take(
    cx: &mut Cx<'_>,
    (fd, desc): (i32, &Desc),
    at: Option<u64>,
    load: Load,
) -> Vec<Effect> {
    let key = cx.world.key(desc);
    // A call that asks for nothing learns nothing.
    let nothing = load.units == 0 && load.cut;
    match desc.kind {
        Kind::Pipe | Kind::Fifo if nothing => Vec::new(),
        Kind::Pipe | Kind::Fifo if load.units == 0 => {
            vec![Effect::Remaining(key.clone(), 0), Effect::EndOfFile(key)]
        }
        Kind::Pipe | Kind::Fifo if desc.packets => {
            vec![Effect::Fetch(key, String::new(), load)]
        }
        Kind::Pipe | Kind::Fifo => {
            let left = asked::unread(cx.tid, fd);
            let left = left.map(|left| Effect::Remaining(key.clone(), left));
            [Effect::Take(key, load)].into_iter().chain(left).collect()
        }
        Kind::File | Kind::Memory => {
            let from =
                at.or_else(|| Some(position(cx, fd)?.saturating_sub(load.units)));
            from.map(|from| Effect::Read(key, from, load)).into_iter().collect()
        }
        Kind::Socket => receive(cx, (fd, desc), load, nothing),
        Kind::Helper => match desc.named.short {
            "eventfd" => {
                let take = Effect::Take(key.clone(), Load::unseen(number(&load)));
                [take].into_iter().chain(counter(cx, fd, key)).collect()
            }
            "signalfd" => {
                let (pid, tid) = (cx.pid(), cx.tid.as_raw());
                signal_records(cx)
                    .iter()
                    .map(|info| received(pid, tid, info))
                    .collect()
            }
            "inotify" => {
                let told = |(_, path): (u64, String)| {
                    Effect::Fetch(
                        format!("name {path}"),
                        String::new(),
                        Load::unseen(0),
                    )
                };
                notifications(cx, desc).into_iter().map(told).collect()
            }
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn receive(
    cx: &mut Cx<'_>,
    (fd, desc): (i32, &Desc),
    load: Load,
    nothing: bool,
) -> Vec<Effect> {
    let Some(socket) = &desc.socket else { return Vec::new() };
    let key = format!("socket to {}", desc.inode);
    if socket.stream {
        // The kernel does not report how much of a TCP stream is still on its way.
        let left = if socket.is_unix() { asked::unread(cx.tid, fd) } else { None };
        let left = left.map(|left| Effect::Remaining(key.clone(), left));
        let taken = match load.units {
            0 if nothing || cx.world.deaf.contains(&desc.inode) => {
                return Vec::new();
            }
            0 => Effect::EndOfFile(key),
            _ => Effect::Take(key, load),
        };
        return [taken].into_iter().chain(left).collect();
    }
    let key = match socket.datagram {
        true => match datagrams(cx.world, desc) {
            Some(address) => address,
            None => key,
        },
        false if load.units == 0 => return vec![Effect::EndOfFile(key)],
        false => key,
    };
    let left =
        asked::is_empty(cx.tid, fd).then(|| Effect::Remaining(key.clone(), 0));
    [Effect::Fetch(key, String::new(), load)].into_iter().chain(left).collect()
}

/// What was sent through a socket, to `target` if that was named.
pub(super) fn send(
    cx: &mut Cx<'_>,
    desc: &Desc,
    target: Option<String>,
    load: Load,
) -> Option<Effect> {
    let socket = desc.socket.as_ref()?;
    let from = format!("socket from {}", desc.inode);
    if socket.stream {
        return Some(Effect::Put(from, load));
    }
    let to = target.filter(|_| socket.datagram).or_else(|| resolved(cx.world, desc));
    let key = to.map_or(from, |to| format!("datagram {to}"));
    Some(Effect::Post(key, String::new(), load))
}

/// Bytes that went from one descriptor to another without being in memory: splice,
/// sendfile, copy_file_range. Each end has the argument that points at its offset.
pub(super) fn moved(
    cx: &mut Cx<'_>,
    (from, from_at): (usize, Option<usize>),
    (to, to_at): (usize, Option<usize>),
    asked_for: u64,
) -> Vec<Effect> {
    let units = cx.result as u64;
    let fds = [cx.int(from), cx.int(to)];
    let [Some(source), Some(sink)] = fds.map(|fd| cx.desc(fd)) else {
        return Vec::new();
    };
    let offset = |cx: &Cx<'_>, at: Option<usize>| {
        let after = cx.memory().u64(cx.args[at?])?;
        Some(after.saturating_sub(units))
    };
    let (source_at, sink_at) = (offset(cx, from_at), offset(cx, to_at));
    let mut load = Load { cut: asked_for == 0, ..Load::unseen(units) };
    if matches!(source.kind, Kind::File | Kind::Memory) && units > 0 {
        let begin =
            source_at.or_else(|| Some(position(cx, fds[0])?.saturating_sub(units)));
        let room = cx.world.room(units as usize, KEPT as usize) as u64;
        let bytes =
            begin.and_then(|begin| asked::file_bytes(cx.tid, fds[0], begin, room));
        load.bytes = bytes.map(|bytes| cx.world.keep(bytes, KEPT as usize));
    }
    let mut all = take(cx, (fds[0], &source), source_at, load.clone());
    if units > 0 {
        all.extend(put(cx, (fds[1], &sink), sink_at, load));
    }
    all
}

fn info(cx: &Cx<'_>, fd: i32) -> Option<String> {
    std::fs::read_to_string(format!("/proc/{}/fdinfo/{fd}", cx.tid)).ok()
}

/// Where a file's offset is now.
fn position(cx: &Cx<'_>, fd: i32) -> Option<u64> {
    field(&info(cx, fd)?, "pos:")?.parse().ok()
}

/// Whether each write goes to the end, whatever offset it names.
fn appends(cx: &Cx<'_>, fd: i32) -> bool {
    let flags = info(cx, fd)
        .and_then(|info| i32::from_str_radix(field(&info, "flags:")?, 8).ok());
    flags.is_some_and(|flags| flags & libc::O_APPEND != 0)
}

/// How long the file behind a descriptor is.
pub(super) fn size(cx: &Cx<'_>, fd: i32) -> Option<u64> {
    std::fs::metadata(format!("/proc/{}/fd/{fd}", cx.tid))
        .ok()
        .map(|meta| meta.len())
}

/// The number in the 8 bytes that were written to an eventfd, or read from it.
fn number(load: &Load) -> u64 {
    let bytes = load.bytes.as_deref().and_then(<[u8]>::first_chunk);
    bytes.copied().map_or(0, u64::from_ne_bytes)
}

/// What an eventfd's counter is now.
fn counter(cx: &Cx<'_>, fd: i32, key: String) -> Option<Effect> {
    let count =
        u64::from_str_radix(field(&info(cx, fd)?, "eventfd-count:")?, 16).ok()?;
    Some(Effect::Remaining(key, count))
}

/// Opening a FIFO wakes the processes that wait for the other end, and may wait for it.
/// Whatever is opened, the kernel reports how much is in it.
pub(super) fn opened(cx: &mut Cx<'_>) -> Vec<Effect> {
    let fd = cx.result as i32;
    let Some(desc) = cx.desc(fd) else { return Vec::new() };
    let key = cx.world.key(&desc);
    match desc.kind {
        Kind::File | Kind::Memory => {
            size(cx, fd).map(|size| Effect::Size(key, size)).into_iter().collect()
        }
        Kind::Fifo => {
            let side = |writer| format!("{key} {}", if writer { "w" } else { "r" });
            let mut all = Vec::new();
            for (has, writer) in [(desc.reads, false), (desc.writes, true)] {
                if has {
                    all.push(Effect::Wake(side(!writer), None));
                }
            }
            // A process that opens both ends does not wait.
            if desc.reads != desc.writes {
                all.push(Effect::Woken(side(desc.writes)));
            }
            if desc.writes {
                all.push(Effect::OpenWriter(key.clone()));
            }
            let left = asked::unread(cx.tid, fd);
            all.extend(left.map(|left| Effect::Remaining(key, left)));
            all
        }
        _ => Vec::new(),
    }
}

/// The messages of sendmmsg and recvmmsg: where each header is, and how long it was.
pub(super) fn several(cx: &Cx<'_>) -> Vec<(u64, u64)> {
    const SIZE: u64 = 64;
    const MOST: i64 = libc::UIO_MAXIOV as i64;
    let one = |n: u64| {
        let at = cx.args[1].wrapping_add(SIZE.wrapping_mul(n));
        let length = cx.memory().bytes(at.wrapping_add(56), 4);
        (at, u64::from(i32_at(&length, 0) as u32))
    };
    (0..cx.result.clamp(0, MOST) as u64).map(one).collect()
}
