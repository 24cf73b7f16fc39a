//! How much of a limit is used: what /proc shows of this user and this IPC namespace.

use std::fs::{read_dir, read_link};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use nix::mqueue::{MQ_OFlag, mq_getattr};
use nix::sys::stat::Mode;
use nix::unistd::geteuid;

use os::mqueue::mq_open;
use os::proc::{field, text};

/// Open files of this process.
pub(super) fn descriptors() -> Option<u64> {
    // One of them is the directory that is read.
    Some(read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as u64)
}

/// The processes of this user, as directories of /proc.
fn own_processes() -> impl Iterator<Item = PathBuf> {
    let uid = geteuid().as_raw();
    let entries = read_dir("/proc").into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(move |path| {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        name.iter().all(u8::is_ascii_digit)
            && path.metadata().is_ok_and(|about| about.uid() == uid)
    })
}

/// Threads of this user's processes.
pub(super) fn processes() -> Option<u64> {
    let threads = |path: PathBuf| {
        let status = text(path.join("status")).ok()?;
        field(&status, "Threads:")?.parse::<u64>().ok()
    };
    Some(own_processes().filter_map(threads).sum())
}

/// Bytes of addresses that are in use.
pub(super) fn address_space() -> Option<u64> {
    let status = text("/proc/self/status").ok()?;
    let kib: u64 = field(&status, "VmSize:")?.split(' ').next()?.parse().ok()?;
    Some(kib * 1024)
}

/// Mappings of this process.
pub(super) fn mappings() -> Option<u64> {
    Some(text("/proc/self/maps").ok()?.lines().count() as u64)
}

/// Queued signals of this user.
pub(super) fn signals() -> Option<u64> {
    let status = text("/proc/self/status").ok()?;
    field(&status, "SigQ:")?.split_once('/')?.0.parse().ok()
}

/// The descriptors of a kind, such as `inotify`, that this user's processes have open: their files
/// in fdinfo.
fn anonymous(kind: &str) -> impl Iterator<Item = PathBuf> {
    let link = format!("anon_inode:{kind}");
    let fds = own_processes()
        .filter_map(|path| Some((read_dir(path.join("fd")).ok()?, path)));
    fds.flat_map(move |(fds, process)| {
        let link = link.clone();
        fds.flatten().filter_map(move |fd| {
            let is = read_link(fd.path()).ok()?.as_os_str() == link.as_str();
            is.then(|| process.join("fdinfo").join(fd.file_name()))
        })
    })
}

/// Descriptors of inotify(7) of this user.
pub(super) fn instances() -> Option<u64> {
    Some(anonymous("inotify").count() as u64)
}

/// How many lines of such files begin so.
fn lines_of(kind: &str, begin: &str) -> u64 {
    let count = |info: String| info.lines().filter(|l| l.starts_with(begin)).count();
    anonymous(kind).filter_map(|path| text(path).ok()).map(count).sum::<usize>()
        as u64
}

/// Watches of inotify(7) of this user.
pub(super) fn watches() -> Option<u64> {
    Some(lines_of("inotify", "inotify wd:"))
}

/// Descriptors in the epolls of this user; in one that several processes have, for each.
pub(super) fn epoll_watches() -> Option<u64> {
    Some(lines_of("[eventpoll]", "tfd:"))
}

/// The bytes that /dev/shm may have, and how many of them are free.
fn shared_memory_of() -> Option<(u64, u64)> {
    let about = nix::sys::statvfs::statvfs("/dev/shm").ok()?;
    let block = about.fragment_size();
    Some((about.blocks() * block, about.blocks_available() * block))
}

/// The bytes that /dev/shm may have.
pub(super) fn shared_memory_size() -> Option<u64> {
    shared_memory_of().map(|(size, _)| size)
}

/// The bytes in /dev/shm.
pub(super) fn shared_memory() -> Option<u64> {
    shared_memory_of().map(|(size, free)| size.saturating_sub(free))
}

/// POSIX queues of this IPC namespace, where their file system is mounted.
pub(super) fn queues() -> Option<u64> {
    Some(read_dir("/dev/mqueue").ok()?.count() as u64).filter(|_| has_queues())
}

/// Whether /dev/mqueue is what it is called.
fn has_queues() -> bool {
    let mounts = text("/proc/self/mounts").unwrap_or_default();
    mounts.lines().any(|line| line.split(' ').nth(2) == Some("mqueue"))
}

