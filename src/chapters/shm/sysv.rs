//! System V shared memory, which is older (sysvipc(7)): shmget(2) makes a segment, named
//! by a number, and shmat(2) maps it. There is no file and no descriptor; `ipcs -m` lists
//! the segments. One stays until shmctl(IPC_RMID), and then until the last has detached it.

use anyhow::{Context, Result};
use libc::{IPC_CREAT, IPC_EXCL};
use nix::errno::Errno;

use os::cleanup::{Object, owner_of, remove_now};
use os::shared::Shared;
use os::sysv_segment::{shmat, shmget};
use wire::errors::{Advise, errno};
use wire::ring::join::{Backing, Found};
use wire::say;

/// The segment with this key.
#[derive(Debug)]
pub struct SysvMemory {
    /// The key.
    pub key: i32,
}

// ANCHOR: sysv
impl Backing for SysvMemory {
    fn name(&self) -> String {
        format!("the segment with key {:#x}", self.key)
    }

    fn find(&self) -> Result<Option<Found>> {
        let key = self.key;
        // A size of 0 takes the segment as it is.
        let id = match shmget(key, 0, 0o600) {
            Err(Errno::ENOENT) => return Ok(None),
            result => result.with_context(|| format!("shmget {key:#x}"))?,
        };
        let memory = shmat(id).with_context(|| format!("shmat {id}"))?;
        say!("shmget({key:#x}, 0, 0600) = {id}, shmat({id})");
        let object = Object::SysvSegment(id);
        let owner = owner_of(&object).with_context(|| format!("shmctl {id}"))?;
        Ok(Some(Found { object, owner: Some(owner), memory: Some(memory) }))
    }

    /// Its identifier, which names it, comes from the kernel.
    fn object(&self) -> Option<Object> {
        None
    }

    fn make(&self, length: usize) -> Result<(Shared, Object)> {
        let key = self.key;
        let id = shmget(key, length, IPC_CREAT | IPC_EXCL | 0o600)
            .with_context(|| format!("shmget {key:#x}"))
            .advise(limit)?;
        let object = Object::SysvSegment(id);
        let memory =
            shmat(id).with_context(|| format!("shmat {id}")).inspect_err(|_| {
                let _ = remove_now(&object);
            })?;
        let size = say::size(length);
        say!("shmget({key:#x}, {size}, IPC_CREAT | IPC_EXCL | 0600) = {id}");
        say!("shmat({id}): the segment is in our address space");
        Ok((memory, object))
    }
}
// ANCHOR_END: sysv

fn limit(error: &anyhow::Error) -> Option<&'static str> {
    match errno(error)? {
        Errno::EINVAL => Some(
            "the size is over the limit SHMMAX; raise it: sysctl kernel.shmmax=BYTES, or \
             take a smaller --capacity",
        ),
        Errno::ENOSPC => Some(
            "the limit SHMMNI of segments, or SHMALL of pages, is reached: ipcs -m lists \
             them, ipcrm removes one, sysctl kernel.shmmni and kernel.shmall raise them",
        ),
        Errno::ENOMEM => Some("no memory for it; take a smaller --capacity"),
        _ => None,
    }
}
