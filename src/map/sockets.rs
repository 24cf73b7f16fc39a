//! Sockets and their other ends: one object for a connection, with an end for each socket.
//!
//! A listening socket is one object with the clients in its backlog, a datagram socket one
//! with all that are connected to it.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;

use super::diag::{self, LISTEN, PEER_ENDED, Socket};
use super::model::{Backlog, End, Holder, Key, Kind, Map, Object};

/// Gives the sockets among the objects their kinds, names, ends and lengths.
pub(super) fn gather(map: &mut Map) {
    let sockets = all(map);
    let index: HashMap<u64, usize> = (0..sockets.len())
        .filter(|at| sockets[*at].inode != 0)
        .map(|at| (sockets[at].inode, at))
        .collect();
    let mut held: HashMap<u64, usize> = HashMap::new();
    for (at, object) in map.objects.iter().enumerate() {
        if object.kind() == Kind::Socket {
            held.insert(object.key.number, at);
        }
    }
    // The kernel lists them in the order of a hash: here they stand as processes hold them.
    let first = |group: &Vec<usize>| {
        group.iter().filter_map(|at| held.get(&sockets[*at].inode)).min().copied()
    };
    let mut groups: Vec<_> = groups(&sockets, &index)
        .into_iter()
        .filter_map(|group| Some((first(&group)?, group)))
        .collect();
    groups.sort_unstable();
    for (_, group) in groups {
        join(map, &sockets, &group, &held);
    }
}

/// The sockets of our network namespace, and of the others that processes are in.
fn all(map: &mut Map) -> Vec<Socket> {
    let mut sockets = match diag::sockets(None) {
        Ok(sockets) => sockets,
        Err(error) => {
            map.not_seen.push(format!("the other ends of sockets: {error}"));
            return Vec::new();
        }
    };
    let own = fs::read_link("/proc/self/ns/net").ok();
    let mut known: HashSet<_> = own.into_iter().collect();
    for at in 0..map.processes.len() {
        let path = format!("/proc/{}/ns/net", map.processes[at].pid);
        let Ok(namespace) = fs::read_link(&path) else { continue };
        if !known.insert(namespace) {
            continue;
        }
        match diag::sockets(Some(path)) {
            Ok(more) => sockets.extend(more),
            Err(error) => {
                let who = map.who(at);
                map.not_seen.push(format!(
                    "the other ends of the sockets in the network namespace of {who}: \
                     {error}"
                ));
            }
        }
    }
    sockets
}

