//! The limits, in the order of the book.

use nix::sys::resource::Resource;

use super::used;
use super::{Limit, Source};

/// The kernel does not tell how much is used.
fn untold() -> Option<u64> {
    None
}

/// A limit of getrlimit(2).
const fn rlimit(
    resource: Resource,
    letter: char,
    by: u64,
    word: &'static str,
) -> Source {
    Source::Rlimit { resource, letter, by, word }
}

/// A number below /proc/sys.
const fn sysctl(file: &'static str) -> Source {
    Source::Sysctl(file, 0)
}

/// A row, its fields in their order.
macro_rules! rows {
    ($($name:literal [$($chapter:literal),*] $what:literal, $source:expr, $unit:literal,
        $used:expr, $wants:expr, $loses:literal;)*) => {
        pub(super) static ROWS: &[Limit] = &[$(Limit {
            name: $name,
            chapters: &[$($chapter),*],
            what: $what,
            source: $source,
            unit: $unit,
            used: $used,
            wants: $wants,
            loses: $loses,
        }),*];
    };
}

rows! {
    "open-files" [] "open files of a process",
        rlimit(Resource::RLIMIT_NOFILE, 'n', 1, "nofile"), "", used::descriptors, 200,
        "a server with many clients gets EMFILE from accept";
    "processes" [] "processes and threads of this user",
        rlimit(Resource::RLIMIT_NPROC, 'u', 1, "nproc"), "", used::processes, 64,
        "fork fails with EAGAIN: demo, experiment and bench start processes";
    "address-space" [] "memory addresses of a process",
        rlimit(Resource::RLIMIT_AS, 'v', 1024, "as"), "bytes", used::address_space, 1 << 30,
        "mmap fails with ENOMEM: shm and mmap map what they share";
    "map-count" [] "mappings of a process",
        sysctl("vm/max_map_count"), "", used::mappings, 1000,
        "mmap fails with ENOMEM";
    "cgroup-pids" [] "processes and threads of this control group",
        Source::Cgroup(used::PIDS), "", used::group_processes, 64,
        "fork fails with EAGAIN";
    "cgroup-memory" [] "memory of this control group",
        Source::Cgroup(used::MEMORY), "bytes", used::group_memory, 256 << 20,
        "the kernel ends a process by SIGKILL; /dev/shm counts here, too";
    "inotify-watches" ["file"] "watches of inotify(7) of this user",
        sysctl("fs/inotify/max_user_watches"), "", used::watches, 64,
        "inotify_add_watch fails with ENOSPC: who waits for a file looks again and again";
    "inotify-instances" ["file"] "descriptors of inotify(7) of this user",
        sysctl("fs/inotify/max_user_instances"), "", used::instances, 8,
        "inotify_init fails with EMFILE";
    "pending-signals" ["signal"] "queued signals of this user",
        rlimit(Resource::RLIMIT_SIGPENDING, 'i', 1, "sigpending"), "", used::signals, 128,
        "sigqueue fails with EAGAIN, and timers cannot be made: --timeout is less exact";
    "pipe-size" ["pipe"] "bytes that a pipe may hold",
        sysctl("fs/pipe-max-size"), "bytes", untold, 1 << 20,
        "F_SETPIPE_SZ fails with EPERM above it";
    "pipe-pages-soft" ["pipe"] "pages in all pipes of this user, before new ones are small",
        sysctl("fs/pipe-user-pages-soft"), "pages", untold, 0,
        "past it, new pipes hold two pages, and F_SETPIPE_SZ fails with EPERM";
    "pipe-pages-hard" ["pipe"] "pages in all pipes of this user (0: no limit)",
        sysctl("fs/pipe-user-pages-hard"), "pages", untold, 0,
        "past it, pipe fails with ENFILE";
    "datagram-queue" ["unix"] "datagrams that wait at a Unix socket",
        sysctl("net/unix/max_dgram_qlen"), "", untold, 10,
        "a sender sleeps sooner: unix --type datagram";
    "write-memory" ["unix"] "bytes of a socket's send buffer, at most",
        sysctl("net/core/wmem_max"), "bytes", untold, 212_992,
        "larger datagrams fail with EMSGSIZE";
    "backlog" ["unix", "tcp"] "connections in a backlog",
        sysctl("net/core/somaxconn"), "", untold, 128,
        "a client's connect sleeps or fails while a server is busy";
    "queue-bytes-of-user" ["posixmq"] "bytes of all POSIX queues of this user",
        rlimit(Resource::RLIMIT_MSGQUEUE, 'q', 1, "msgqueue"), "bytes", used::queue_bytes,
        100_000,
        "mq_open fails with EMFILE: a queue of 10 messages of 8,192 bytes takes 82 kB";
    "queue-messages" ["posixmq"] "messages of a POSIX queue",
        sysctl("fs/mqueue/msg_max"), "", untold, 10,
        "mq_open fails with EINVAL for --maxmsg above it";
    "queue-message-size" ["posixmq"] "bytes of a message of a POSIX queue",
        sysctl("fs/mqueue/msgsize_max"), "bytes", untold, 8192,
        "mq_open fails with EINVAL for --msgsize above it";
    "queues" ["posixmq"] "POSIX queues of this IPC namespace",
        sysctl("fs/mqueue/queues_max"), "", used::queues, 20,
        "mq_open fails with ENOSPC";
    "sysv-queue-bytes" ["sysvmq"] "bytes in a System V queue",
        sysctl("kernel/msgmnb"), "bytes", untold, 16_384,
        "a sender sleeps sooner";
    "sysv-message-size" ["sysvmq"] "bytes of a System V message",
        sysctl("kernel/msgmax"), "bytes", untold, 8192,
        "msgsnd fails with EINVAL for larger ones";
    "sysv-queues" ["sysvmq"] "System V queues of this IPC namespace",
        sysctl("kernel/msgmni"), "", used::sysv_queues, 20,
        "msgget fails with ENOSPC";
    "shared-memory" ["shm", "semaphore"] "bytes of POSIX segments and semaphores",
        Source::SharedMemory, "bytes", untold, 128 << 20,
        "a store into a page for which there is no room is SIGBUS; posix_fallocate says ENOSPC \
         beforehand. Docker gives 64 MiB";
    "sysv-segment-pages" ["shm"] "pages of all System V segments of this IPC namespace",
        sysctl("kernel/shmall"), "pages", used::sysv_pages, 4096,
        "shmget fails with ENOSPC";
    "sysv-segment-size" ["shm"] "bytes of a System V segment",
        sysctl("kernel/shmmax"), "bytes", untold, 16 << 20,
        "shmget fails with EINVAL for larger ones";
    "message-options" ["fdpass"] "bytes of what is sent beside a message",
        sysctl("net/core/optmem_max"), "bytes", untold, 8192,
        "sendmsg of many descriptors fails with ENOBUFS";
    "epoll-watches" ["multiplex"] "descriptors in all epolls of this user",
        sysctl("fs/epoll/max_user_watches"), "", untold, 1024,
        "epoll_ctl fails with ENOSPC";
    "sysv-semaphores-of-set" ["semaphore"] "semaphores of a System V set",
        Source::Sysctl("kernel/sem", 0), "", untold, 250,
        "semget fails with EINVAL for larger sets";
    "sysv-semaphores" ["semaphore"] "System V semaphores of this IPC namespace",
        Source::Sysctl("kernel/sem", 1), "", used::sysv_semaphores, 100,
        "semget fails with ENOSPC";
    "sysv-operations" ["semaphore"] "operations of one semop",
        Source::Sysctl("kernel/sem", 2), "", untold, 32,
        "semop fails with E2BIG";
    "sysv-sets" ["semaphore"] "System V sets of this IPC namespace",
        Source::Sysctl("kernel/sem", 3), "", used::sysv_sets, 20,
        "semget fails with ENOSPC";
}
