//! POSIX shared memory by hand: shm_open(3) opens a file of the memory file system at
//! `/dev/shm`, posix_fallocate(3) gives it its pages, mmap(2) puts them into our address
//! space. It stays until shm_unlink(3), whichever process ends.

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::mman::{shm_open, shm_unlink};
use nix::sys::stat::{Mode, fstat};

use os::cleanup::Object;
use os::owner::Owner;
use os::shared::{Shared, mmap};
use os::signal::retry_on_intr;
use wire::errors::{Advise, errno};
use wire::ring::join::{Backing, Found, allocate};
use wire::say;

/// The object of this name, which begins with a slash.
#[derive(Debug)]
pub struct PosixMemory {
    /// The name.
    pub name: String,
}

// ANCHOR: posix
impl Backing for PosixMemory {
    fn name(&self) -> String {
        format!("/dev/shm{}", self.name)
    }

    fn make(&self, length: usize) -> Result<(Shared, Object)> {
        let name = &self.name;
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let fd = retry_on_intr(|| shm_open(name.as_str(), flags, mode))
            .with_context(|| format!("shm_open {name}"))?;
        say!("shm_open({name}, O_CREAT | O_EXCL | O_RDWR, 0600) made the name");
        // ftruncate(2) would only note the size: a page that cannot be had then is
        // SIGBUS, at some later store.
        let map = || {
            allocate(&fd, length)
                .with_context(|| format!("posix_fallocate {name}"))
                .advise(no_room)?;
            mmap(&fd, length).with_context(|| format!("mmap {name}"))
        };
        let memory = map().inspect_err(|_| {
            let _ = shm_unlink(name.as_str());
        })?;
        let size = say::size(length);
        say!("posix_fallocate({size}), mmap({size}, MAP_SHARED)");
        Ok((memory, Object::Segment(name.clone())))
    }

    fn find(&self) -> Result<Option<Found>> {
        let name = &self.name;
        let open = || shm_open(name.as_str(), OFlag::O_RDWR, Mode::empty());
        let fd = match retry_on_intr(open) {
            Err(Errno::ENOENT) => return Ok(None),
            result => result.with_context(|| format!("shm_open {name}"))?,
        };
        // The size that it has now; what the ring in it says is checked against this.
        let about = fstat(&fd).with_context(|| format!("fstat {name}"))?;
        let (length, owner) = (about.st_size as usize, Some(Owner::from(&about)));
        let object = Object::Segment(name.clone());
        if length == 0 {
            return Ok(Some(Found { object, owner, memory: None }));
        }
        let memory = mmap(&fd, length).with_context(|| format!("mmap {name}"))?;
        let size = say::size(length);
        say!("shm_open({name}, O_RDWR), mmap({size}, MAP_SHARED)");
        Ok(Some(Found { object, owner, memory: Some(memory) }))
    }

    fn object(&self) -> Option<Object> {
        Some(Object::Segment(self.name.clone()))
    }
}
// ANCHOR_END: posix

/// What to do when `/dev/shm` is full.
pub(super) fn no_room(error: &anyhow::Error) -> Option<&'static str> {
    (errno(error) == Some(Errno::ENOSPC)).then_some(
        "/dev/shm has no room for it (df /dev/shm): remove what nobody uses, take a smaller \
         --capacity, or have it mounted with a larger size= (tmpfs(5))",
    )
}
