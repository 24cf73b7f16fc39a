//! The descriptors of all processes: where each leads, in which mode, and what the kernel says
//! about it. /proc/PID/fd is asked by readlink(2) and statx(2), /proc/PID/fdinfo is read:
//! nothing is opened that a process has open.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, CWD, Dir, OFlags, Statx, StatxFlags};
use rustix::fs::{readlinkat, statx};

use os::proc::{field, open};
use wire::visible;

use super::locks;
use super::model::{Holder, Key, Kind, Map, Object};

/// fs_type(2) numbers: statfs(2).
const MQUEUE: u32 = 0x1980_0202;

/// The memory that the gatherer keeps between descriptors.
#[derive(Default)]
struct Devices {
    /// Whether a device is the file system of the POSIX queues.
    queues: HashMap<u64, bool>,
    /// A socket, and a pipe.
    alike: [Option<Statx>; 2],
}

impl Devices {
    /// What the file system knows of a descriptor. Of a pipe and a socket its link has all that
    /// differs from the one before.
    fn about(&mut self, fds: &OwnedFd, name: &CStr, link: &[u8]) -> Option<Statx> {
        let kind = link.iter().position(|byte| *byte == b'[').map(|at| &link[..at]);
        let kind = kind.filter(|kind| matches!(*kind, b"pipe:" | b"socket:"));
        let number = kind.and_then(|kind| {
            str::from_utf8(&link[kind.len() + 1..link.len() - 1]).ok()?.parse().ok()
        });
        let place = usize::from(kind == Some(b"pipe:"));
        if let (Some(mut known), Some(number)) = (self.alike[place], number) {
            known.stx_ino = number;
            return Some(known);
        }
        // What a server of files would have to be asked for is not asked.
        let flags = AtFlags::STATX_DONT_SYNC;
        let about = statx(fds, name, flags, StatxFlags::BASIC_STATS).ok()?;
        if number == Some(about.stx_ino) {
            self.alike[place] = Some(about);
        }
        Some(about)
    }
}

/// What a descriptor leads to, as the file system knows it.
struct Found {
    key: Key,
    name: Option<String>,
    links: u32,
}

/// Finds the objects of all descriptors of all processes.
pub(super) fn gather(map: &mut Map) {
    let mut devices = Devices::default();
    for index in 0..map.processes.len() {
        if map.processes[index].kernel || map.processes[index].zombie {
            continue;
        }
        if of_process(map, index, &mut devices).is_none() {
            map.processes[index].closed = is_there(map.processes[index].pid);
        }
    }
}

fn is_there(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}/stat")).exists()
}

/// The directory `name` of a process in /proc.
fn directory(pid: i32, name: &str) -> Option<OwnedFd> {
    open(CWD, format!("/proc/{pid}/{name}"), OFlags::DIRECTORY).ok()
}

/// `None` where the directory of descriptors may not be read, or the process has ended.
fn of_process(map: &mut Map, process: usize, devices: &mut Devices) -> Option<()> {
    let pid = map.processes[process].pid;
    let fds = directory(pid, "fd")?;
    let infos = directory(pid, "fdinfo")?;
    let mut buffer = Vec::with_capacity(4096);
    for (fd, name) in listed(&fds)? {
        map.processes[process].descriptors.push(fd);
        let Ok(link) = readlinkat(&fds, &name, Vec::new()) else { continue };
        let link = link.to_bytes();
        let Some(about) = devices.about(&fds, &name, link) else { continue };
        if uninteresting(link, &about) {
            continue;
        }
        let Some(info) = info(&infos, &name, &mut buffer) else { continue };
        let Some(found) = found(pid, fd, link, &about, &info, devices) else {
            continue;
        };
        let index = map.object(found.key);
        let mut holder = holder(process, fd, &info);
        // The second end of a pseudoterminal is the slave.
        let slave = found.key.kind == Kind::Pty && !link.ends_with(b"ptmx");
        holder.end = usize::from(slave);
        let object = &mut map.objects[index];
        describe(object, &found, &info);
        object.holders.push(holder);
    }
    Some(())
}

/// The numbers of a process's descriptors now; `None` as above.
pub(super) fn numbers(pid: i32) -> Option<Vec<i32>> {
    let all = listed(&directory(pid, "fd")?)?;
    Some(all.into_iter().map(|(fd, _)| fd).collect())
}

