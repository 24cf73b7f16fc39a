//! What another process writes, line by line, while processes are watched that may end meanwhile.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::unistd::read;
use rustix::event::{PollFd, PollFlags};

use lab::interrupts::Interrupts;
use os::calls::poll_until;
use process::RoleProcess;

/// A signal has come that ends the bench.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub(super) struct Interrupted;

/// Poll for something to read.
pub(super) fn watch(fd: &impl AsFd) -> PollFd<'_> {
    PollFd::new(fd, PollFlags::IN)
}

/// The lines that a process writes into a pipe.
#[derive(Debug)]
pub(super) struct Lines {
    from: OwnedFd,
    bytes: Vec<u8>,
}

impl Lines {
    pub(super) fn of(from: OwnedFd) -> Lines {
        Lines { from, bytes: Vec::new() }
    }

    /// The next line; `None` when its writer, or one of the `watched` processes, has
    /// ended before it was whole.
    pub(super) fn next(
        &mut self,
        watched: &[&RoleProcess],
        stop: &mut Interrupts,
        deadline: Instant,
    ) -> Result<Option<String>> {
        loop {
            if let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
                let line = String::from_utf8_lossy(&self.bytes[..end]).into_owned();
                self.bytes.drain(..=end);
                return Ok(Some(line));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("no answer in time");
            }
            let mut fds = vec![watch(&self.from), watch(&stop.signals)];
            fds.extend(watched.iter().map(|role| watch(role.pidfd())));
            poll_until(&mut fds, Some(left)).context("poll")?;
            let [line, _, ends @ ..] = fds.as_slice() else { continue };
            let comes = !line.revents().is_empty();
            let ended = ends.iter().any(|end| !end.revents().is_empty());
            if stop.pending()? {
                return Err(Interrupted.into());
            }
            if comes {
                let mut chunk = [0; 64 * 1024];
                match read(&self.from, &mut chunk) {
                    Ok(0) => return Ok(None),
                    Ok(n) => self.bytes.extend_from_slice(&chunk[..n]),
                    Err(Errno::EINTR) => {}
                    Err(error) => return Err(error).context("read a pipe"),
                }
            } else if ended {
                return Ok(None);
            }
        }
    }
}
