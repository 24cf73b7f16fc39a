//! What the kernel reports of an object that a stopped process has open: asked of a duplicate
//! of the descriptor, pidfd_getfd(2), that is closed again before the process goes on.

use std::collections::HashSet;
use std::fs;
use std::os::fd::AsFd;
use std::os::linux::fs::MetadataExt;
use std::os::unix::fs::FileExt;

use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::ioctl_fionread;

use super::duplicate::duplicate;
use super::objects::{Desc, Kind};
use os::proc::field;

/// How many bytes lie unread in a pipe or a Unix socket.
pub(super) fn unread(tid: Pid, fd: i32) -> Option<u64> {
    ioctl_fionread(duplicate(tid, fd)?).ok()
}

/// Whether a queue of messages has none.
pub(super) fn is_empty(tid: Pid, fd: i32) -> bool {
    duplicate(tid, fd).is_some_and(|fd| polled(fd, PollFlags::IN).is_empty())
}

/// The `length` bytes of a file at `from`.
pub(super) fn file_bytes(
    tid: Pid,
    fd: i32,
    from: u64,
    length: u64,
) -> Option<Vec<u8>> {
    let file = fs::File::from(duplicate(tid, fd)?);
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    file.read_exact_at(&mut bytes, from).ok()?;
    Some(bytes)
}

/// Whether a process can still write into a pipe, or into the socket that was closed: asked
/// of the pipe's reader, among the processes of `tids`. `None` if there is none to ask.
pub(super) fn is_written(desc: &Desc, tids: &[Pid]) -> Option<bool> {
    if desc.kind == Kind::Socket {
        let mut seen = HashSet::new();
        let net = |tid: &&Pid| fs::read_link(format!("/proc/{tid}/ns/net")).ok();
        let mut asked =
            tids.iter().filter(|tid| net(tid).is_some_and(|net| seen.insert(net)));
        let first = asked.next()?;
        return Some(
            socket_lives(*first, desc.inode)
                || asked.any(|tid| socket_lives(*tid, desc.inode)),
        );
    }
    let reader = tids.iter().find_map(|tid| {
        numbers(*tid).into_iter().find_map(|fd| {
            let meta = fs::metadata(format!("/proc/{tid}/fd/{fd}")).ok()?;
            if meta.st_ino() != desc.inode
                || meta.st_mode() & libc::S_IFMT != libc::S_IFIFO
            {
                return None;
            }
            let info =
                fs::read_to_string(format!("/proc/{tid}/fdinfo/{fd}")).ok()?;
            let flags = i32::from_str_radix(field(&info, "flags:")?, 8).ok()?;
            let reads = flags & libc::O_ACCMODE != libc::O_WRONLY;
            if reads { duplicate(*tid, fd) } else { None }
        })
    })?;
    Some(!polled(reader, PollFlags::empty()).contains(PollFlags::HUP))
}

/// The numbers of all descriptors of a thread.
pub(super) fn numbers(tid: Pid) -> Vec<i32> {
    let dir = fs::read_dir(format!("/proc/{tid}/fd"));
    dir.into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

/// Whether a socket of that inode is open, in a process or on its way to one.
fn socket_lives(tid: Pid, inode: u64) -> bool {
    let inode = inode.to_string();
    [("unix", 6), ("tcp", 9), ("tcp6", 9)].iter().any(|(table, column)| {
        let table = fs::read_to_string(format!("/proc/{tid}/net/{table}"));
        let of_line =
            |line: &str| line.split_whitespace().nth(*column) == Some(&inode);
        table.is_ok_and(|table| table.lines().any(of_line))
    })
}

fn polled(fd: impl AsFd, events: PollFlags) -> PollFlags {
    let mut fds = [PollFd::new(&fd, events)];
    match poll(&mut fds, Some(&Timespec::default())) {
        Ok(_) => fds[0].revents(),
        Err(_) => PollFlags::IN,
    }
}
