//! All probes, in the order of the book.

use super::probe::Probe;

pub mod events;
pub mod links;
pub mod memory;
pub mod needs;
pub mod processes;
pub mod queues;
pub mod runtime;
pub mod semaphores;
pub mod sockets;
pub mod tools;

/// All of them.
pub static ALL: &[&Probe] = &[
    &runtime::DIRECTORY,
    &processes::PROC,
    &runtime::RENAME,
    &runtime::INOTIFY,
    &runtime::MAPPING,
    &processes::PIDFD,
    &events::SIGNALFD,
    &events::EVENTFD,
    &events::READ_NOW,
    &events::TIMERFD,
    &needs::NEXT_PID,
    &needs::STDBUF,
    &links::PIPE,
    &needs::LARGE_PIPE,
    &runtime::FIFO,
    &needs::PROTECTED_FIFOS,
    &links::UNIX,
    &links::UNIX_DIAG,
    &needs::PEER_PIDFD,
    &needs::OTHER_NETWORK,
    &sockets::TCP4,
    &sockets::TCP6,
    &sockets::INET_DIAG,
    &sockets::UDP4,
    &needs::OWN_NETWORK,
    &queues::POSIX,
    &needs::QUEUE_BYTES,
    &queues::SYSV,
    &needs::COPY,
    &needs::LONG,
    &memory::POSIX,
    &memory::SYSV,
    &memory::MEMFD,
    &needs::TWO_CPUS,
    &needs::ON_A_DISK,
    &needs::MOUNT,
    &links::DESCRIPTORS,
    &needs::OTHER_USER,
    &events::EPOLL,
    &needs::HIGH_DESCRIPTOR,
    &needs::IO_URING,
    &semaphores::POSIX,
    &semaphores::SYSV,
    &semaphores::FUTEX,
    &processes::MEMORY,
    &tools::DBUS,
    &needs::DBUS_DAEMON,
    &tools::SESSION_BUS,
    &needs::PYTHON,
    &needs::MPI,
    &processes::PTRACE,
    &processes::NAMESPACES,
    &tools::COMPILER,
    &tools::PYTHON,
];
