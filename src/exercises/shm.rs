//! The exercises of the chapter shm.

use std::fs::File;

use anyhow::Result;
use nix::fcntl::OFlag;
use nix::sys::mman::{shm_open, shm_unlink};
use nix::sys::stat::Mode;

use super::partner::Partner;
use super::row::Exercise;

mod counts;
mod hostile;
mod queue;
mod renewed;
mod stranger;

/// The exercises.
pub(super) const ALL: &[Exercise] =
    &[counts::ROW, hostile::ROW, stranger::ROW, renewed::ROW, queue::ROW];

/// Makes the object of `size` bytes.
fn make(partner: &Partner, size: u64) -> Result<File> {
    let made = object(partner, OFlag::O_CREAT | OFlag::O_EXCL);
    let object = partner.call("shm_open(PLACE, O_CREAT)", made)?;
    partner.call(&format!("ftruncate({size} bytes)"), object.set_len(size))?;
    Ok(object)
}

/// Opens the object that the learner's program has made.
pub(super) fn open(partner: &Partner) -> Result<File> {
    partner.call("shm_open(PLACE)", object(partner, OFlag::empty()))
}

/// The object PLACE, opened for reading and writing.
pub(super) fn object(partner: &Partner, flags: OFlag) -> nix::Result<File> {
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    let place = partner.scene.place();
    Ok(shm_open(place.as_str(), OFlag::O_RDWR | flags, mode)?.into())
}

/// Removes the name.
pub(super) fn remove(partner: &Partner) -> Result<()> {
    partner.call("shm_unlink(PLACE)", shm_unlink(partner.scene.place().as_str()))
}