/// The descriptors that a directory /proc/PID/fd lists.
fn listed(fds: &OwnedFd) -> Option<Vec<(i32, CString)>> {
    let mut all = Vec::new();
    for entry in Dir::read_from(fds).ok()? {
        let Ok(entry) = entry else { break };
        let name = entry.file_name();
        if let Some(fd) = name.to_str().ok().and_then(|n| n.parse::<i32>().ok()) {
            all.push((fd, name.to_owned()));
        }
    }
    Some(all)
}

/// What the kernel says about a descriptor. It gives all of it to one read(2) that has room.
fn info<'a>(
    infos: &OwnedFd,
    name: &CStr,
    buffer: &'a mut Vec<u8>,
) -> Option<Cow<'a, str>> {
    let file = open(infos, name, OFlags::empty()).ok()?;
    buffer.clear();
    loop {
        let room = buffer.capacity() - buffer.len();
        let count = rustix::io::read(&file, spare_capacity(buffer)).ok()?;
        if count < room {
            return Some(String::from_utf8_lossy(buffer));
        }
        buffer.reserve(buffer.capacity());
    }
}

/// Directories, block devices, and character devices but terminals.
fn uninteresting(link: &[u8], about: &Statx) -> bool {
    match u32::from(about.stx_mode) & libc::S_IFMT {
        libc::S_IFDIR | libc::S_IFBLK | libc::S_IFLNK => true,
        libc::S_IFCHR => {
            !(136..=143).contains(&about.stx_rdev_major)
                && (about.stx_rdev_major, about.stx_rdev_minor) != (5, 2)
        }
        _ => link.starts_with(b"anon_inode:") && kind_of_anonymous(link).is_none(),
    }
}

fn kind_of_anonymous(link: &[u8]) -> Option<Kind> {
    match link {
        b"anon_inode:[eventpoll]" => Some(Kind::Epoll),
        b"anon_inode:[eventfd]" => Some(Kind::Eventfd),
        b"anon_inode:[pidfd]" => Some(Kind::Pidfd),
        _ if link.starts_with(b"pidfd:") => Some(Kind::Pidfd),
        _ => None,
    }
}

/// A device's number as stat(2) has it.
pub(super) fn device(major: u32, minor: u32) -> u64 {
    rustix::fs::makedev(major, minor)
}

fn found(
    pid: i32,
    fd: i32,
    link: &[u8],
    about: &Statx,
    info: &str,
    devices: &mut Devices,
) -> Option<Found> {
    let space = device(about.stx_dev_major, about.stx_dev_minor);
    let key = |kind| Key { kind, space, number: about.stx_ino };
    let number = |name: &str| field(info, name).and_then(|n| n.parse::<u64>().ok());
    let named = |kind| Found {
        key: key(kind),
        name: Some(visible::text(link)),
        links: about.stx_nlink,
    };
    let unnamed = |key| Found { key, name: None, links: 1 };
    if let Some(kind) = kind_of_anonymous(link) {
        let unshared =
            (u64::from(pid.unsigned_abs()) << 32) | u64::from(fd.unsigned_abs());
        let number = match kind {
            // They all have one inode. The kernel counts eventfds since Linux 5.2.
            Kind::Eventfd => number("eventfd-id:")?,
            // Without a live process nothing tells two apart.
            Kind::Pidfd => number("Pid:").filter(|pid| *pid > 0).unwrap_or(unshared),
            _ => unshared,
        };
        return Some(unnamed(Key { kind, space: 0, number }));
    }
    match u32::from(about.stx_mode) & libc::S_IFMT {
        libc::S_IFIFO if link.starts_with(b"pipe:[") => {
            Some(unnamed(key(Kind::Pipe)))
        }
        libc::S_IFIFO => Some(named(Kind::Fifo)),
        // The kind is known once the kernel's list of sockets is read.
        libc::S_IFSOCK => Some(unnamed(key(Kind::Socket))),
        libc::S_IFCHR => Some(terminal(pid, about, info, space)),
        libc::S_IFREG | 0 => {
            let kind = kind_of_file(pid, fd, link, space, devices);
            Some(named(kind))
        }
        _ => None,
    }
}

/// A pseudoterminal: its number, and in which instance of devpts.
fn terminal(pid: i32, about: &Statx, info: &str, space: u64) -> Found {
    let master = (about.stx_rdev_major, about.stx_rdev_minor) == (5, 2);
    let number = match master {
        true => field(info, "tty-index:").and_then(|n| n.parse().ok()).unwrap_or(0),
        false => {
            u64::from(about.stx_rdev_major - 136) * 256
                + u64::from(about.stx_rdev_minor)
        }
    };
    // /dev/ptmx may lie on another device than the slaves that it makes.
    let slaves = format!("/proc/{pid}/root/dev/pts");
    let flags = AtFlags::STATX_DONT_SYNC;
    let space = match statx(CWD, &slaves, flags, StatxFlags::BASIC_STATS) {
        Ok(pts) if master => device(pts.stx_dev_major, pts.stx_dev_minor),
        _ => space,
    };
    let key = Key { kind: Kind::Pty, space, number };
    Found { key, name: Some(format!("/dev/pts/{number}")), links: 1 }
}

