//! Memory that processes share: the shared mappings in /proc/PID/maps.

use std::collections::HashMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use wire::visible;

use super::descriptors::{device, kind_of_path, without_mark};
use super::model::{Holder, Key, Kind, Map};

/// A shared mapping.
#[derive(Debug, Clone)]
pub(super) struct Mapping {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) object: usize,
}

/// Finds the shared mappings of all processes; returns those by process, for who sleeps at an
/// address. `space` is this IPC namespace's number.
pub(super) fn gather(map: &mut Map, space: u64) -> HashMap<usize, Vec<Mapping>> {
    let mut all = HashMap::new();
    for index in 0..map.processes.len() {
        let process = &map.processes[index];
        if process.kernel || process.zombie {
            continue;
        }
        let pid = process.pid;
        // Also one whose directory of descriptors was readable may have ended.
        let Ok(maps) = os::proc::bytes(format!("/proc/{pid}/maps")) else {
            continue;
        };
        let mut found = Vec::new();
        for line in maps.split(|byte| *byte == b'\n') {
            if let Some(mapping) = one(map, index, line, space) {
                found.push(mapping);
            }
        }
        if !found.is_empty() {
            all.insert(index, found);
        }
    }
    all
}

/// `7f..-7f.. rw-s 00000000 00:01 1026   /memfd:x (deleted)`, if it is shared.
fn one(map: &mut Map, process: usize, line: &[u8], space: u64) -> Option<Mapping> {
    let mut words = line.splitn(6, |byte| *byte == b' ');
    let range = words.next()?;
    let mode = words.next()?;
    if mode.get(3) != Some(&b's') {
        return None;
    }
    let dev = std::str::from_utf8(words.nth(1)?).ok()?;
    let inode = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
    let path = words.next()?.trim_ascii_start();
    // A device's memory is not another process's; nor is what has no file.
    if inode == 0
        || !path.starts_with(b"/")
        || (path.starts_with(b"/dev/")
            && !path.starts_with(b"/dev/shm/")
            && !path.starts_with(b"/dev/zero"))
    {
        return None;
    }
    let kind = kind_of_path(path);
    let name = visible::text(path);
    let (name, gone) = without_mark(&name);
    let (major, minor) = dev.split_once(':')?;
    let (major, minor) =
        (u32::from_str_radix(major, 16).ok()?, u32::from_str_radix(minor, 16).ok()?);
    let key = match kind {
        Kind::SysvSegment => Key { kind, space, number: inode },
        Kind::File if !gone => {
            // On an overlay or btrfs, stat(2) knows another device than the kernel's mapping.
            let pid = map.processes[process].pid;
            let named = fs::metadata(format!("/proc/{pid}/root{name}")).ok();
            let same = named.filter(|about| about.ino() == inode);
            let space = same.map_or(device(major, minor), |about| about.dev());
            Key { kind, space, number: inode }
        }
        _ => Key { kind, space: device(major, minor), number: inode },
    };
    let (from, to) = std::str::from_utf8(range).ok()?.split_once('-')?;
    let (from, to) =
        (u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?);
    let index = map.object(key);
    let object = &mut map.objects[index];
    let unnamed = name.starts_with("/memfd:") || name == "/dev/zero";
    if object.name.is_none() && kind != Kind::SysvSegment {
        object.name = (name != "/dev/zero").then(|| name.to_owned());
        object.name_gone = gone && !unnamed;
        if object.name_gone && name.starts_with("/dev/shm/") {
            let pid = map.processes[process].pid;
            let other = other_name(pid, inode);
            object.name_gone = other.is_none();
            object.name = other.or(object.name.take());
        }
    }
    let (read, write) = (mode[0] == b'r', mode[1] == b'w');
    let known = object.holders.iter_mut().find(|holder| {
        holder.process == process && holder.fd.is_none() && holder.locks.is_empty()
    });
    match known {
        Some(holder) => {
            holder.read |= read;
            holder.write |= write;
        }
        None => {
            object.holders.push(Holder { process, read, write, ..Holder::default() })
        }
    }
    Some(Mapping { from, to, object: index })
}

/// The name in /dev/shm of that inode. sem_open(3) makes a semaphore under another name, gives it
/// its own by link(2), and unlinks the first: /proc goes on to show the first, as deleted.
fn other_name(pid: i32, inode: u64) -> Option<String> {
    let names = fs::read_dir(format!("/proc/{pid}/root/dev/shm")).ok()?;
    let found = names
        .flatten()
        .find(|name| name.metadata().is_ok_and(|about| about.ino() == inode))?;
    Some(format!("/dev/shm/{}", visible::text(found.file_name().as_bytes())))
}
