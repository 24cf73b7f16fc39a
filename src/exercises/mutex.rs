//! The exercises of the chapter mutex.

use std::fs::File;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::mman::{shm_open, shm_unlink};
use nix::sys::stat::Mode;

use os::shared::{Shared, mmap};

use super::partner::Partner;
use super::row::Exercise;

mod layout;
mod owner;
mod ready;
mod wait;

/// The exercises.
pub(super) const ALL: &[Exercise] =
    &[wait::ROW, owner::ROW, ready::ROW, layout::ROW];

/// Opens the object PLACE, which has this size.
fn open(partner: &Partner, flags: OFlag) -> nix::Result<File> {
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    let place = partner.scene.place();
    Ok(shm_open(place.as_str(), OFlag::O_RDWR | flags, mode)?.into())
}

/// Makes the object; `None` where it is there.
fn make(partner: &Partner, size: u64) -> Result<Option<File>> {
    let object = match open(partner, OFlag::O_CREAT | OFlag::O_EXCL) {
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

/// Removes the name.
fn remove(partner: &Partner) -> Result<()> {
    partner.call("shm_unlink(PLACE)", shm_unlink(partner.scene.place().as_str()))
}
