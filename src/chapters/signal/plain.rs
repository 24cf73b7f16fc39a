//! Plain signals, without a value: a signal reports only that it came. A standard signal does
//! not even report how often: while one waits, another of its number is dropped (signal(7)).

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::unistd::getuid;

use super::number::Number;
use super::protocol::{GOODBYE, how};
use super::source::SignalSource;
use super::target::{FullQueue, Target};
use os::signal::{pidfd_kill, pidfd_sigqueue};
use wire::errors::{Advise, errno, usage};
use wire::say;
use wire::say::Commentary;

// ANCHOR: send
/// Sends `times` plain signals: what kill(2) does, but through a pidfd.
pub fn send(
    to: &Target,
    signal: Number,
    times: u64,
    sends: &mut Commentary,
) -> Result<()> {
    for sent in 0..times {
        sends.call(0, || format!("pidfd_send_signal({signal})"));
        pidfd_kill(&to.pidfd, signal.get())
            .with_context(|| format!("pidfd_send_signal(pid {}, {signal})", to.pid))
            .advise(|e| match errno(e)? {
                Errno::ESRCH => Some(format!("it is gone; {sent} of {times} sent")),
                Errno::EPERM => Some("it runs as another user".into()),
                _ => None,
            })?;
    }
    Ok(())
}

/// Sends the goodbye. SIGRTMAX has the highest number, so it is taken last: the goodbye
/// overtakes none of the signals before it.
pub fn say_goodbye(to: &Target, sends: &mut Commentary) -> Result<()> {
    let last = Number::rtmax();
    sends.always(0, || format!("pidfd_send_signal({last}, {GOODBYE}): goodbye"));
    let send = || pidfd_sigqueue(&to.pidfd, last.get(), GOODBYE);
    match FullQueue::default().send(to.pid, &to.pidfd, send) {
        Err(Errno::ESRCH) => Ok(()),
        sent => sent.context("pidfd_send_signal the goodbye"),
    }
}
// ANCHOR_END: send

// ANCHOR: count
/// Counts signals of one number.
#[derive(Debug)]
pub struct Counter {
    signal: Number,
    count: u64,
    takes: Commentary,
}

/// The signals that are taken to count those of `signal`: these, and the goodbye.
///
/// # Errors
/// A signal that no process can take, or that this program needs itself.
pub fn to_count(signal: Number) -> Result<Vec<i32>> {
    let why = match signal.get() {
        libc::SIGKILL | libc::SIGSTOP => "cannot be caught or blocked (signal(7))",
        libc::SIGINT | libc::SIGTERM | libc::SIGHUP => {
            "ends this program and clears up; choose another signal"
        }
        libc::SIGALRM => "is what --timeout uses; choose another signal",
        _ => return Ok(vec![signal.get(), Number::rtmax().get()]),
    };
    Err(usage(format!("--signal {signal}: it {why}")))
}

impl Counter {
    /// Counts signals of the number `signal`, taken by `call`.
    pub fn of(signal: Number, call: &'static str) -> Counter {
        Counter { signal, count: 0, takes: Commentary::of(call) }
    }

    /// Takes one signal; `message` becomes its running number. `false` on the goodbye.
    pub fn recv(
        &mut self,
        source: &mut SignalSource,
        message: &mut Vec<u8>,
    ) -> Result<bool> {
        loop {
            let info = source.take()?;
            let (pid, uid) = (info.pid, info.uid);
            // A signal of the kernel itself, SIGWINCH for example, has a code above 0.
            if info.code <= 0 && uid != getuid().as_raw() {
                say!("ignored a signal from uid {uid}, pid {pid}: not ours");
                continue;
            }
            let queued = info.code == libc::SI_QUEUE;
            if info.signal == Number::rtmax().get()
                && queued
                && info.value == GOODBYE
            {
                let (took, last) = (source.took(), Number::rtmax());
                self.takes
                    .always(0, || format!("{took} {last}, {GOODBYE}: goodbye"));
                return Ok(false);
            }
            if info.signal != self.signal.get() {
                say!("ignored signal {} from pid {pid}", info.signal);
                continue;
            }
            self.count += 1;
            let (took, signal) = (source.took(), self.signal);
            self.takes.call(0, || {
                format!("{took} {signal} from pid {pid} by {}", how(info.code))
            });
            *message = self.count.to_string().into_bytes();
            return Ok(true);
        }
    }
}
// ANCHOR_END: count
