//! What shared memory does that people do not expect.

use anyhow::{Context, Result};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::ftruncate;

use super::row::Experiment;
use os::shared::{Shared, mmap};

mod counting;
mod kept;
mod library;
mod model;
mod naming;
mod order;
mod owner;
mod pages;
mod race;

/// The chapter's experiments, in the order of its page.
pub const ALL: &[Experiment] = &[
    counting::LOST_COUNTS,
    counting::FALSE_SHARING,
    pages::ADDRESSES,
    pages::BEFORE_SIZED,
    pages::LOOKING_COSTS,
    naming::UNLINKED_NAME,
    kept::REMOVED_WHILE_ATTACHED,
    kept::NOBODY_ATTACHED,
    kept::TRACKER,
    owner::OWNER_DIES,
    owner::NOT_MENDED,
    order::RELAXED,
    order::STORE_BUFFERING,
    library::CRATE_FORK,
    library::CRATE_KILLED,
    library::CRATE_FORCE,
];

/// `length` bytes, all zero, for a process and those that it forks.
fn without_name(length: usize) -> Result<Shared> {
    let fd =
        memfd_create("memory", MFdFlags::MFD_CLOEXEC).context("memfd_create")?;
    ftruncate(&fd, length as i64).context("ftruncate")?;
    mmap(&fd, length).context("mmap")
}
