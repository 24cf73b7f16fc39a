//! Semaphores of three kinds, each between two processes.

use std::sync::atomic::Ordering::SeqCst;

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::runtime::in_a_child;
use crate::answer::Answer;
use crate::ask::DEADLINE;
use crate::probe::Probe;
use os::calls::{futex_wait, futex_wake};
use os::semaphore::{sem_create, sem_post, sem_trywait, sem_unlink};
use os::shared::mmap;
use os::sysv_semaphore::{semget, semop};
use wire::meet::key_of;

/// POSIX.
pub static POSIX: Probe = Probe {
    name: "posix-semaphore",
    chapters: &["semaphore", "shm"],
    what: "a POSIX semaphore (sem_open, a child's sem_post, sem_wait, sem_unlink)",
    loses: "semaphore --kind posix",
    necessary: true,
    experiments: &[],
    run: |place| {
        let name = place.kernel_name();
        let semaphore = sem_create(&name, 0).context("sem_open")?;
        let posted = in_a_child(|| Ok(sem_post(&semaphore)?));
        let waited = sem_trywait(&semaphore);
        sem_unlink(&name).context("sem_unlink")?;
        ensure!(posted?, "the child could not post");
        waited.context("sem_wait")?;
        Ok(Answer::ok("a child's post is there"))
    },
};

/// System V.
pub static SYSV: Probe = Probe {
    name: "sysv-semaphore",
    chapters: &["semaphore"],
    what: "a System V semaphore (semget, a child's semop, semop, semctl)",
    loses: "semaphore --kind sysv",
    necessary: true,
    experiments: &[],
    run: |place| {
        let flags = libc::IPC_CREAT | libc::IPC_EXCL | 0o600;
        let id = semget(key_of(&place.kernel_name()), 1, flags).context("semget")?;
        let posted = in_a_child(|| Ok(semop(id, 1, 0)?));
        let waited = semop(id, -1, libc::IPC_NOWAIT);
        let object = os::cleanup::Object::SysvSemaphore(id, 0);
        os::cleanup::remove_now(&object).context("semctl")?;
        ensure!(posted?, "the child could not post");
        waited.context("semop")?;
        Ok(Answer::ok("a child's operation is there"))
    },
};

/// futex(2).
pub static FUTEX: Probe = Probe {
    name: "futex",
    chapters: &["semaphore", "shm", "mmap", "mutex"],
    what: "futex(2) between processes (a child wakes a sleeper)",
    loses: "semaphore --kind futex, and who sleeps in shm, mmap and mutex is not woken",
    necessary: true,
    experiments: &[],
    run: |_| {
        let file = memfd_create("doctor", MFdFlags::MFD_CLOEXEC);
        let file = std::fs::File::from(file.context("memfd_create")?);
        file.set_len(4096).context("ftruncate")?;
        let memory = mmap(&file, 4096).context("mmap")?;
        let word = memory.u32(0);
        let waker = nix::unistd::getpid();
        // The child ends only when it has woken a process that slept.
        let woken = in_two(
            || {
                while futex_wake(word, 1)? == 0 {
                    ensure!(nix::unistd::getppid() == waker, "it has ended");
                    std::thread::yield_now();
                }
                Ok(())
            },
            || loop {
                match futex_wait(word, 0, Some(DEADLINE / 2)) {
                    Ok(()) => return Ok(()),
                    Err(Errno::EINTR) if word.load(SeqCst) == 0 => {}
                    Err(error) => return Err(error).context("futex"),
                }
            },
        );
        woken?;
        Ok(Answer::ok("a child woke this process"))
    },
};

/// Runs `child` in a child, and `parent` here meanwhile.
fn in_two(
    child: impl FnOnce() -> Result<()>,
    parent: impl FnOnce() -> Result<()>,
) -> Result<()> {
    use os::spawn::{Forked, fork};
    match fork().context("fork")? {
        Forked::Child => {
            nix::unistd::alarm::set(DEADLINE.as_secs() as u32);
            std::process::exit(i32::from(child().is_err()))
        }
        // Both end with the group of the probe.
        Forked::Parent(_) => parent(),
    }
}
