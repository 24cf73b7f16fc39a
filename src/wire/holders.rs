//! Another process that holds the peer's end of a pipe, a FIFO or a connection: as long as it does,
//! a role that reads there gets no end of file, and one that writes there no EPIPE. A role that
//! sleeps so for two seconds on a terminal names that process once, and the command that shows more.
//!
//! The thread that looks reads /proc alone, and asks sock_diag(7) for a socket's peer. It opens
//! nothing that the role waits at, and makes no call of the role's slower.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{metadata, read_dir, read_link};
use std::io::IsTerminal;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::unistd::Pid;
use rustix::stdio::stderr;

use crate::errors;
use crate::meet::{in_this_dir, program};
use crate::say;
use os::peer::is_of_ended;
use os::proc::{field, text, times_slept};
use os::proc_fd::descriptors;
use os::{onlooker, sock_diag};

/// A role that sleeps no longer says nothing.
const PATIENCE: Duration = Duration::from_secs(2);

/// Looks on from now on, for the role that this process plays, if somebody sits at a terminal.
pub fn look_on() {
    let Some(chapter) = errors::section() else { return };
    if say::on() && stderr().is_terminal() && Path::new("/proc/self/task").exists() {
        let command = in_this_dir(&format!("{} map {chapter}", program()));
        let mut sleepers = Sleepers::default();
        onlooker::start(PATIENCE / 4, move || match sleepers.others() {
            None => true,
            Some(said) => {
                say::line(format_args!("{said}"));
                say::command_line("who holds what: ", &command);
                false
            }
        });
    }
}

/// What a thread sleeps in: /proc/PID/task/TID/syscall, and how often it has slept before.
#[derive(Debug, PartialEq, Eq)]
struct Sleep {
    call: String,
    before: u64,
}

/// The threads of this process that sleep, since when, and when each is looked at again.
#[derive(Debug, Default)]
struct Sleepers(BTreeMap<Pid, (Sleep, Instant, Duration)>);

impl Sleepers {
    /// Who else holds the peer's end of what a thread has slept at for so long.
    fn others(&mut self) -> Option<String> {
        let now = Instant::now();
        let mut due = Vec::new();
        let mut seen = BTreeMap::new();
        for task in read_dir("/proc/self/task").ok()?.flatten() {
            let thread = Pid::from_raw(task.file_name().to_str()?.parse().ok()?);
            let call = text(format!("/proc/self/task/{thread}/syscall"));
            let before = times_slept(thread).unwrap_or(0);
            let sleep = Sleep { call: call.unwrap_or_default(), before };
            let (since, mut after) = match self.0.remove(&thread) {
                Some((last, since, after)) if last == sleep => (since, after),
                _ => (now, PATIENCE),
            };
            if now.duration_since(since) >= after {
                due.push(sleep.call.clone());
                // A look at all processes takes its time: each comes later than the last.
                after *= 2;
            }
            seen.insert(thread, (sleep, since, after));
        }
        self.0 = seen;
        let ends = due.iter().flat_map(|call| waited_at(call));
        let mut ends: Vec<_> = ends.filter(|(fd, _)| *fd > 2).collect();
        ends.dedup();
        ends.into_iter().find_map(|(fd, reads)| End::of(fd, reads)?.others(fd))
    }
}

/// The descriptors at which a line of /proc/PID/syscall sleeps, and whether it waits for something
/// to read there.
fn waited_at(line: &str) -> Vec<(u64, bool)> {
    let mut words = line.split_whitespace();
    let call = words.next().and_then(|word| word.parse::<libc::c_long>().ok());
    let numbers = words.filter_map(|word| {
        u64::from_str_radix(word.trim_start_matches("0x"), 16).ok()
    });
    let numbers: Vec<_> = numbers.collect();
    let (Some(call), &[first, second, ..]) = (call, numbers.as_slice()) else {
        return Vec::new();
    };
    match call {
        libc::SYS_read
        | libc::SYS_readv
        | libc::SYS_recvfrom
        | libc::SYS_recvmsg
        | libc::SYS_splice => vec![(first, true)],
        libc::SYS_write
        | libc::SYS_writev
        | libc::SYS_sendto
        | libc::SYS_sendmsg
        | libc::SYS_vmsplice => vec![(first, false)],
        libc::SYS_ppoll => polled(first, second),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_poll => polled(first, second),
        _ => Vec::new(),
    }
}

/// The struct pollfd that poll(2) was given: so many, at this address of ours.
fn polled(address: u64, count: u64) -> Vec<(u64, bool)> {
    let mut bytes = vec![0; 8 * count.min(1024) as usize];
    let memory = std::fs::File::open("/proc/self/mem");
    if memory.and_then(|memory| memory.read_exact_at(&mut bytes, address)).is_err() {
        return Vec::new();
    }
    let all = bytes.chunks_exact(8).filter_map(|one| {
        let fd = i32::from_ne_bytes(one[..4].try_into().ok()?);
        let events = i16::from_ne_bytes(one[4..6].try_into().ok()?);
        Some((u64::try_from(fd).ok()?, events & libc::POLLIN != 0))
    });
    all.collect()
}

