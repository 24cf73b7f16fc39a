//! What a descriptor is: the kernel object behind the number, as the kernel shows it at
//! that moment through /proc/PID/fd, fdinfo, and pidfd_getfd(2) for sockets.

use std::collections::HashMap;
use std::os::linux::fs::MetadataExt;
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;
use std::time::UNIX_EPOCH;

use nix::unistd::Pid;

use super::duplicate::duplicate;
use super::named::{Named, ObjectId};
use super::socket::{Socket, ask};
use os::proc::field;
use wire::visible;

/// What kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// A nameless pipe.
    Pipe,
    /// A pipe with a name.
    Fifo,
    /// A regular file.
    File,
    /// A directory, a device, and the like.
    Other,
    /// A socket.
    Socket,
    /// A POSIX message queue.
    Queue,
    /// A file that is memory: memfd, or in /dev/shm.
    Memory,
    /// eventfd, signalfd, inotify, epoll, timerfd.
    Helper,
    /// A pidfd.
    Pidfd,
}

/// A kernel object.
#[derive(Debug)]
pub(super) struct Object {
    /// What kind.
    pub(super) kind: Kind,
    /// The inode's number.
    pub(super) inode: u64,
    /// Whether some descriptor of it could write.
    pub(super) written: bool,
    /// What distinguishes it from all others, in every process: `pipe 812`.
    pub(super) key: String,
    /// Its path, if it has one.
    pub(super) path: Option<String>,
    /// The last name that a descriptor of it had.
    pub(super) long: Rc<str>,
}

/// A descriptor.
#[derive(Debug, Clone)]
pub(super) struct Desc {
    /// Its object and what it is called.
    pub(super) named: Named,
    /// What kind of object.
    pub(super) kind: Kind,
    /// The inode's number.
    pub(super) inode: u64,
    /// Whether it is open for reading.
    pub(super) reads: bool,
    /// Whether it is open for writing.
    pub(super) writes: bool,
    /// Whether each write is a packet of its own: a pipe's O_DIRECT.
    pub(super) packets: bool,
    /// Whether exec closes it.
    pub(super) cloexec: bool,
    /// What a socket is.
    pub(super) socket: Option<Socket>,
    /// The process that a pidfd stands for.
    pub(super) pid: i32,
}

/// All objects of a run.
#[derive(Debug, Default)]
pub(super) struct Objects {
    all: Vec<Object>,
    by_key: HashMap<String, ObjectId>,
    /// Paths are shown without this.
    pub(super) scratch: Option<String>,
}

impl Objects {
    /// The object.
    pub(super) fn get(&self, id: ObjectId) -> &Object {
        &self.all[id]
    }