/// The kind of a regular file, from its path; a queue's from its file system.
fn kind_of_file(
    pid: i32,
    fd: i32,
    link: &[u8],
    space: u64,
    devices: &mut Devices,
) -> Kind {
    let kind = kind_of_path(link);
    // A queue's path is relative to its own file system: one name.
    if kind != Kind::File || link.iter().skip(1).any(|byte| *byte == b'/') {
        return kind;
    }
    let is_queue = *devices.queues.entry(space).or_insert_with(|| {
        rustix::fs::statfs(format!("/proc/{pid}/fd/{fd}"))
            .is_ok_and(|about| u32::try_from(about.f_type) == Ok(MQUEUE))
    });
    if is_queue { Kind::PosixQueue } else { kind }
}

/// The kind of a file that is memory, from its path as /proc shows it.
pub(super) fn kind_of_path(path: &[u8]) -> Kind {
    match path {
        _ if path.starts_with(b"/memfd:") || path.starts_with(b"/dev/zero") => {
            Kind::Segment
        }
        _ if path.starts_with(b"/dev/shm/sem.") => Kind::PosixSemaphore,
        _ if path.starts_with(b"/dev/shm/") => Kind::Segment,
        _ if path.starts_with(b"/SYSV") => Kind::SysvSegment,
        _ => Kind::File,
    }
}

/// The path without the kernel's mark, and whether it had one.
pub(super) fn without_mark(path: &str) -> (&str, bool) {
    match path.strip_suffix(" (deleted)") {
        Some(path) => (path, true),
        None => (path, false),
    }
}

fn describe(object: &mut Object, found: &Found, info: &str) {
    if let Some(path) = &found.name {
        let (path, gone) = without_mark(path);
        // O_TMPFILE: it never had a name, and /proc shows its number.
        let number = format!("/#{}", object.key.number);
        if gone && path.ends_with(&number) {
            return;
        }
        object.name_gone = found.links == 0 && gone && !path.starts_with("/memfd:");
        object.name = Some(path.to_owned());
    }
    match object.kind() {
        Kind::Eventfd => {
            let count = field(info, "eventfd-count:");
            object.fill = count.and_then(|n| u64::from_str_radix(n, 16).ok());
        }
        Kind::Pidfd => {
            object.pids = field(info, "Pid:")
                .and_then(|n| n.parse().ok())
                .filter(|pid| *pid >= 0)
                .into_iter()
                .collect();
        }
        Kind::Epoll => object.targets = targets(info),
        Kind::Socket => {
            let flying = field(info, "scm_fds:").and_then(|n| n.parse().ok());
            if object.ends.is_empty() {
                object.ends.push(super::model::End {
                    inode: object.key.number,
                    in_flight: flying.unwrap_or(0),
                    ..Default::default()
                });
            }
        }
        _ => {}
    }
}

/// The lines `tfd: 5 events: 19 data: 5 pos:0 ino:61 sdev:8` of an epoll descriptor.
fn targets(info: &str) -> Vec<(i32, u32, u64)> {
    let lines = info.lines().filter(|line| line.starts_with("tfd:"));
    let target = |line: &str| {
        let mut words = line.split_whitespace();
        let fd = words.nth(1)?.parse().ok()?;
        let events = u32::from_str_radix(words.nth(1)?, 16).ok()?;
        let ino = words.find_map(|word| word.strip_prefix("ino:"))?;
        Some((fd, events, u64::from_str_radix(ino, 16).ok()?))
    };
    let mut all: Vec<_> = lines.filter_map(target).collect();
    // The kernel lists them by address: two maps of one scene are to be equal.
    all.sort_unstable();
    all
}

fn holder(process: usize, fd: i32, info: &str) -> Holder {
    let flags = field(info, "flags:").and_then(|n| i32::from_str_radix(n, 8).ok());
    let flags = flags.unwrap_or(0);
    let mode = flags & libc::O_ACCMODE;
    Holder {
        process,
        fd: Some(fd),
        read: mode != libc::O_WRONLY,
        write: mode != libc::O_RDONLY,
        cloexec: flags & libc::O_CLOEXEC != 0,
        locks: info.lines().filter_map(locks::of_info).collect(),
        ..Holder::default()
    }
}
