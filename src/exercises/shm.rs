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

/// No further arguments.
const NOTHING: [&str; 0] = [];

/// Makes the object of `size` bytes.
fn make(partner: &Partner, size: u64) -> Result<File> {
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL;
    let opened = shm_open(partner.scene.place().as_str(), flags, mode);
    let object: File = partner.call("shm_open(PLACE, O_CREAT)", opened)?.into();
    partner.call(&format!("ftruncate({size} bytes)"), object.set_len(size))?;
    Ok(object)
}

/// Opens the object that the learner's program has made.
fn open(partner: &Partner) -> Result<File> {
    let opened =
        shm_open(partner.scene.place().as_str(), OFlag::O_RDWR, Mode::empty());
    Ok(partner.call("shm_open(PLACE)", opened)?.into())
}

/// Removes the name.
fn remove(partner: &Partner) -> Result<()> {
    partner.call("shm_unlink(PLACE)", shm_unlink(partner.scene.place().as_str()))
}
