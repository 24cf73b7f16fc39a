//! The process that a signal goes to, and what the signal would do there.
//!
//! A pid is a number that the kernel gives to another process once its owner is gone. A pidfd
//! (pidfd_open(2)) stands for one process, and after its end for none.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::number::Number;
use os::calls::pidfd_open;
use os::proc;
use os::process_identity;
use os::signal::pidfd_kill;
use wire::errors::Advise;
use wire::say;
use wire::shortage::Shortage;

/// A process, and the descriptor that stands for it.
#[derive(Debug)]
pub struct Target {
    /// Its number, for the commentary.
    pub pid: i32,
    /// What the signals are sent through.
    pub pidfd: OwnedFd,
}

/// Whether the process has ended: its pidfd is readable then. Does not wait.
pub fn is_gone(pidfd: impl AsFd) -> bool {
    let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// Whether the process was ended by a signal, and its parent has not waited for it yet.
pub fn was_killed(pid: i32) -> bool {
    let status = u32::try_from(pid).ok().and_then(process_identity::zombies_status);
    status.is_some_and(|status| libc::WIFSIGNALED(status))
}

// ANCHOR: by_pid
/// The process `pid`, if `signal` will not kill it, or `force` says to send all the same.
///
/// # Errors
/// ESRCH where there is no such process.
pub fn by_pid(pid: i32, signal: Number, force: bool) -> Result<Target> {
    let pidfd = pidfd_open(pid)
        .with_context(|| format!("pidfd_open({pid})"))
        .advise(|e| {
            let gone = wire::errors::errno(e) == Some(Errno::ESRCH);
            Some(if gone {
                "`ps -e` lists the processes"
            } else {
                "is it a thread's id?"
            })
        })?;
    if is_gone(&pidfd) {
        return Err(Errno::ESRCH).with_context(|| format!("pidfd_open({pid})"));
    }
    // Signal 0 only asks whether we may (kill(2)).
    pidfd_kill(&pidfd, 0)
        .with_context(|| format!("pidfd_send_signal to pid {pid}"))
        .advise(|_| Some("it runs as another user: only that user and root may"))?;
    if !force {
        match disposition(pid, signal) {
            Ok(Disposition::Handled(how)) => {
                say!("/proc/{pid}/status: it {how} {signal}")
            }
            Ok(Disposition::Ignored) => {
                say!("pid {pid} ignores {signal}: nothing will happen there");
            }
            Ok(Disposition::Default) => bail!(
                "pid {pid} neither blocks, catches nor ignores {signal}, \
                 which would end or stop it; --force sends it all the same"
            ),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("read /proc/{pid}/status"))
                    .advise(|_| Some("--force sends without a look"));
            }
        }
    }
    Ok(Target { pid, pidfd })
}

/// What a signal would do to a process (signal(7)).
enum Disposition {
    /// It is caught or blocked, as the word says.
    Handled(&'static str),
    /// The process ignores it.
    Ignored,
    /// It would end or stop the process.
    Default,
}

/// Looks, from /proc, what `signal` would do to the process `pid` now.
fn disposition(pid: i32, signal: Number) -> std::io::Result<Disposition> {
    let process = format!("/proc/{pid}");
    // The same for all threads of a process, unlike what is blocked.
    if signal.is_in(mask(&process, "SigCgt")?) {
        return Ok(Disposition::Handled("catches"));
    }
    let harmless = [libc::SIGCHLD, libc::SIGCONT, libc::SIGURG, libc::SIGWINCH];
    // Of the threads that do not block it, the kernel chooses one.
    let mut blocked = true;
    for thread in std::fs::read_dir(format!("{process}/task"))? {
        let thread = thread?.path().display().to_string();
        blocked &= signal.is_in(mask(&thread, "SigBlk")?)
            || waits_for(&thread, signal).unwrap_or(false);
    }
    if blocked && ![libc::SIGKILL, libc::SIGSTOP].contains(&signal.get()) {
        return Ok(Disposition::Handled("blocks"));
    }
    let ignored =
        signal.is_in(mask(&process, "SigIgn")?) || harmless.contains(&signal.get());
    Ok(if ignored { Disposition::Ignored } else { Disposition::Default })
}
// ANCHOR_END: by_pid

/// One of the masks in /proc/PID/status.
fn mask(process: &str, field: &str) -> std::io::Result<u64> {
    let status = proc::text(format!("{process}/status"))?;
    let value =
        status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let mask = value.and_then(|value| u64::from_str_radix(value.trim(), 16).ok());
    mask.ok_or(std::io::ErrorKind::InvalidData.into())
}

/// Whether a thread sleeps in sigwaitinfo(2) for `signal`: the kernel unblocks what is
/// waited for, so SigBlk does not show it. We read the set itself, out of the memory
/// that the call's first argument points to; the kernel may refuse that (ptrace(2)).
fn waits_for(thread: &str, signal: Number) -> Option<bool> {
    let call = proc::text(format!("{thread}/syscall")).ok()?;
    let mut words = call.split_whitespace();
    if words.next()?.parse() != Ok(libc::SYS_rt_sigtimedwait) {
        return Some(false);
    }
    let set = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
    let mut mask = [0; 8];
    File::open(format!("{thread}/mem")).ok()?.read_exact_at(&mut mask, set).ok()?;
    Some(signal.is_in(u64::from_ne_bytes(mask)))
}

/// A queue without room for one signal more. Nothing tells when there is some: the signal is
/// sent again and again, with a rest between.
#[derive(Debug, Default)]
pub struct FullQueue(Shortage);

impl FullQueue {
    /// Sends one signal to `pid` by `call`, once there is room for it.
    ///
    /// # Errors
    /// As pidfd_send_signal(2); EAGAIN where there never will be any room.
    pub fn send(
        &mut self,
        pid: i32,
        pidfd: impl AsFd,
        call: impl Fn() -> nix::Result<()>,
    ) -> nix::Result<()> {
        loop {
            let Err(error) = call() else {
                self.0.is_over();
                return Ok(());
            };
            let never = || queue_of(pid).is_none_or(|queue| queue.ends_with("/0"));
            if error != Errno::EAGAIN || is_gone(&pidfd) || never() {
                return Err(error);
            }
            self.0.rest(error, "pidfd_send_signal", WAY_OUT);
        }
    }
}

/// How there comes to be room in a queue.
const WAY_OUT: &str =
    "ulimit -i raises RLIMIT_SIGPENDING, which counts over all processes of a user";

/// What /proc says of the queue of `pid`: `3/96365` waiting of the most.
pub fn queue_of(pid: i32) -> Option<String> {
    let status = proc::text(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("SigQ:"))?;
    Some(line.trim().to_owned())
}
