//! The faults that are tried, and where one of them is no fault.

use nix::errno::Errno;

use crate::scene::Scene;

/// A column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    pub(crate) what: What,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum What {
    /// Each of these calls that the role makes fails once: the first, the second, the last.
    Fails(Errno, &'static [&'static str]),
    /// The first of them fails, and each second one from there on.
    Keeps(Errno, &'static [&'static str]),
    /// One byte at a time is all that these give, once.
    Short(&'static [&'static str]),
    /// SIGSTOP comes with the call, and later SIGCONT.
    Stops(&'static [&'static str]),
    /// What the shell does before it becomes the role.
    Starts(&'static str),
    /// As `Starts`; what it makes is at the role's name, or at its lock.
    Plants(&'static str),
}

const fn fails(
    name: &'static str,
    errno: Errno,
    calls: &'static [&'static str],
) -> Fault {
    Fault { name, what: What::Fails(errno, calls) }
}

const fn keeps(
    name: &'static str,
    errno: Errno,
    calls: &'static [&'static str],
) -> Fault {
    Fault { name, what: What::Keeps(errno, calls) }
}

const fn starts(name: &'static str, prelude: &'static str) -> Fault {
    Fault { name, what: What::Starts(prelude) }
}

const fn plants(name: &'static str, prelude: &'static str) -> Fault {
    Fault { name, what: What::Plants(prelude) }
}

/// Calls that give a new descriptor.
const OPENS: &[&str] = &[
    "openat",
    "socket",
    "accept4",
    "pipe2",
    "socketpair",
    "epoll_create1",
    "memfd_create",
    "inotify_init1",
    "signalfd4",
    "timerfd_create",
    "eventfd2",
    "fcntl",
    "mq_open",
    "pidfd_open",
];
/// Calls that make or change a name.
const NAMES: &[&str] = &[
    "openat",
    "mkdir",
    "mknod",
    "mknodat",
    "bind",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "unlink",
    "unlinkat",
    "fchmod",
    "mq_open",
    "msgget",
    "semget",
    "shmget",
];
/// Calls that need room.
const ROOM: &[&str] = &[
    "openat",
    "mkdir",
    "mknod",
    "mknodat",
    "bind",
    "rename",
    "renameat",
    "linkat",
    "write",
    "writev",
    "ftruncate",
    "fallocate",
    "fsync",
    "mq_open",
    "msgget",
    "semget",
    "shmget",
    "inotify_add_watch",
    "epoll_ctl",
];
/// Calls that need memory.
const MEMORY: &[&str] = &[
    "openat",
    "socket",
    "accept4",
    "mmap",
    "shmat",
    "clone",
    "clone3",
    "fork",
    "sendmsg",
    "recvmsg",
    "sendto",
    "recvfrom",
    "poll",
    "ppoll",
    "pselect6",
    "epoll_create1",
    "epoll_ctl",
    "mq_open",
    "msgget",
    "msgsnd",
    "semget",
    "semop",
    "semtimedop",
    "shmget",
    "read",
    "write",
    "mknodat",
    "bind",
    "connect",
    "rt_sigqueueinfo",
    "vmsplice",
];
/// Calls that may sleep, or that a handler interrupts, by signal(7).
const WAITS: &[&str] = &[
    "openat",
    "read",
    "write",
    "accept4",
    "connect",
    "recvfrom",
    "recvmsg",
    "sendto",
    "sendmsg",
    "poll",
    "ppoll",
    "pselect6",
    "epoll_wait",
    "epoll_pwait",
    "futex",
    "fcntl",
    "flock",
    "semop",
    "semtimedop",
    "msgsnd",
    "msgrcv",
    "mq_timedsend",
    "mq_timedreceive",
    "rt_sigtimedwait",
    "wait4",
    "waitid",
    "fallocate",
    "fsync",
    "vmsplice",
];
const STOPS: &[&str] = &[
    "openat",
    "read",
    "write",
    "accept4",
    "connect",
    "recvfrom",
    "recvmsg",
    "sendto",
    "sendmsg",
    "poll",
    "ppoll",
    "pselect6",
    "epoll_pwait",
    "futex",
    "semop",
    "semtimedop",
    "msgsnd",
    "msgrcv",
    "mq_timedsend",
    "mq_timedreceive",
    "rt_sigtimedwait",
    "rename",
    "unlink",
    "bind",
];
const READS: &[&str] = &["read", "recvfrom"];
const WRITES: &[&str] = &["write", "sendto"];

