//! The proof of a scene: lsof(8) and lsfd(1) see the same descriptors, in the same modes, of the
//! same inodes.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{holders, other};
use crate::support::have;

/// What a descriptor leads to: how it is open, and the inode, where the program tells it.
type Open = BTreeMap<(i64, i64), (String, Option<u64>)>;

/// In what the map and the others differ, if in anything.
pub(super) fn difference(map: &Value, pids: &[i64]) -> Option<String> {
    let ours = ours(map, pids);
    let words: Vec<String> = pids.iter().map(i64::to_string).collect();
    let words = words.join(",");
    for (name, theirs) in [("lsfd", lsfd(&words)), ("lsof", lsof(&words))] {
        let Some((all, communicates)) = theirs else { continue };
        for (at, (mode, inode)) in &ours {
            let Some((their_mode, their_inode)) = all.get(at) else {
                return Some(format!("{name} has no {at:?}"));
            };
            if mode != their_mode {
                return Some(format!("{at:?}: {mode}, {name}: {their_mode}"));
            }
            if inode.zip(*their_inode).is_some_and(|(one, other)| one != other) {
                return Some(format!("{at:?}: {inode:?}, {name}: {their_inode:?}"));
            }
        }
        if let Some(at) = communicates.iter().find(|at| !ours.contains_key(at)) {
            return Some(format!("{name} has {at:?}, the map does not"));
        }
    }
    None
}

/// The descriptors of these processes in the map. Those without a file have one inode together.
fn ours(map: &Value, pids: &[i64]) -> Open {
    let mut all = Open::new();
    for object in map["objects"].as_array().unwrap() {
        let kind = object["kind"].as_str().unwrap();
        let number = object["id"].as_str().unwrap().rsplit(':').next().unwrap();
        for holder in holders(object) {
            let (Some(pid), Some(fd)) =
                (holder["pid"].as_i64(), holder["fd"].as_i64())
            else {
                continue;
            };
            let inode = match kind {
                "eventfd" | "pidfd" | "epoll" | "pty" => None,
                _ => holder["end"].as_u64().or(number.parse().ok()),
            };
            let mode = match (holder["read"] == true, holder["write"] == true) {
                (true, true) => "rw",
                (false, true) => "w",
                _ => "r",
            };
            if pids.contains(&pid) {
                all.insert((pid, fd), (mode.to_owned(), inode));
            }
        }
    }
    all
}

/// All that lsfd(1) of util-linux knows, and which of it are pipes and sockets.
fn lsfd(pids: &str) -> Option<(Open, Vec<(i64, i64)>)> {
    if !have("lsfd") {
        return None;
    }
    let words = ["-J", "-p", pids, "-o", "PID,FD,MODE,TYPE,INODE"];
    let text: Value = serde_json::from_str(&other("lsfd", &words)?).unwrap();
    let (mut all, mut communicates) = (Open::new(), Vec::new());
    for row in text["lsfd"].as_array().unwrap() {
        let (Some(pid), Some(fd)) = (row["pid"].as_i64(), row["fd"].as_i64()) else {
            continue;
        };
        let mode = row["mode"].as_str().unwrap().replace(['-', 'x', 'm'], "");
        all.insert((pid, fd), (mode, row["inode"].as_u64()));
        if matches!(row["type"].as_str(), Some("FIFO" | "SOCK")) {
            communicates.push((pid, fd));
        }
    }
    Some((all, communicates))
}

/// The same of lsof(8). Of sockets but Unix ones it tells no inode.
fn lsof(pids: &str) -> Option<(Open, Vec<(i64, i64)>)> {
    if !have("lsof") {
        return None;
    }
    let text = other("lsof", &["-wnP", "-p", pids, "-F", "pfait"])?;
    let (mut all, mut communicates) = (Open::new(), Vec::new());
    let (mut pid, mut fd, mut mode) = (0, None, "");
    for line in text.lines() {
        let Some((field, value)) = line.split_at_checked(1) else { continue };
        let at = fd.map(|fd| (pid, fd));
        match (field, at) {
            ("p", _) => pid = value.parse().unwrap(),
            ("f", _) => fd = value.parse().ok(),
            ("a", _) => mode = if value == "u" { "rw" } else { value },
            ("t", Some(at)) => {
                all.insert(at, (mode.trim().to_owned(), None));
                if matches!(value, "FIFO" | "unix" | "IPv4" | "IPv6" | "sock") {
                    communicates.push(at);
                }
            }
            ("i", Some(at)) => {
                if let Some(open) = all.get_mut(&at) {
                    open.1 = value.parse().ok();
                }
            }
            _ => {}
        }
    }
    Some((all, communicates))
}
