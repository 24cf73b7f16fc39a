//! The exercises of the chapter mutex.

use std::fs::File;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;

use os::shared::{Shared, mmap};

use super::partner::Partner;
use super::row::Exercise;
use super::shm;

mod layout;
mod owner;
mod ready;
mod wait;

/// The exercises.
pub(super) const ALL: &[Exercise] =
    &[wait::ROW, owner::ROW, ready::ROW, layout::ROW];

/// Makes the object; `None` where it is there.
fn make(partner: &Partner, size: u64) -> Result<Option<File>> {
    let object = match shm::object(partner, OFlag::O_CREAT | OFlag::O_EXCL) {
        Err(Errno::EEXIST) => return Ok(None),
        made => partner.call("shm_open(PLACE, O_CREAT)", made)?,
    };
    partner.call(&format!("ftruncate({size} bytes)"), object.set_len(size))?;
    Ok(Some(object))
}

/// Maps `size` bytes of the object, for as long as the partner lives.
fn map(object: &File, size: usize) -> Result<&'static Shared> {
    Ok(Box::leak(Box::new(mmap(object, size).context("mmap")?)))
}
