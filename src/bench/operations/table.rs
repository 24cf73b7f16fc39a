//! All operations that are timed, in the order of the book.

use super::operation::Operation;
use super::{files, locks, memory, passing, queues, sockets, wakeups};
use crate::model::Placement;

/// All of them, those together that take turns: one, and all that are compared with it.
pub(super) fn groups() -> impl Iterator<Item = &'static [Operation]> {
    OPERATIONS.chunk_by(|_, next| next.compared)
}

/// In the order of the book.
const OPERATIONS: &[Operation] = &[
    Operation::of("spawn", "fork, exit, wait", files::fork_and_wait).most(64),
    Operation::of("spawn", "fork, exec of true, wait", files::fork_and_exec)
        .most(16),
    Operation::of("signal", "signalfd, close", files::signalfd),
    Operation::of("pipe", "pipe, close both ends", files::pipe),
    Operation::of("pipe", "write and read 64 B", files::write_and_read),
    Operation::of("pipe", "write and read 64 B, polled once", files::polled_once)
        .compared(),
    Operation::of("fifo", "mkfifo, unlink", files::mkfifo),
    Operation::of("fifo", "open both ends, close", files::open_fifo),
    Operation::of("unix", "socketpair, close", sockets::pair),
    Operation::of("unix", "socket, bind, unlink, close", sockets::bind),
    Operation::of("unix", "unix connect, accept, close", sockets::unix),
    Operation::of("tcp", "tcp connect, accept, close", sockets::tcp).most(256),
    Operation::of("udp", "udp question, answer, new socket", sockets::udp),
    Operation::of("multiplex", "epoll_create1, close", files::epoll),
    Operation::of("multiplex", "eventfd, close", files::eventfd),
    Operation::of("posixmq", "mq_open (new), close, unlink", queues::mq_create),
    Operation::of("posixmq", "mq_open (existing), close", queues::mq_reopen),
    Operation::of("sysvmq", "msgget (new), IPC_RMID", queues::msg_create),
    Operation::of("semaphore", "futex wake, nobody sleeps", wakeups::nobody),
    Operation::of("semaphore", "futex wake until the sleeper runs", wakeups::same)
        .by(Placement::Same),
    Operation::of("semaphore", "futex wake until the sleeper runs", wakeups::cross)
        .by(Placement::CrossBlocking),
    Operation::of("shm", "shm_open, ftruncate, mmap, undone", memory::shm),
    Operation::of("shm", "memfd_create, ftruncate, mmap, undone", memory::memfd),
    Operation::of("shm", "shmget, shmat, undone", memory::sysv),
    Operation::of("mmap", "mmap of a file of 4 KiB, munmap", memory::file),
    Operation::of("mmap", "msync of 4 KiB", memory::msync).most(64),
    Operation::of("mutex", "lock, unlock, nobody waits", locks::ordinary),
    Operation::of("mutex", "robust: lock, unlock, nobody waits", locks::robust),
    Operation::of("mutex", "rwlock: read lock, unlock, nobody waits", locks::read),
    Operation::of("mutex", "signal a condition, nobody waits", locks::signal),
    Operation::of("eventfd", "write and read an eventfd", files::through_eventfd),
    Operation::of("eventfd", "write and read 8 B of a pipe", files::eight_bytes)
        .compared(),
    Operation::of(
        "eventfd",
        "write until the reader of an eventfd runs",
        wakeups::event_same,
    )
    .by(Placement::Same),
    Operation::of(
        "eventfd",
        "write until the reader of an eventfd runs",
        wakeups::event_cross,
    )
    .by(Placement::CrossBlocking),
    Operation::of("fdpass", "pass 1 descriptor a message", passing::one)
        .descriptors(1),
    Operation::of("fdpass", "pass 16 descriptors a message", passing::sixteen)
        .descriptors(16)
        .compared(),
    Operation::of("fdpass", "pass 253 descriptors a message", passing::most)
        .descriptors(253)
        .compared(),
    Operation::of("procvm", "process_vm_readv of 64 B", memory::copied::<64>),
    Operation::of("procvm", "process_vm_readv of 32 KiB", memory::copied::<32_768>),
    Operation::of("procvm", "write and read 32 KiB of a pipe", files::through_pipe)
        .compared(),
    Operation::of("procvm", "copy 32 KiB of shared memory", memory::copied_shared)
        .compared(),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_operations_have_one_name() {
        let mut seen = std::collections::HashSet::new();
        for Operation { subject, placement, .. } in OPERATIONS {
            assert!(seen.insert((subject, placement)), "twice: {subject}");
        }
        // In two placements it is still one operation, of one chapter.
        for one in OPERATIONS {
            for other in
                OPERATIONS.iter().filter(|other| other.subject == one.subject)
            {
                assert_eq!(one.chapter, other.chapter, "{}", one.subject);
            }
        }
    }

    #[test]
    fn what_is_compared_takes_turns() {
        let together: Vec<Vec<u64>> = groups()
            .filter(|group| group.len() > 1)
            .map(|group| group.iter().map(|operation| operation.parts).collect())
            .collect();
        assert_eq!(
            together,
            [vec![1, 1], vec![1, 1], vec![1, 16, 253], vec![1, 1, 1]]
        );
        assert!(groups().all(|group| group[0].parts == 1));
        assert_eq!(groups().flatten().count(), OPERATIONS.len());
    }
}
