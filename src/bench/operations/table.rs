//! All operations that are timed, in the order of the book.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use nix::mqueue::mq_unlink;
use nix::sys::mman::shm_unlink;

use super::{files, memory, passing, queues, sockets, wakeups};
use crate::model::{Placement, Unit};
use os::{sysv, sysv_control};
use wire::meet::{kernel_prefix_of, key_of};

/// Does an operation so many times, and returns how long that took.
pub(super) type Batch = Box<dyn FnMut(u64) -> Result<Duration>>;

/// Why there is nothing to time.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Absent(pub(super) String);

/// An operation.
pub(super) struct Operation {
    pub(super) chapter: &'static str,
    pub(super) subject: &'static str,
    pub(super) unit: Unit,
    pub(super) placement: Option<Placement>,
    /// Of how many alike it consists.
    pub(super) parts: u64,
    /// At most so often in one batch.
    pub(super) most: u64,
    /// Whether it takes turns with those before it, and is compared with their first.
    compared: bool,
    pub(super) make: fn(&Ground) -> Result<Batch>,
}

impl Operation {
    const fn of(
        chapter: &'static str,
        subject: &'static str,
        make: fn(&Ground) -> Result<Batch>,
    ) -> Operation {
        let (unit, placement) = (Unit::Nanoseconds, None);
        let (parts, most, compared) = (1, 4096, false);
        Operation { chapter, subject, unit, placement, parts, most, compared, make }
    }

    const fn most(self, most: u64) -> Operation {
        Operation { most, ..self }
    }

    const fn by(self, placement: Placement) -> Operation {
        Operation { placement: Some(placement), most: 64, ..self }
    }

    /// Counted by its parts, per second.
    const fn descriptors(self, parts: u64) -> Operation {
        Operation { unit: Unit::PerSecond, parts, most: 1024, ..self }
    }

    const fn compared(self) -> Operation {
        Operation { compared: true, ..self }
    }
}

/// All of them, those together that take turns: one, and all that are compared with it.
pub(super) fn groups() -> impl Iterator<Item = &'static [Operation]> {
    OPERATIONS.chunk_by(|_, next| next.compared)
}

/// In the order of the book.
const OPERATIONS: &[Operation] = &[
    Operation::of("signal", "signalfd, close", files::signalfd),
    Operation::of("pipe", "pipe, close both ends", files::pipe),
    Operation::of("pipe", "fork, exit, wait", files::fork_and_wait).most(64),
    Operation::of("pipe", "fork, exec of true, wait", files::fork_and_exec).most(16),
    Operation::of("pipe", "write and read 64 B", files::write_and_read),
    Operation::of("pipe", "write and read 64 B, polled once", files::polled_once)
        .compared(),
    Operation::of("fifo", "mkfifo, unlink", files::mkfifo),
    Operation::of("fifo", "open both ends, close", files::open_fifo),
    Operation::of("unix", "socketpair, close", sockets::pair),
    Operation::of("unix", "socket, bind, unlink, close", sockets::bind),
    Operation::of("unix", "unix connect, accept, close", sockets::unix),
    Operation::of("tcp", "tcp connect, accept, close", sockets::tcp).most(256),
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
    Operation::of("fdpass", "pass 1 descriptor a message", passing::one)
        .descriptors(1),
    Operation::of("fdpass", "pass 16 descriptors a message", passing::sixteen)
        .descriptors(16)
        .compared(),
    Operation::of("fdpass", "pass 253 descriptors a message", passing::most)
        .descriptors(253)
        .compared(),
];

/// Where operations may make things: a directory, and a kernel name.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) dir: PathBuf,
    /// Of one message queue, or one segment, at a time.
    pub(super) name: String,
    pub(super) other_cpu: Option<usize>,
}

impl Ground {
    pub(super) fn new(dir: &Path, other_cpu: Option<usize>) -> Ground {
        let name = format!("{}bench", kernel_prefix_of(Some(dir.as_os_str())));
        Ground { dir: dir.to_owned(), name, other_cpu }
    }

    /// The key of a System V object.
    pub(super) fn key(&self) -> i32 {
        key_of(&self.name)
    }

    /// A path in the directory.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Removes the kernel objects that a killed process may have left. Segments of System V
    /// go with the last one that has them attached.
    pub(super) fn sweep(&self) {
        let _ = mq_unlink(self.name.as_str());
        let _ = shm_unlink(self.name.as_str());
        if let Ok(id) = sysv::msgget(self.key(), 0) {
            let _ = sysv_control::remove(id);
        }
    }
}

/// Times as many of these as are asked for, one after the other.
pub(super) fn each(mut operation: impl FnMut() -> Result<()> + 'static) -> Batch {
    Box::new(move |count| {
        let began = Instant::now();
        for _ in 0..count {
            operation()?;
        }
        Ok(began.elapsed())
    })
}

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
        assert_eq!(together, [vec![1, 1], vec![1, 16, 253]]);
        assert!(groups().all(|group| group[0].parts == 1));
        assert_eq!(groups().flatten().count(), OPERATIONS.len());
    }
}
