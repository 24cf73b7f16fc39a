//! One operation that is timed, and what it may use.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use nix::mqueue::mq_unlink;
use nix::sys::mman::shm_unlink;

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
    pub(super) compared: bool,
    pub(super) make: fn(&Resources) -> Result<Batch>,
}

impl Operation {
    pub(super) const fn of(
        chapter: &'static str,
        subject: &'static str,
        make: fn(&Resources) -> Result<Batch>,
    ) -> Operation {
        let (unit, placement) = (Unit::Nanoseconds, None);
        let (parts, most, compared) = (1, 4096, false);
        Operation { chapter, subject, unit, placement, parts, most, compared, make }
    }

    pub(super) const fn most(self, most: u64) -> Operation {
        Operation { most, ..self }
    }

    pub(super) const fn by(self, placement: Placement) -> Operation {
        Operation { placement: Some(placement), most: 64, ..self }
    }

    /// Counted by its parts, per second.
    pub(super) const fn descriptors(self, parts: u64) -> Operation {
        Operation { unit: Unit::PerSecond, parts, most: 1024, ..self }
    }

    pub(super) const fn compared(self) -> Operation {
        Operation { compared: true, ..self }
    }
}

/// Where operations may make things: a directory, and a kernel name.
#[derive(Debug)]
pub(super) struct Resources {
    pub(super) dir: PathBuf,
    /// Of one message queue, or one segment, at a time.
    pub(super) name: String,
    pub(super) other_cpu: Option<usize>,
}

impl Resources {
    pub(super) fn new(dir: &Path, other_cpu: Option<usize>) -> Resources {
        let name = format!("{}bench", kernel_prefix_of(Some(dir.as_os_str())));
        Resources { dir: dir.to_owned(), name, other_cpu }
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
