//! A child of a stage: watched, joined, and always reaped.

use std::fs::File;
use std::io::Read;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use serde::de::DeserializeOwned;
use syscalls::Sysno;

use super::until::until;
use os::proc::{self, Activity, activity};

// By which call the C library sleeps in epoll_wait(2), pause(2) and poll(2): newer processors
// have only the call of which each is a case.
#[cfg(not(target_arch = "x86_64"))]
pub use syscalls::Sysno::{
    epoll_pwait as EPOLL_WAIT, ppoll as PAUSE, ppoll as POLL,
};
#[cfg(target_arch = "x86_64")]
pub use syscalls::Sysno::{epoll_wait as EPOLL_WAIT, pause as PAUSE, poll as POLL};

/// A forked process whose part ends with a `T`.
#[derive(Debug)]
pub struct Child<T> {
    pid: Pid,
    who: &'static str,
    result: Option<OwnedFd>,
    reaped: bool,
    of: PhantomData<T>,
}

/// How a child ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End<T> {
    /// Its part came to its end, with this.
    Done(T),
    /// A signal ended it.
    Killed(Signal),
}

impl<T: DeserializeOwned> Child<T> {
    pub(super) fn of(pid: Pid, who: &'static str, result: OwnedFd) -> Child<T> {
        Child { pid, who, result: Some(result), reaped: false, of: PhantomData }
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// kill(2): sends it a signal.
    ///
    /// # Errors
    /// None while it has not been joined.
    pub fn kill(&self, signal: Signal) -> Result<()> {
        kill(self.pid, signal).with_context(|| format!("kill the {}", self.who))
    }

    /// Waits until the kernel shows it asleep in one of `calls` (/proc/PID/syscall), which
    /// is how an experiment forces an order without sleeping itself. Returns which; the
    /// first, where the kernel does not show it to this user.
    ///
    /// # Errors
    /// When it has ended, or is not there after 5 s.
    pub fn until_asleep_in(&self, calls: &[Sysno]) -> Result<Sysno> {
        until(
            || {
                let activity = activity(self.pid);
                format!("the {} is not asleep in {calls:?}: {activity:?}", self.who)
            },
            || match activity(self.pid) {
                Activity::Asleep(call) => Ok(calls
                    .iter()
                    .copied()
                    .find(|known| known.id() as usize == call)),
                Activity::AsleepSomewhere => Ok(Some(calls[0])),
                Activity::Ended => bail!("the {} has ended", self.who),
                _ => Ok(None),
            },
        )
    }

    /// How often it has gone to sleep: it must have been woken in between.
    ///
    /// # Errors
    /// When it has ended.
    pub fn times_slept(&self) -> Result<u64> {
        proc::times_slept(self.pid).context("read /proc/PID/status")
    }

    /// Waits for its end, and returns what its part returned.
    ///
    /// # Errors
    /// Its part's own error; a signal that ended it.
    pub fn join(self) -> Result<T> {
        let who = self.who;
        match self.end()? {
            End::Done(result) => Ok(result),
            End::Killed(signal) => bail!("the {who} was ended by {signal}"),
        }
    }

    /// Waits until `signal` has been delivered to it (/proc/PID/status shows none pending).
    ///
    /// # Errors
    /// When it has ended, or the signal still waits after 5 s.
    pub fn until_handled(&self, signal: i32) -> Result<()> {
        let bit = 1_u64 << (signal - 1);
        let missing = || format!("signal {signal} still waits for the {}", self.who);
        until(missing, || {
            let status = proc::text(format!("/proc/{}/status", self.pid))
                .with_context(|| format!("the {} has ended", self.who))?;
            let waits = |field| {
                let line = status.lines().find_map(|line| line.strip_prefix(field));
                let mask =
                    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
                mask.unwrap_or(0) & bit != 0
            };
            Ok((!waits("SigPnd:") && !waits("ShdPnd:")).then_some(()))
        })
    }

    /// Leaves its reaping to the caller, which gets its pid.
    pub fn leave(mut self) -> Pid {
        self.reaped = true;
        self.pid
    }

    /// Waits for its end, when it has become another program by execve(2) and returns
    /// nothing.
    ///
    /// # Errors
    /// None while it has not been joined.
    pub fn status(mut self) -> Result<WaitStatus> {
        self.reaped = true;
        waitpid(self.pid, None).context("waitpid")
    }

    /// Waits for its end, whichever it is.
    ///
    /// # Errors
    /// Its part's own error.
    pub fn end(mut self) -> Result<End<T>> {
        let mut text = Vec::new();
        if let Some(result) = self.result.take() {
            File::from(result).read_to_end(&mut text).context("read a result")?;
        }
        let status = waitpid(self.pid, None).context("waitpid")?;
        self.reaped = true;
        if let WaitStatus::Signaled(_, signal, _) = status {
            return Ok(End::Killed(signal));
        }
        let outcome: Result<T, String> = serde_json::from_slice(&text)
            .with_context(|| {
                format!("the {} left no result: {status:?}", self.who)
            })?;
        outcome
            .map(End::Done)
            .map_err(|error| anyhow::anyhow!("the {}: {error}", self.who))
    }
}

impl<T> Drop for Child<T> {
    fn drop(&mut self) {
        if !self.reaped {
            let _ = kill(self.pid, Signal::SIGKILL);
            let _ = waitpid(self.pid, None);
        }
    }
}