/// All columns.
#[rustfmt::skip]
pub(crate) const FAULTS: &[Fault] = &[
    fails("EMFILE", Errno::EMFILE, OPENS),
    fails("ENFILE", Errno::ENFILE, OPENS),
    fails("EACCES", Errno::EACCES, NAMES),
    fails("EPERM", Errno::EPERM, NAMES),
    fails("EROFS", Errno::EROFS, NAMES),
    fails("ENOENT", Errno::ENOENT, NAMES),
    fails("ENOSPC", Errno::ENOSPC, ROOM),
    fails("EDQUOT", Errno::EDQUOT, ROOM),
    fails("ENOMEM", Errno::ENOMEM, MEMORY),
    fails("EIO", Errno::EIO, &["openat", "read", "write", "fsync", "unlink", "rename", "pread64", "ftruncate", "statx"]),
    fails("EAGAIN no thread", Errno::EAGAIN, &["clone", "clone3", "fork", "vfork"]),
    fails("EAGAIN no signal", Errno::EAGAIN, &["rt_sigqueueinfo", "pidfd_send_signal"]),
    fails("ENOBUFS", Errno::ENOBUFS, &["socket", "accept4", "sendto", "sendmsg", "recvmsg"]),
    fails("ECONNABORTED", Errno::ECONNABORTED, &["accept4"]),
    fails("ECONNRESET", Errno::ECONNRESET, &["recvfrom", "recvmsg", "sendto", "sendmsg"]),
    fails("EPIPE", Errno::EPIPE, &["sendto", "sendmsg"]),
    fails("ECONNREFUSED", Errno::ECONNREFUSED, &["connect"]),
    fails("ENOLCK", Errno::ENOLCK, &["fcntl", "flock"]),
    fails("EINTR once", Errno::EINTR, WAITS),
    keeps("EINTR each second", Errno::EINTR, WAITS),
    Fault { name: "short read", what: What::Short(READS) },
    Fault { name: "short write", what: What::Short(WRITES) },
    Fault { name: "stopped", what: What::Stops(STOPS) },
    starts("nofile 3", "ulimit -n 3; exec"),
    starts("nofile 4", "ulimit -n 4; exec"),
    starts("nofile 5", "ulimit -n 5; exec"),
    starts("nofile 6", "ulimit -n 6; exec"),
    starts("nofile 7", "ulimit -n 7; exec"),
    starts("nofile 9", "ulimit -n 9; exec"),
    starts("fsize 0", "ulimit -f 0; exec"),
    starts("as 64 MiB", "ulimit -v 65536; exec"),
    starts("as 200 MiB", "ulimit -v 200000; exec"),
    starts("memlock 0", "ulimit -l 0; exec"),
    starts("msgqueue 0", "exec prlimit --msgqueue=0"),
    starts("sigpending 0", "exec prlimit --sigpending=0"),
    starts("stdin closed", "exec <&-; exec"),
    starts("stdout closed", "exec >&-; exec"),
    starts("stderr closed", "exec 2>&-; exec"),
    starts("all closed", "exec <&- >&- 2>&-; exec"),
    starts("stdout full", "exec >/dev/full; exec"),
    starts("stderr full", "exec 2>/dev/full; exec"),
    starts("stdout not writable", "exec 1</dev/null; exec"),
    starts("umask 777", "umask 777; exec"),
    starts("umask 000", "umask 000; exec"),
    starts("signals ignored", "trap '' INT HUP QUIT PIPE CHLD USR1 USR2; exec"),
    starts("dir is a file", "export IPCLAB_DIR=/dev/null; exec"),
    starts("dir in /proc", "export IPCLAB_DIR=/proc/ipclab; exec"),
    plants("directory at its name", "mkdir -p \"$IPCLAB_DIR/$2\"; exec"),
    plants("file at its name", "[ -e \"$IPCLAB_DIR/$2\" ] || echo precious > \"$IPCLAB_DIR/$2\"; exec"),
    plants("link at its name", "[ -e \"$IPCLAB_DIR/$2\" ] || ln -s /etc/hostname \"$IPCLAB_DIR/$2\"; exec"),
    plants("directory at its lock", "mkdir -p \"$IPCLAB_DIR/$2.lock\"; exec"),
    plants("link at its lock", "[ -e \"$IPCLAB_DIR/$2.lock\" ] || ln -s /etc/hostname \"$IPCLAB_DIR/$2.lock\"; exec"),
];

