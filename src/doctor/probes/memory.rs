//! Shared memory.

use std::fs::File;

use anyhow::{Context, Result, ensure};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use rustix::shm::{Mode, OFlags};

use super::runtime::{in_a_child, stored_by_a_child};
use crate::answer::Answer;
use crate::probe::Probe;
use os::sysv_segment::{shmat, shmctl_rmid, shmget};
use wire::errors::line;
use wire::meet::key_of;
use wire::ring::ends::CAPACITY;
use wire::ring::length_of;
use wire::say::size;

/// POSIX.
pub static POSIX: Probe = Probe {
    name: "posix-segment",
    chapters: &["shm", "mutex"],
    what: "a POSIX shared memory object (shm_open, ftruncate, mmap by two processes, shm_unlink)",
    loses: "shm and mutex have no memory of the size that their roles take by default",
    necessary: true,
    experiments: &[],
    run: |place| {
        let name = place.kernel_name();
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR;
        let made = rustix::shm::open(name.as_str(), flags, Mode::RUSR | Mode::WUSR);
        let file = File::from(made.context("shm_open")?);
        let used = use_segment(&file);
        rustix::shm::unlink(name.as_str()).context("shm_unlink")?;
        used
    },
};

fn use_segment(file: &File) -> Result<Answer> {
    file.set_len(4096).context("ftruncate")?;
    // A store into a page for which /dev/shm has no room is SIGBUS: asked for beforehand.
    // As much as a role takes.
    let length = length_of(CAPACITY);
    let reserved = nix::fcntl::posix_fallocate(file, 0, length as i64)
        .with_context(|| format!("posix_fallocate {} in /dev/shm", size(length)));
    if let Err(error) = reserved {
        return Ok(Answer::missing(line(&error)).cure(
            "a smaller --capacity, or as root mount -o remount,size=64M /dev/shm; \
             docker run --shm-size 1g",
        ));
    }
    let seen = stored_by_a_child(file)?;
    ensure!(seen == 7, "one process does not see what the other has stored");
    Ok(Answer::ok("what one process stores, the other loads"))
}

/// System V.
pub static SYSV: Probe = Probe {
    name: "sysv-segment",
    chapters: &["shm"],
    what: "a System V segment (shmget, shmat by two processes, shmctl)",
    loses: "the experiments of shm that compare the two kinds; no role needs it",
    necessary: false,
    experiments: &[],
    run: |place| {
        let flags = libc::IPC_CREAT | libc::IPC_EXCL | 0o600;
        let id =
            shmget(key_of(&place.kernel_name()), 4096, flags).context("shmget")?;
        let used = shmat(id).context("shmat").and_then(|memory| {
            let stored = in_a_child(|| {
                shmat(id)?.write(0, b"x");
                Ok(())
            })?;
            let mut byte = [0];
            memory.read(0, &mut byte);
            ensure!(stored && &byte == b"x", "what the child stored is not seen");
            Ok(Answer::ok("what one process stores, the other loads"))
        });
        shmctl_rmid(id).context("shmctl")?;
        used
    },
};

/// memfd_create(2).
pub static MEMFD: Probe = Probe {
    name: "memfd",
    chapters: &["fdpass", "shm"],
    what: "memory without a name (memfd_create, and a seal)",
    loses: "fdpass/sealed and the like: memory that is passed as a descriptor",
    necessary: false,
    experiments: &[],
    run: |_| {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let file = memfd_create("doctor", flags).context("memfd_create")?;
        let file = File::from(file);
        file.set_len(4096).context("ftruncate")?;
        fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK))
            .context("F_ADD_SEALS")?;
        ensure!(file.set_len(0).is_err(), "the seal does not hold");
        Ok(Answer::ok("F_SEAL_SHRINK holds"))
    },
};
