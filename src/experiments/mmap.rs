//! What mapped files do that people do not expect.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
use rustix::mm::MapFlags;

use super::row::Experiment;
use super::stage::Stage;
use os::mmap::Pages;

mod contents;
mod cut;
mod ends;
mod keeping;
mod space;

/// The chapter's experiments, in the order of its page.
pub const ALL: &[Experiment] = &[
    ends::PAST_THE_END,
    ends::PAST_THE_MAP,
    ends::TAIL_BYTES,
    ends::GROWING,
    cut::PEER_TRUNCATES,
    cut::READ_INTO_IT,
    contents::READ_AND_MAP,
    contents::PRIVATE,
    contents::ANONYMOUS,
    keeping::KILL_NINE,
    keeping::MSYNC_ASYNC,
    space::SPARSE,
    space::FULL_DISK,
];

/// A new file of this run's own with these bytes in it.
fn file_with(stage: &Stage, name: &str, bytes: &[u8]) -> Result<File> {
    let mut options = File::options();
    let file =
        options.read(true).write(true).create_new(true).open(stage.path(name));
    let file = file.context("open")?;
    file.write_all_at(bytes, 0).context("write")?;
    Ok(file)
}

/// mmap(2): `length` bytes of the file, MAP_SHARED.
fn map_shared(file: &File, length: usize) -> std::io::Result<Pages> {
    Pages::map(Some(file.as_fd()), length, MapFlags::SHARED)
}

/// Whether the file is on a disk, as far as its file system shows: not in memory.
fn on_a_disk(file: &File) -> Result<bool> {
    Ok(fstatfs(file).context("fstatfs")?.filesystem_type() != TMPFS_MAGIC)
}
