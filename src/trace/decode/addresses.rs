//! Which socket an address means: a path by its inode, since names are used again.

use std::net::SocketAddr;

use super::super::event::Effect;
use super::super::memory::{i32_at, u64_at};
use super::super::objects::{Desc, inode_key};
use super::super::socket::Socket;
use super::super::world::World;
use super::argument::Cx;
use super::data::{Address, address_text};

/// What distinguishes the address at `address` from all others.
fn key_at(cx: &Cx<'_>, address: u64, length: u64) -> Option<String> {
    if address == 0 {
        return None;
    }
    match address_text(&cx.memory().bytes(address, length.min(128) as usize))? {
        Address::Path(path) => {
            let root = if path.starts_with('/') { "root" } else { "cwd" };
            let path = path.trim_start_matches('/');
            let meta = std::fs::metadata(format!("/proc/{}/{root}/{path}", cx.tid));
            Some(format!("path {}", inode_key(&meta.ok()?)))
        }
        Address::Other(text) => Some(plain(&text)),
    }
}

/// An Internet address as IPv4, if it is one in IPv6.
fn plain(text: &str) -> String {
    match text.parse::<SocketAddr>() {
        Ok(SocketAddr::V6(v6)) => match v6.ip().to_ipv4_mapped() {
            Some(ip) => format!("{ip}:{}", v6.port()),
            None => text.to_owned(),
        },
        _ => text.to_owned(),
    }
}

/// The address that a call names as its target, looked at before the call.
pub(super) fn target(cx: &Cx<'_>, name: &str) -> Option<String> {
    match name {
        "connect" => key_at(cx, cx.args[1], cx.args[2]),
        "sendto" => key_at(cx, cx.args[4], cx.args[5]),
        "sendmsg" => named(cx, cx.args[1]),
        _ => None,
    }
}

/// The address that a struct msghdr names.
pub(super) fn named(cx: &Cx<'_>, header: u64) -> Option<String> {
    let header = cx.memory().array::<12>(header)?;
    key_at(cx, u64_at(&header, 0), u64::from(i32_at(&header, 8) as u32))
}

/// A socket has got an address: nothing that was sent there before comes to it.
pub(super) fn bind(cx: &mut Cx<'_>, desc: &Desc) -> Vec<Effect> {
    let Some(key) = key_at(cx, cx.args[1], cx.args[2]) else { return Vec::new() };
    cx.world.bound.insert(desc.inode, key.clone());
    cx.world.at.insert(key.clone(), desc.inode);
    vec![Effect::Remaining(format!("datagram {key}"), 0)]
}

/// Where a datagram socket receives.
pub(super) fn datagrams(world: &World, desc: &Desc) -> Option<String> {
    let socket = desc.socket.as_ref()?;
    let local = match socket.is_unix() {
        true => world.bound.get(&desc.inode).cloned(),
        false => socket.local.as_deref().map(plain),
    };
    Some(format!("datagram {}", local?))
}

/// Where a socket that is connected sends to, if that has an address.
pub(super) fn resolved(world: &World, desc: &Desc) -> Option<String> {
    let socket = desc.socket.as_ref().filter(|socket| socket.datagram)?;
    match socket.is_unix() {
        true => world.targets.get(&desc.inode).cloned(),
        false => socket.peer.as_deref().map(plain),
    }
}

/// The two addresses of a connection, the one that connected first.
fn ends(socket: &Socket, accepted: bool) -> Option<String> {
    let (local, peer) =
        (plain(socket.local.as_ref()?), plain(socket.peer.as_ref()?));
    Some(match accepted {
        true => format!("tcp {peer}→{local}"),
        false => format!("tcp {local}→{peer}"),
    })
}

pub(super) fn connect(cx: &mut Cx<'_>, target: Option<String>) -> Vec<Effect> {
    cx.world.forget(cx.process, cx.int(0));
    let Some(desc) = cx.desc(cx.int(0)) else { return Vec::new() };
    let Some(socket) = &desc.socket else { return Vec::new() };
    if socket.datagram {
        cx.world.targets.remove(&desc.inode);
        cx.world.targets.extend(target.map(|target| (desc.inode, target)));
        return Vec::new();
    }
    let key = match socket.is_unix() {
        true => {
            let listens = target.and_then(|target| cx.world.at.get(&target));
            listens.map(|inode| format!("unix {inode} {}", cx.pid()))
        }
        false => ends(socket, false),
    };
    key.map(|key| Effect::Connects(key, desc.inode)).into_iter().collect()
}

pub(super) fn accept(cx: &mut Cx<'_>, listens: &Desc) -> Vec<Effect> {
    let Some(desc) = cx.desc(cx.result as i32) else { return Vec::new() };
    let Some(socket) = &desc.socket else { return Vec::new() };
    let key = match socket.is_unix() {
        true => Some(format!("unix {} {}", listens.inode, socket.peer_pid)),
        false => ends(socket, true),
    };
    key.map(|key| Effect::Accepts(key, desc.inode)).into_iter().collect()
}
