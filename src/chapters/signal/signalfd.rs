//! Taking signals from a descriptor, which poll(2) and epoll(7) can watch with others.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use nix::errno::Errno;

use os::signal::{Info, Set, read_signalfd, signalfd};

// ANCHOR: signalfd
/// Signals that are blocked, and read from a signalfd(2).
#[derive(Debug)]
pub struct Signalfd(OwnedFd);

impl Signalfd {
    /// Makes ready to take `signals`, which are blocked: otherwise they would be
    /// delivered in the usual way, and never be read.
    pub fn of(signals: &[i32]) -> Result<Signalfd> {
        Ok(Signalfd(signalfd(&Set::of(signals)).context("signalfd")?))
    }

    /// The next signal; `None` when the handler of another signal interrupted the sleep.
    pub fn take(&mut self) -> Result<Option<Info>> {
        match read_signalfd(&self.0) {
            Ok(info) => Ok(Some(info)),
            Err(Errno::EINTR) => Ok(None),
            Err(error) => Err(error).context("read the signalfd"),
        }
    }
}
// ANCHOR_END: signalfd