    /// All, with their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ObjectId, &Object)> {
        self.all.iter().enumerate()
    }

    /// The object of that key, made with this name if it is new.
    pub(super) fn of_key(&mut self, kind: Kind, key: &str, name: &str) -> ObjectId {
        match self.by_key.get(key) {
            Some(id) => *id,
            None => self.intern(kind, key.to_owned(), None, name),
        }
    }

    /// The object of that key, made if it is new.
    pub(super) fn intern(
        &mut self,
        kind: Kind,
        key: String,
        path: Option<String>,
        long: &str,
    ) -> ObjectId {
        let id = *self.by_key.entry(key.clone()).or_insert(self.all.len());
        if id == self.all.len() {
            let long = long.into();
            self.all.push(Object {
                kind,
                inode: 0,
                written: false,
                key,
                path,
                long,
            });
        } else if self.all[id].path != path || *self.all[id].long != *long {
            let deleted =
                path.as_ref().is_none_or(|path| path.ends_with(" (deleted)"));
            let object = &mut self.all[id];
            if !deleted {
                object.path = path;
            }
            object.long = long.into();
        }
        id
    }

    /// A path as it is shown: without the scratch directory.
    pub(super) fn shown(&self, path: &str) -> String {
        match self.scratch.as_deref().and_then(|dir| path.strip_prefix(dir)) {
            Some("") => "…".to_owned(),
            Some(rest) if rest.starts_with('/') => format!("…{rest}"),
            _ if self.scratch.is_some() => without_hash(path),
            _ => path.to_owned(),
        }
    }

    /// What descriptor `fd` of a thread of the process `pid` is; `None` if it is not open.
    pub(super) fn look(&mut self, pid: i32, tid: Pid, fd: i32) -> Option<Desc> {
        let fd_path = format!("/proc/{tid}/fd/{fd}");
        let link =
            visible::text(std::fs::read_link(&fd_path).ok()?.as_os_str().as_bytes());
        let meta = std::fs::metadata(&fd_path).ok()?;
        let info =
            std::fs::read_to_string(format!("/proc/{tid}/fdinfo/{fd}")).ok()?;
        let flags = field(&info, "flags:")
            .and_then(|text| i32::from_str_radix(text, 8).ok())
            .unwrap_or(0);
        let inode = meta.st_ino();
        let mut socket = None;
        let mut peer_pid = 0;
        let kind_bits = meta.st_mode() & libc::S_IFMT;
        let path = link.starts_with('/').then(|| link.clone());
        let (kind, key, long, short) = if kind_bits == libc::S_IFSOCK {
            socket = duplicate(tid, fd).as_ref().and_then(ask);
            let family = socket.as_ref().map_or("socket", |s| s.family());
            let name = socket
                .as_ref()
                .and_then(|socket| socket.label(|path| self.shown(path)))
                .map_or_else(String::new, |name| format!(" {name}"));
            (
                Kind::Socket,
                format!("socket {inode}"),
                format!("{family}{name}"),
                family,
            )
        } else if kind_bits == libc::S_IFIFO && path.is_none() {
            let key = format!("pipe {inode}");
            (Kind::Pipe, key, format!("pipe:[{inode}]"), "pipe")
        } else if let Some(name) = link.strip_prefix("anon_inode:") {
            let short = helper(name);
            let id =
                ["eventfd-id:", "Pid:"].iter().find_map(|name| field(&info, name));
            peer_pid =
                field(&info, "Pid:").and_then(|pid| pid.parse().ok()).unwrap_or(0);
            let kind = if short == "pidfd" { Kind::Pidfd } else { Kind::Helper };
            let long = match id {
                Some(id) => format!("{short} {id}"),
                None => short.to_owned(),
            };
            (kind, format!("{short} {}", id.unwrap_or("?")), long, short)
        } else {
            let key = inode_key(&meta);
            let name = self.shown(link.trim_end_matches(" (deleted)"));
            if is_queue(&fd_path) {
                (Kind::Queue, key, format!("mq {name}"), "mq")
            } else if let Some(memory) = link.strip_prefix("/memfd:") {
                let name = memory.trim_end_matches(" (deleted)");
                (Kind::Memory, key, format!("memfd {name}"), "memfd")
            } else if let Some(name) = name.strip_prefix("/dev/shm") {
                (Kind::Memory, key, format!("shm {name}"), "shm")
            } else if kind_bits == libc::S_IFIFO {
                (Kind::Fifo, key, format!("fifo {name}"), "fifo")
            } else if kind_bits == libc::S_IFREG {
                (Kind::File, key, name, "file")
            } else if link.starts_with("pidfd:") || link.starts_with("[pidfd") {
                (Kind::Pidfd, key, "pidfd".to_owned(), "pidfd")
            } else {
                (Kind::Other, key, name, "dir")
            }
        };
        let key = match short {
            // These share one inode, or have nothing that distinguishes them.
            "epoll" | "signalfd" | "inotify" | "timerfd" => {
                format!("{short} {pid} {fd} {inode}")
            }
            "eventfd" if key.ends_with('?') => format!("{short} {pid} {fd}"),
            _ => key,
        };
        let object = self.intern(kind, key, path, &long);
        let named = Named { object, long: long.into(), short };
        let cloexec = flags & libc::O_CLOEXEC != 0;
        let writes = flags & libc::O_ACCMODE != libc::O_RDONLY;
        let reads = flags & libc::O_ACCMODE != libc::O_WRONLY;
        let packets = flags & libc::O_DIRECT != 0;
        self.all[object].inode = inode;
        self.all[object].written |= writes;
        let pid = peer_pid;
        Some(Desc {
            named,
            kind,
            inode,
            reads,
            writes,
            packets,
            cloexec,
            socket,
            pid,
        })
    }
}

/// What distinguishes a file from all others, and from those that had its inode's number
/// before: when it was made, where the file system keeps that.
pub(super) fn inode_key(meta: &std::fs::Metadata) -> String {
    let made = meta.created().ok();
    let made = made.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let made = made.map_or(0, |since| since.as_nanos());
    format!("inode {}:{} {made}", meta.st_dev(), meta.st_ino())
}

/// A kernel name of ours, without what distinguishes it from those of other directories:
/// `/…posixmq` for `/ipclab-0-a18a7f62-posixmq`, `/sem.…semaphore` for a semaphore's file.
fn without_hash(path: &str) -> String {
    let short = || {
        let (before, name) = path.split_once("ipclab-")?;
        let ours = before.ends_with('/') || before.ends_with("/sem.");
        let mut parts = name.splitn(3, '-');
        let hash = parts.nth(1).filter(|hash| ours && hash.len() == 8)?;
        hash.bytes().all(|b| b.is_ascii_hexdigit()).then_some(())?;
        Some(format!("{before}…{}", parts.next()?))
    };
    short().unwrap_or_else(|| path.to_owned())
}

fn helper(name: &str) -> &'static str {
    match name.trim_matches(['[', ']']) {
        "eventpoll" => "epoll",
        "signalfd" => "signalfd",
        "eventfd" => "eventfd",
        "inotify" => "inotify",
        "timerfd" => "timerfd",
        "pidfd" => "pidfd",
        _ => "anon",
    }
}

fn is_queue(path: &str) -> bool {
    const MQUEUE_MAGIC: i64 = 0x1980_0202;
    nix::sys::statfs::statfs(path)
        .is_ok_and(|fs| fs.filesystem_type().0 == MQUEUE_MAGIC)
}
