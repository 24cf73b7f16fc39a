//! The crate shared_memory: the same shm_open(3) and mmap(2) in two calls. Three things to know:
//! dropping a `Shmem` that is the owner unlinks the name; it sets the size by ftruncate(2),
//! which asks for no memory; and a process that opens the object between these shm_open and
//! ftruncate calls fails.

use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use shared_memory::{Shmem, ShmemConf, ShmemError};

use super::posix::no_room;
use os::cleanup::Object;
use os::shared::Shared;
use os::shm_file::segment_path;
use wire::errors::Advise;
use wire::meet::Rendezvous;
use wire::ring::join::{Backing, Found, allocate};
use wire::say;

/// The object of this name, which begins with a slash.
#[derive(Debug)]
pub struct ByCrate {
    /// The name.
    pub name: String,
    /// The meeting place of the object.
    pub rendezvous: Rendezvous,
}

// ANCHOR: library
impl Backing for ByCrate {
    fn name(&self) -> String {
        format!("/dev/shm{}", self.name)
    }

    fn find(&self) -> Result<Option<Found>> {
        let object = Object::Segment(self.name.clone());
        let owner = None;
        let open = || made(|| ShmemConf::new().os_id(&self.name).open());
        let memory = match self
            .rendezvous
            .opens_ours(&segment_path(&self.name), open)?
        {
            Ok(memory) => memory,
            Err(ShmemError::MapOpenFailed(e)) if e == Errno::ENOENT as u32 => {
                return Ok(None);
            }
            // It has no size yet, and mmap(2) refuses to map 0 bytes.
            Err(ShmemError::MapOpenFailed(e)) if e == Errno::EINVAL as u32 => {
                return Ok(Some(Found { object, owner, memory: None }));
            }
            Err(error) => return Err(plain(error)).context(self.opening("open")),
        };
        let size = say::size(memory.len());
        say!("ShmemConf::open({}) finds the name:", self.name);
        say!("it calls shm_open(O_RDWR), fstat, mmap({size})");
        Ok(Some(Found { object, owner, memory: Some(Shared::new(memory)) }))
    }

    fn object(&self) -> Option<Object> {
        Some(Object::Segment(self.name.clone()))
    }

    fn make(&self, length: usize) -> Result<(Shared, Object)> {
        let create = || ShmemConf::new().os_id(&self.name).size(length).create();
        let mut memory =
            made(create).map_err(plain).with_context(|| self.opening("create"))?;
        // Still the owner: should this fail, the drop unlinks the name.
        std::fs::File::options()
            .write(true)
            .open(segment_path(&self.name))
            .map_err(anyhow::Error::from)
            .and_then(|file| Ok(allocate(&file, length)?))
            .with_context(|| format!("posix_fallocate {}", self.name))
            .advise(no_room)?;
        // From now on not the owner: it would unlink the name when we end, though the
        // other side is just about to open it. The last process does that.
        memory.set_owner(false);
        let size = say::size(length);
        say!("ShmemConf::create({}) made the name:", self.name);
        say!("it calls shm_open(O_CREAT | O_EXCL, 0600), ftruncate, mmap({size})");
        Ok((Shared::new(memory), Object::Segment(self.name.clone())))
    }
}
// ANCHOR_END: library

impl ByCrate {
    fn opening(&self, how: &str) -> String {
        format!("ShmemConf::{how} {}", self.name)
    }
}

/// What `make` makes; the crate does not call shm_open(3) again where a handler interrupts it.
fn made(make: impl Fn() -> Result<Shmem, ShmemError>) -> Result<Shmem, ShmemError> {
    const INTERRUPTED: u32 = Errno::EINTR as u32;
    loop {
        match make() {
            Err(
                ShmemError::MapOpenFailed(INTERRUPTED)
                | ShmemError::MapCreateFailed(INTERRUPTED),
            ) => {}
            made => return made,
        }
    }
}

/// The crate keeps the error number to itself; a user wants its name.
fn plain(error: ShmemError) -> anyhow::Error {
    match error {
        ShmemError::MapCreateFailed(number)
        | ShmemError::MapOpenFailed(number)
        | ShmemError::UnknownOsError(number) => {
            Errno::from_raw(number as i32).into()
        }
        ShmemError::MappingIdExists => Errno::EEXIST.into(),
        other => anyhow!("{other}"),
    }
}