/// Bytes that this user's queues count, as mq_overview(7) computes them.
pub(super) fn queue_bytes() -> Option<u64> {
    if !has_queues() {
        return None;
    }
    let uid = geteuid().as_raw();
    let ours = read_dir("/dev/mqueue")
        .ok()?
        .flatten()
        .filter(|entry| entry.metadata().is_ok_and(|about| about.uid() == uid));
    let bytes = ours.filter_map(|entry| {
        let name = format!("/{}", entry.file_name().to_str()?);
        let flags = MQ_OFlag::O_RDONLY | MQ_OFlag::O_CLOEXEC | MQ_OFlag::O_NONBLOCK;
        let queue = mq_open(&name, flags, Mode::empty(), None).ok()?;
        let about = mq_getattr(&queue).ok()?;
        let (count, size) = (about.maxmsg() as u64, about.msgsize() as u64);
        // struct msg_msg for each message, and a node of the tree of priorities.
        Some(count * (48 + size) + count.min(32_768) * 48)
    });
    Some(bytes.sum())
}

/// The lines of a table of /proc/sysvipc, without its head.
fn table(name: &str) -> Option<Vec<Vec<u64>>> {
    let text = text(format!("/proc/sysvipc/{name}")).ok()?;
    let numbers = |line: &str| {
        line.split_whitespace().map(|word| word.parse().unwrap_or(0)).collect()
    };
    Some(text.lines().skip(1).map(numbers).collect())
}

/// System V queues.
pub(super) fn sysv_queues() -> Option<u64> {
    Some(table("msg")?.len() as u64)
}

/// Pages of System V segments; their size is the fourth column.
pub(super) fn sysv_pages() -> Option<u64> {
    let pages = |row: Vec<u64>| row.get(3).map_or(0, |size| size.div_ceil(4096));
    Some(table("shm")?.into_iter().map(pages).sum())
}

/// System V semaphores; the fourth column is how many a set has.
pub(super) fn sysv_semaphores() -> Option<u64> {
    Some(table("sem")?.iter().filter_map(|row| row.get(3)).sum())
}

/// System V sets.
pub(super) fn sysv_sets() -> Option<u64> {
    Some(table("sem")?.len() as u64)
}

/// A controller of cgroups(7), with its files in version 2, and those of version 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group {
    controller: &'static str,
    pub(super) most: &'static str,
    now: &'static str,
    most_v1: &'static str,
    now_v1: &'static str,
}

/// Processes.
pub(super) const PIDS: Group = Group {
    controller: "pids",
    most: "pids.max",
    now: "pids.current",
    most_v1: "pids.max",
    now_v1: "pids.current",
};

/// Memory.
pub(super) const MEMORY: Group = Group {
    controller: "memory",
    most: "memory.max",
    now: "memory.current",
    most_v1: "memory.limit_in_bytes",
    now_v1: "memory.usage_in_bytes",
};

impl Group {
    /// What this process's group may have; `None` where no group counts it.
    pub(super) fn most(self) -> Option<String> {
        self.read(self.most, self.most_v1)
    }

    fn now(self) -> Option<u64> {
        self.read(self.now, self.now_v1)?.parse().ok()
    }

    /// A file of this process's group, or of the one that a container takes for the root.
    fn read(self, v2: &str, v1: &str) -> Option<String> {
        let groups = text("/proc/self/cgroup").ok()?;
        let of_v1 = groups.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            controllers.split(',').any(|one| one == self.controller).then_some(path)
        });
        let of_v2 = || groups.lines().find_map(|line| line.strip_prefix("0::"));
        let (root, path, file) = match of_v1 {
            Some(path) => (format!("/sys/fs/cgroup/{}", self.controller), path, v1),
            None => ("/sys/fs/cgroup".to_owned(), of_v2()?, v2),
        };
        let own = format!("{root}{}/{file}", path.trim_end_matches('/'));
        let found = text(own).or_else(|_| text(format!("{root}/{file}"))).ok()?;
        Some(found.trim().to_owned())
    }
}

/// Processes of the control group.
pub(super) fn group_processes() -> Option<u64> {
    PIDS.now()
}

/// Memory of the control group.
pub(super) fn group_memory() -> Option<u64> {
    MEMORY.now()
}
