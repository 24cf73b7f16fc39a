//! Waiting for roles, until they end or Ctrl-C comes.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags};

use os::calls::poll_until;
use os::inheritance::ends_us;
use os::proc::{Activity, activity};
use process::RoleProcess;

/// Why the waiting for roles is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitOutcome {
    /// All have ended, and well.
    Done,
    /// The role of this index has failed: the others may wait for it for ever.
    Failed(usize),
    /// The deadline has passed, or a signal has come.
    Stopped,
}

/// Waits until all have ended.
///
/// # Errors
/// As poll(2).
pub fn wait_for_all(
    running: &mut [RoleProcess],
    stop: &mut Interrupts,
    deadline: Instant,
) -> Result<WaitOutcome> {
    loop {
        if let Some(failed) = running.iter_mut().position(RoleProcess::has_failed) {
            return Ok(WaitOutcome::Failed(failed));
        }
        let waiting: Vec<&OwnedFd> = running
            .iter_mut()
            .filter_map(|role| (!role.has_ended()).then_some(&*role))
            .map(RoleProcess::pidfd)
            .collect();
        let left = deadline.saturating_duration_since(Instant::now());
        if waiting.is_empty() || left.is_zero() {
            let done = waiting.is_empty();
            return Ok(if done { WaitOutcome::Done } else { WaitOutcome::Stopped });
        }
        let mut fds: Vec<_> =
            waiting.iter().map(|pidfd| PollFd::new(*pidfd, PollFlags::IN)).collect();
        fds.push(PollFd::new(&stop.signals, PollFlags::IN));
        poll_until(&mut fds, Some(left)).context("poll")?;
        if stop.pending()? {
            return Ok(WaitOutcome::Stopped);
        }
    }
}

/// Waits until `process` sleeps in a system call or has ended, which no event reports: a bare
/// program does not say that its peers may come. A signal or the deadline ends the wait, too.
///
/// # Errors
/// As poll(2).
pub fn wait_until_asleep(
    process: Pid,
    stop: &Interrupts,
    deadline: Instant,
) -> Result<()> {
    const LOOK: Duration = Duration::from_micros(500);
    while activity(process) == Activity::Other && Instant::now() < deadline {
        let mut fds = [PollFd::new(&stop.signals, PollFlags::IN)];
        poll_until(&mut fds, Some(LOOK)).context("poll")?;
        if !fds[0].revents().is_empty() {
            break;
        }
    }
    Ok(())
}

/// SIGINT, SIGTERM and SIGHUP, unless they are ignored, as something to poll, so that Ctrl-C
/// ends a demo with its roles stopped and its directory removed. Dropped, it leaves the mask
/// as it was before: a signal that has not been read takes its effect then.
#[derive(Debug)]
pub struct Interrupts {
    /// Readable once one has come.
    pub signals: SignalFd,
    mask: SigSet,
    before: SigSet,
    /// The last one that was read.
    pub caught: Option<Signal>,
}

impl Interrupts {
    /// Blocks them, and opens the signalfd(2) that has them.
    ///
    /// # Errors
    /// EMFILE.
    pub fn watch() -> Result<Interrupts> {
        let mask = ends_us();
        let before = mask.thread_swap_mask(SigmaskHow::SIG_BLOCK);
        let before = before.context("sigprocmask")?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&mask, flags).context("signalfd")?;
        Ok(Interrupts { signals, mask, before, caught: None })
    }

    /// Whether one has come; [`Interrupts::caught`] is which.
    ///
    /// # Errors
    /// None that a signalfd(2) can cause.
    pub fn pending(&mut self) -> Result<bool> {
        if let Some(info) = self.signals.read_signal().context("read a signalfd")? {
            self.caught = Signal::try_from(info.ssi_signo as i32).ok();
        }
        Ok(self.caught.is_some())
    }

    /// Ends this process as the signal would have.
    ///
    /// # Errors
    /// None that these arguments can cause.
    pub fn end_by(&self, signal: Signal) -> Result<()> {
        raise(signal).context("raise")?;
        self.mask.thread_unblock().context("sigprocmask")
    }

    /// Waits until `input` is readable; a signal that comes first ends this process.
    ///
    /// # Errors
    /// As poll(2).
    pub fn wait_for_input(&mut self, input: &impl AsFd) -> Result<()> {
        loop {
            let mut fds = [
                PollFd::new(input, PollFlags::IN),
                PollFd::new(&self.signals, PollFlags::IN),
            ];
            poll_until(&mut fds, None).context("poll")?;
            let readable = !fds[0].revents().is_empty();
            if self.pending()?
                && let Some(signal) = self.caught
            {
                self.end_by(signal)?;
            }
            if readable {
                return Ok(());
            }
        }
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        let _ = self.before.thread_set_mask();
    }
}
