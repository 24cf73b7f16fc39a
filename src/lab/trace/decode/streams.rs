//! Bytes and messages: which stream, queue or file they go into or come out of.

use super::super::event::Effect;
use super::super::memory::{i32_at, u64_at};
use super::super::objects::{Desc, Kind, field};
use super::Cx;
use super::data::{Address, address_text};
use super::told::{notifications, received, signal_records};

/// What a writer gives up when it closes `desc`.
pub(in super::super) fn close(desc: &Desc) -> Option<Effect> {
    match desc.kind {
        Kind::Pipe | Kind::Fifo if desc.writes => Some(Effect::Close(key(desc))),
        Kind::Socket => Some(Effect::Close(outgoing(desc))),
        _ => None,
    }
}

pub(super) fn key(desc: &Desc) -> String {
    format!("{:?} {}", desc.kind, desc.inode)
}

/// The key of what a socket sends.
pub(super) fn outgoing(desc: &Desc) -> String {
    match &desc.socket {
        Some(socket) if socket.domain != libc::AF_UNIX => {
            let name =
                |address: &Option<String>| address.clone().unwrap_or_default();
            format!("tcp {}→{}", name(&socket.local), name(&socket.peer))
        }
        _ => format!("unix from {}", desc.inode),
    }
}

/// The key of what a socket receives.
fn incoming(desc: &Desc) -> String {
    match &desc.socket {
        Some(socket) if socket.domain != libc::AF_UNIX => {
            let name =
                |address: &Option<String>| address.clone().unwrap_or_default();
            format!("tcp {}→{}", name(&socket.peer), name(&socket.local))
        }
        _ => format!("unix to {}", desc.inode),
    }
}

pub(super) fn put(cx: &mut Cx<'_>, desc: &Desc, at: Option<u64>) -> Option<Effect> {
    let n = cx.result as u64;
    Some(match desc.kind {
        Kind::Pipe | Kind::Fifo => Effect::Put(key(desc), n),
        Kind::File | Kind::Memory => {
            let from = at.or_else(|| Some(position(cx)?.saturating_sub(n)))?;
            Effect::Write(key(desc), from, from + n)
        }
        Kind::Socket => send(cx, "write", desc),
        Kind::Helper if desc.named.short == "eventfd" => {
            Effect::Put(desc.named.long.to_string(), cx.memory().u64(cx.args[1])?)
        }
        _ => return None,
    })
}

pub(super) fn take(cx: &mut Cx<'_>, desc: &Desc, at: Option<u64>) -> Vec<Effect> {
    let n = cx.result as u64;
    let stream =
        |key| if n == 0 { Effect::EndOfFile(key) } else { Effect::Take(key, n) };
    match desc.kind {
        Kind::Pipe | Kind::Fifo => vec![stream(key(desc))],
        Kind::File | Kind::Memory => {
            let from = at.or_else(|| Some(position(cx)?.saturating_sub(n)));
            from.map(|from| Effect::Read(key(desc), from, from + n))
                .into_iter()
                .collect()
        }
        Kind::Socket => {
            let socket = desc.socket.as_ref();
            let local = socket.and_then(|socket| socket.local.as_deref());
            vec![match (socket.is_some_and(|s| s.stream), local) {
                (true, _) => stream(incoming(desc)),
                (_, Some(local)) if socket.is_some_and(|s| s.datagram) => {
                    Effect::Fetch(format!("datagram {local}"))
                }
                _ if n == 0 => Effect::EndOfFile(incoming(desc)),
                _ => Effect::Fetch(incoming(desc)),
            }]
        }
        Kind::Helper => match desc.named.short {
            "eventfd" => {
                let value = cx.memory().u64(cx.args[1]).unwrap_or(0);
                vec![Effect::Take(desc.named.long.to_string(), value)]
            }
            "signalfd" => {
                let pid = cx.pid();
                signal_records(cx).iter().map(|info| received(pid, info)).collect()
            }
            "inotify" => {
                let events = notifications(cx, desc);
                let told =
                    |(_, path): (u64, String)| Effect::Fetch(format!("name {path}"));
                events.into_iter().map(told).collect()
            }
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// Where a file's offset is now.
fn position(cx: &Cx<'_>) -> Option<u64> {
    let info = format!("/proc/{}/fdinfo/{}", cx.tid, cx.int(0));
    field(&std::fs::read_to_string(info).ok()?, "pos:")?.parse().ok()
}

pub(super) fn send(cx: &mut Cx<'_>, name: &str, desc: &Desc) -> Effect {
    let socket = desc.socket.as_ref();
    if socket.is_some_and(|socket| socket.stream) {
        return Effect::Put(outgoing(desc), cx.result as u64);
    }
    let named = match name {
        "sendto" => target(cx, cx.args[4], cx.args[5]),
        "sendmsg" => cx.memory().array::<12>(cx.args[1]).and_then(|header| {
            target(cx, u64_at(&header, 0), u64::from(i32_at(&header, 8) as u32))
        }),
        _ => None,
    };
    let peer = named.or_else(|| socket.and_then(|socket| socket.peer.clone()));
    match peer.filter(|_| socket.is_some_and(|socket| socket.datagram)) {
        Some(peer) => Effect::Post(format!("datagram {peer}")),
        None => Effect::Post(outgoing(desc)),
    }
}

fn target(cx: &Cx<'_>, address: u64, length: u64) -> Option<String> {
    if address == 0 {
        return None;
    }
    match address_text(&cx.memory().bytes(address, length.min(128) as usize))? {
        Address::Path(text) | Address::Other(text) => Some(text),
    }
}

/// Opening a FIFO wakes who waits for the other end, and may wait for it.
pub(super) fn opened(cx: &mut Cx<'_>) -> Vec<Effect> {
    let Some(desc) = cx.desc(cx.result as i32) else { return Vec::new() };
    if desc.kind != Kind::Fifo {
        return Vec::new();
    }
    let side = |writes| format!("{} {}", key(&desc), if writes { "w" } else { "r" });
    vec![Effect::Wake(side(!desc.writes), None), Effect::Woken(side(desc.writes))]
}

pub(super) fn connect(cx: &mut Cx<'_>) -> Vec<Effect> {
    cx.world.forget(cx.who, cx.int(0));
    let Some(desc) = cx.desc(cx.int(0)) else { return Vec::new() };
    let Some(socket) = desc.socket.as_ref().filter(|socket| !socket.datagram) else {
        return Vec::new();
    };
    let key = match socket.domain {
        libc::AF_UNIX => {
            let path = target(cx, cx.args[1], cx.args[2]).unwrap_or_default();
            format!("connect {path} {}", cx.pid())
        }
        _ => format!("connect {}", outgoing(&desc)),
    };
    vec![Effect::Post(key), Effect::Socket(desc.inode)]
}

pub(super) fn accept(cx: &mut Cx<'_>) -> Vec<Effect> {
    let Some(desc) = cx.desc(cx.result as i32) else { return Vec::new() };
    let Some(socket) = desc.socket.as_ref() else { return Vec::new() };
    let key = match socket.domain {
        libc::AF_UNIX => {
            let path = socket.local.as_deref().unwrap_or_default();
            format!("connect {path} {}", socket.peer_pid)
        }
        _ => format!("connect {}", incoming(&desc)),
    };
    vec![Effect::Fetch(key), Effect::Socket(desc.inode)]
}
