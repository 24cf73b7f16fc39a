//! Signals as one more descriptor to wait for: signalfd(2).
//!
//! A handler interrupts anything at any point. Blocked signals wait instead, and the
//! descriptor becomes readable: they come when the loop asks, like everything else.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use os::inheritance::ends_us;
use wire::say;

// ANCHOR: signals
/// SIGINT, SIGTERM and SIGHUP, as a descriptor.
#[derive(Debug)]
pub(super) struct EndingSignals {
    mask: SigSet,
    fd: SignalFd,
}

impl EndingSignals {
    /// From here on these signals wait for [`EndingSignals::take`].
    pub(super) fn watch() -> Result<EndingSignals> {
        // A signal that is ignored (nohup) stays so: blocked, it would be delivered to us.
        let mask = ends_us();
        mask.thread_block().context("sigprocmask(SIG_BLOCK)")?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let fd = SignalFd::with_flags(&mask, flags).context("signalfd")?;
        Ok(EndingSignals { mask, fd })
    }

    /// The signal that has come, if one has.
    pub(super) fn take(&self) -> Result<Option<Signal>> {
        let info = match self.fd.read_signal() {
            Err(Errno::EINTR) => return Ok(None), // it is still ready: asked again
            info => info.context("read the signalfd")?,
        };
        Ok(info.and_then(|info| Signal::try_from(info.ssi_signo as i32).ok()))
    }

    /// Ends this process by `signal` after all, so that its exit status says so.
    pub(super) fn end_by(self, signal: Signal) -> Result<()> {
        say!("raise({signal}), and unblocked it ends us: the exit status is honest");
        raise(signal).context("raise")?;
        self.mask.thread_unblock().context("sigprocmask(SIG_UNBLOCK)")
    }
}
// ANCHOR_END: signals

impl EndingSignals {
    /// A second descriptor of the same signals.
    pub(super) fn duplicate(&self) -> Result<OwnedFd> {
        self.fd.as_fd().try_clone_to_owned().context("dup the signalfd")
    }
}

impl AsFd for EndingSignals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