/// Why a call of this row never fails so, or may be waited for: it is no fault.
pub(crate) fn cannot_be(
    scene: &Scene,
    fault: &Fault,
    call: &str,
) -> Option<&'static str> {
    REASONS.iter().find_map(|(of, name, at, why)| {
        let role =
            of.strip_prefix("any ").is_some_and(|role| scene.part().role == role);
        let row = role || scene.row.name.starts_with(of);
        let calls = at.is_empty() || at.contains(&call);
        (row && fault.name.starts_with(name) && calls).then_some(*why)
    })
}

/// Row (its beginning, or any of this role), fault (its beginning), calls, reason.
#[rustfmt::skip]
const REASONS: &[(&str, &str, &[&str], &str)] = &[
    ("file", "ENOENT", &["rename"], "another receiver has taken the file: it waits for the next, as it should"),
    ("file", "file at its name", &[], "it is what a sender has published, or the log"),
    ("unix dgram", "short write", &["sendto"], "a datagram is sent whole or not at all (unix(7))"),
    ("unix seqpacket", "short write", &["sendto"], "a packet is sent whole or not at all (unix(7))"),
    ("unix dgram", "short read", &["recvfrom"], "that cuts a datagram off, which is another fault"),
    ("unix seqpacket", "short read", &["recvfrom"], "that cuts a packet off, which is another fault"),
    ("unix dgram", "ECONNRESET", &[], "a datagram socket has no connection to reset"),
    ("unix dgram", "EPIPE", &["sendto", "sendmsg"], "the peer has shut its receiving side, which no role does"),
    ("udp", "short write", &["sendto"], "a datagram is sent whole or not at all (udp(7))"),
    ("udp", "short read", &["recvfrom"], "that cuts a datagram off, which is another fault"),
    ("udp", "ECONNRESET", &[], "a datagram socket has no connection to reset"),
    ("udp", "EPIPE", &["sendto", "sendmsg"], "a datagram socket has no end that could be closed"),
    ("udp", "ECONNREFUSED", &["connect"], "connect(2) of UDP asks nobody"),
    ("any client", "ECONNRESET", &["sendto"], "the connection is gone, so that its end comes, too"),
    ("", "EDQUOT", &["epoll_ctl", "inotify_add_watch"], "there is no quota of watches: ENOSPC is their error"),
    ("", "ENOENT", &["unlink", "unlinkat"], "it is there: `clean` finds what that leaves behind, or not"),
    ("any client", "EPIPE", &["sendto"], "the peer has closed, so that its end of stream comes, too"),
    ("unix abstract", "dir ", &[], "the abstract name depends on the directory: they do not meet"),
    ("multiplex", "ENOMEM", &["read"], "read(2) is of a signalfd, which never fails so (signalfd(2))"),
    ("multiplex", "EIO", &["read"], "read(2) is of a signalfd, which never fails so (signalfd(2))"),
    ("fdpass fork", "EPIPE", &["sendto", "sendmsg"], "it means that the only worker is gone, and then the program ends"),
    ("fdpass fork", "ECONNRESET", &[], "it means that the only worker is gone, and then the program ends"),
    ("signal", "sigpending 0", &[], "no signal can be queued at all: there is no link"),
    ("procvm", "ENOENT", &["openat"], "its file is gone again: the reader waits for the next target, as it should"),
];

/// The reasons why cells are left out, for the end of the table.
pub(crate) fn reasons() -> String {
    let line = |(row, fault, calls, why): &(&str, &str, &[&str], &str)| {
        format!("not tried: {row} x {fault} {}: {why}\n", calls.join(" "))
    };
    REASONS.iter().map(line).collect()
}