/// The sockets that belong together, by their indices.
fn groups(sockets: &[Socket], index: &HashMap<u64, usize>) -> Vec<Vec<usize>> {
    let mut leader: Vec<usize> = (0..sockets.len()).collect();
    fn find(leader: &mut [usize], mut at: usize) -> usize {
        while leader[at] != at {
            leader[at] = leader[leader[at]];
            at = leader[at];
        }
        at
    }
    let mut by_address = HashMap::new();
    // Of UDP, those that take datagrams from anybody.
    let mut open = HashMap::new();
    for (at, socket) in sockets.iter().enumerate() {
        match (socket.local, socket.remote) {
            (Some(local), Some(remote)) => {
                by_address.insert((socket.kind, local, remote), at);
            }
            (Some(local), None) if i32::from(socket.kind) == libc::IPPROTO_UDP => {
                open.insert(local, at);
            }
            _ => {}
        }
    }
    let at_udp = |socket: &Socket, remote: SocketAddr| {
        let any = |ip: IpAddr| open.get(&SocketAddr::new(ip, remote.port()));
        let udp = i32::from(socket.kind) == libc::IPPROTO_UDP;
        let found = any(remote.ip())
            .or_else(|| any(Ipv4Addr::UNSPECIFIED.into()))
            .or_else(|| any(Ipv6Addr::UNSPECIFIED.into()));
        found.filter(|_| udp).copied()
    };
    for (at, socket) in sockets.iter().enumerate() {
        let inodes = socket.peer.iter().chain(&socket.clients);
        let others = inodes.filter_map(|inode| index.get(inode).copied());
        let pair = socket.local.zip(socket.remote).and_then(|(local, remote)| {
            let pair = by_address.get(&(socket.kind, remote, local)).copied();
            pair.or_else(|| at_udp(socket, remote))
        });
        for other in others.chain(pair) {
            let (one, other) = (find(&mut leader, at), find(&mut leader, other));
            leader[one.max(other)] = one.min(other);
        }
    }
    let mut groups: HashMap<usize, Vec<usize>> = HashMap::new();
    for at in 0..sockets.len() {
        groups.entry(find(&mut leader, at)).or_default().push(at);
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort_unstable();
    groups
}

/// Makes one object of these sockets.
fn join(
    map: &mut Map,
    sockets: &[Socket],
    group: &[usize],
    held: &HashMap<u64, usize>,
) {
    let mut group = group.to_vec();
    // The listening socket first, then as they are held.
    group.sort_by_key(|at| {
        let socket = &sockets[*at];
        let holder = held.get(&socket.inode);
        (socket.state != LISTEN, holder.is_none(), holder, socket.inode)
    });
    let first = &sockets[group[0]];
    let kind = match (i32::from(first.family), i32::from(first.kind)) {
        (libc::AF_UNIX, _) => Kind::Unix,
        (_, libc::IPPROTO_UDP) => Kind::Udp,
        _ => Kind::Tcp,
    };
    let mut ends = Vec::new();
    let mut holders: Vec<Holder> = Vec::new();
    let mut space = 0;
    for at in &group {
        let socket = &sockets[*at];
        let mut end = end(socket);
        if let Some(object) = held.get(&socket.inode) {
            let object = &mut map.objects[*object];
            space = object.key.space;
            end.in_flight = object.ends.first().map_or(0, |end| end.in_flight);
            let number = ends.len();
            let theirs = std::mem::take(&mut object.holders);
            holders.extend(
                theirs.into_iter().map(|holder| Holder { end: number, ..holder }),
            );
        }
        ends.push(end);
    }
    let inodes = ends.iter().map(|end| end.inode).filter(|inode| *inode != 0);
    let number = inodes.min().unwrap_or(0);
    let name = ends.iter().find_map(|end| end.name.clone());
    let about = about(kind, first, ends.len());
    let name_gone = group.iter().any(|at| is_gone(map, &sockets[*at], &holders));
    let index = map.object(Key { kind, space, number });
    let object = &mut map.objects[index];
    *object =
        Object { name, name_gone, ends, holders, about, ..Object::new(object.key) };
}

fn about(kind: Kind, first: &Socket, ends: usize) -> Vec<&'static str> {
    let mut about = Vec::new();
    if kind == Kind::Unix {
        about.push(match i32::from(first.kind) {
            libc::SOCK_DGRAM => "datagram",
            libc::SOCK_SEQPACKET => "seqpacket",
            _ => "stream",
        });
    }
    if first.state == LISTEN {
        about.push("listening");
    } else if ends == 1 && first.remote.is_some() {
        about.push("its other end is not of this machine, or closed");
    } else if ends == 1
        && kind == Kind::Unix
        && i32::from(first.kind) != libc::SOCK_DGRAM
    {
        about.push("not connected, or its other end is closed");
    }
    about
}

fn end(socket: &Socket) -> End {
    let listens = socket.state == LISTEN;
    let peer_ended = i32::from(socket.kind) == libc::IPPROTO_TCP
        && i32::from(socket.family) != libc::AF_UNIX
        && PEER_ENDED.contains(&socket.state);
    let unread = socket.received.saturating_sub(peer_ended.into());
    let backlog = Backlog {
        waiting: socket.received,
        most: socket.sent,
        clients: socket.clients.clone(),
    };
    End {
        inode: socket.inode,
        name: socket
            .name
            .clone()
            .or_else(|| socket.local.map(|local| local.to_string())),
        unread: (!listens).then_some(unread),
        peer_ended,
        in_flight: 0,
        backlog: listens.then_some(backlog),
    }
}

/// Whether the path of a bound socket leads to it no more. An accepted socket has the
/// listening socket's name and file.
fn is_gone(map: &Map, socket: &Socket, holders: &[Holder]) -> bool {
    let (Some(name), Some(file)) = (&socket.name, socket.file) else { return false };
    if !name.starts_with('/') {
        return false;
    }
    let Some(holder) = holders.first() else { return false };
    let pid = map.processes[holder.process].pid;
    let path = format!("/proc/{pid}/root{name}");
    match fs::symlink_metadata(path) {
        // The list has the lower half of the number.
        Ok(about) => about.ino() as u32 != file,
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}
