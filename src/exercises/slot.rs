//! The one slot of the bare programs `shm` and `mmap`, as a partner uses it: a length (0: no line;
//! 0xffffffff: the end), a line.

use std::fs::File;
use std::sync::atomic::Ordering::SeqCst;

use anyhow::{Context, Result};
use nix::unistd::Pid;

use os::calls::{futex_wait, futex_wake};
use os::shared::{Shared, mmap};

use super::partner::Partner;

/// How many bytes it has, the length included.
pub(super) const SIZE: usize = 4096;

/// The memory, mapped.
pub(super) struct Slot(Shared);

impl Slot {
    /// Of the object or file that is open as `file`.
    pub(super) fn map(partner: &Partner, file: &File) -> Result<Slot> {
        Ok(Slot(partner.call("mmap(4096 bytes, MAP_SHARED)", mmap(file, SIZE))?))
    }

    /// Stores a line, then `length`, and wakes who sleeps.
    pub(super) fn publish(
        &self,
        partner: &Partner,
        line: &[u8],
        length: u32,
    ) -> Result<()> {
        self.0.write(4, line);
        self.set(partner, length)
    }

    /// Stores the length alone, and wakes who sleeps.
    pub(super) fn set(&self, partner: &Partner, length: u32) -> Result<()> {
        partner.log(&format!("stores the length {length}, and wakes"));
        self.0.u32(0).store(length, SeqCst);
        futex_wake(self.0.u32(0), 1).context("futex").map(drop)
    }

    /// Sleeps while the length is `length`; the new one.
    pub(super) fn next(&self, length: u32) -> u32 {
        loop {
            let now = self.0.u32(0).load(SeqCst);
            if now != length {
                return now;
            }
            let _ = futex_wait(self.0.u32(0), length, None);
        }
    }

    /// Makes `learner`, who sleeps, wake to this line in a file that has no bytes any more.
    pub(super) fn cut(
        &self,
        partner: &Partner,
        learner: Pid,
        file: &File,
        length: u32,
    ) -> Result<()> {
        partner.until_asleep(learner)?;
        partner.stop(learner, "it will go on when the file is short")?;
        self.set(partner, length)?;
        partner.call("ftruncate(0 bytes)", file.set_len(0))?;
        partner.signal(learner, nix::sys::signal::Signal::SIGCONT, "it goes on")
    }
}