/// The peer's end of what a thread waits at.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Of a pipe or a FIFO: its device and inode, and whether it is the write end.
    Pipe { which: (u64, u64), writes: bool },
    /// A socket: its link in /proc/PID/fd.
    Socket(String),
}

impl End {
    /// The one that belongs to the descriptor `fd`, at which we read or write.
    fn of(fd: u64, reads: bool) -> Option<End> {
        let path = format!("/proc/self/fd/{fd}");
        let about = metadata(&path).ok()?;
        if about.file_type().is_fifo() {
            let which = (about.dev(), about.ino());
            return Some(End::Pipe { which, writes: reads });
        }
        if !about.file_type().is_socket() || !reads {
            return None;
        }
        let inode = about.ino();
        let peer = sock_diag::unix_peer(inode).or_else(|| tcp_peer(inode))?;
        Some(End::Socket(format!("socket:[{peer}]")))
    }

    /// Whether an entry of /proc/PID/fd is this end.
    fn is(&self, fd: &Path) -> bool {
        match self {
            End::Socket(link) => {
                read_link(fd).is_ok_and(|to| to.as_os_str() == link.as_str())
            }
            // Two FIFOs of two file systems may have one inode number, and one may have two names.
            End::Pipe { which, writes } => {
                metadata(fd).is_ok_and(|about| (about.dev(), about.ino()) == *which)
                    && is_open_to(fd, *writes)
            }
        }
    }

    /// Who holds it, where that is none of ours; `fd` is our own end. Who holds a socket alone is
    /// simply the peer, unless the process that connected it has ended.
    fn others(&self, fd: u64) -> Option<String> {
        let own = Path::new("/proc/self/exe").metadata().ok()?;
        let mut others = BTreeSet::new();
        let mut roles = 0;
        for (pid, _) in descriptors(|fd| self.is(fd)) {
            if pid == std::process::id() {
                return None; // a role that keeps it open wants no end
            }
            let theirs = metadata(format!("/proc/{pid}/exe"));
            let is_role = theirs.is_ok_and(|theirs| {
                (theirs.dev(), theirs.ino()) == (own.dev(), own.ino())
            });
            if is_role {
                roles += 1;
            } else {
                others.insert(pid);
            }
        }
        let pid = *others.first()?;
        let is_peer = matches!(self, End::Socket(_)) && roles + others.len() == 1;
        if is_peer && !is_of_ended(i32::try_from(fd).ok()?) {
            return None;
        }
        let name = text(format!("/proc/{pid}/comm")).ok()?;
        let (more, hold) = match others.len() - 1 {
            0 => (String::new(), "holds"),
            more => (format!(" and {more} more"), "hold"),
        };
        let does = if others.len() == 1 { "it does" } else { "they do" };
        let (end, without) = match self {
            End::Pipe { writes: true, .. } => ("the write end", "no end of file"),
            End::Pipe { writes: false, .. } => ("the read end", "no EPIPE"),
            End::Socket(_) => ("the peer's end", "no end of file"),
        };
        let who = format!("{} {pid}{more}", name.trim_end());
        Some(format!("{who} {hold} {end}: {without} comes while {does}"))
    }
}

/// Whether a descriptor is open for writing, or for reading: the flags in /proc/PID/fdinfo.
fn is_open_to(fd: &Path, write: bool) -> bool {
    let info = fd.display().to_string().replacen("/fd/", "/fdinfo/", 1);
    let info = text(info).unwrap_or_default();
    let flags = field(&info, "flags:");
    let flags = flags.and_then(|flags| i32::from_str_radix(flags, 8).ok());
    flags.is_some_and(|flags| match flags & libc::O_ACCMODE {
        libc::O_RDWR => true,
        way => (way == libc::O_WRONLY) == write,
    })
}

/// The inode of the other end of a connection of this network namespace: in /proc/net/tcp its two
/// addresses are those of ours, exchanged.
fn tcp_peer(inode: u64) -> Option<u64> {
    let tables = ["tcp", "tcp6"].map(|name| text(format!("/proc/self/net/{name}")));
    let tables: String = tables.into_iter().flatten().collect();
    let rows = || {
        tables.lines().filter_map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let inode: u64 = words.get(9)?.parse().ok()?;
            Some((words[1].to_owned(), words[2].to_owned(), inode))
        })
    };
    let (local, remote, _) = rows().find(|(.., one)| *one == inode)?;
    let peer = rows().find(|(from, to, _)| *from == remote && *to == local)?;
    Some(peer.2).filter(|inode| *inode != 0)
}
