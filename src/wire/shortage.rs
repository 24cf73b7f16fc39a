//! What a server does when there is no room for one more client.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::socket::SockFlag;

use super::say;
use crate::errors::Advise;
use os::calls::accept4;
use os::memory;
use os::signal::is_to_end;

/// What an error of accept(2) or recvmsg(2) is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorOf {
    /// The client: it gave up, or its network did (accept(2)). The next may do better.
    Client,
    /// Resources: there is no descriptor or no memory for the client, until another leaves. The
    /// connection stays in the backlog, so the next call would fail at once, too.
    Resources,
    /// The listening socket itself: no client can cause such an error, and it stays.
    Listener,
}

/// What `error` is about. Linux passes on errors of the network that are the new socket's, so an
/// unknown error counts as the client's.
pub fn error_of(error: Errno) -> ErrorOf {
    match error {
        Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM => {
            ErrorOf::Resources
        }
        Errno::EBADF
        | Errno::EFAULT
        | Errno::EINVAL
        | Errno::ENOTSOCK
        | Errno::EOPNOTSUPP => ErrorOf::Listener,
        _ => ErrorOf::Client,
    }
}

/// Whether a call failed for want of memory or buffers, or of watches (epoll_ctl(2)): what
/// it was asked for is right, and may be had later.
pub fn is_shortage(error: Errno) -> bool {
    matches!(error, Errno::ENOMEM | Errno::ENOBUFS | Errno::ENOSPC)
}

// ANCHOR: shortage
/// Something that runs out: descriptors, processes, memory. Nothing tells when there is
/// some again, so what failed is tried again and again, with a rest between.
#[derive(Debug, Default)]
pub struct Shortage {
    /// Whether the shortage has been reported.
    said: bool,
}

impl Shortage {
    const REST: Duration = Duration::from_millis(100);
    /// Where it is the whole machine that has too little.
    pub const OF_MEMORY: &str = "`free` shows how much memory there is";

    /// `call` has failed by `error`: says so the first time, and sleeps.
    pub fn rest(
        &mut self,
        error: impl Into<anyhow::Error>,
        call: &'static str,
        way_out: &str,
    ) {
        if !std::mem::replace(&mut self.said, true) {
            let advice = format!("it is tried again every 0.1 s; {way_out}");
            let error: Result<()> = Err(error.into().context(call));
            let error = error.advise(|_| Some(advice)).unwrap_err();
            say::complain(&error);
        }
        std::thread::sleep(Shortage::REST);
    }

    /// The call worked: the next failure is reported anew.
    pub fn is_over(&mut self) {
        self.said = false;
    }

    /// Makes `call`, named `name`, until it is done: again at once after EINTR, and after a rest
    /// while there is a shortage; no longer once a signal waits that is to end us.
    ///
    /// # Errors
    /// Every other error of the call.
    pub fn retry<T>(
        &mut self,
        name: &'static str,
        mut call: impl FnMut() -> nix::Result<T>,
    ) -> nix::Result<T> {
        let done = loop {
            match call() {
                Err(Errno::EINTR) => {}
                Err(error) if is_shortage(error) && !is_to_end() => {
                    self.rest(error, name, Shortage::OF_MEMORY);
                }
                done => break done,
            }
        };
        self.is_over();
        done
    }

    /// accept4(2): sleeps until a client is connected, and there is room for it.
    ///
    /// # Errors
    /// Those of the listening socket itself: EBADF, EINVAL, ENOTSOCK.
    pub fn accept(&mut self, listener: impl AsFd) -> Result<OwnedFd> {
        loop {
            let error = match accept4(&listener, SockFlag::SOCK_CLOEXEC) {
                Ok(socket) => {
                    self.is_over();
                    return Ok(socket);
                }
                Err(error) => error,
            };
            match error_of(error) {
                ErrorOf::Client => {}
                ErrorOf::Resources => {
                    self.rest(error, "accept", "ulimit -n raises RLIMIT_NOFILE");
                }
                ErrorOf::Listener => return Err(error).context("accept"),
            }
        }
    }

    /// Has a thread made by `spawn`, which serves the client that it receives. A thread that
    /// cannot be made would lose the client that was meant for it: so the thread comes first,
    /// and gets its client when it is there.
    pub fn thread_for<C>(
        &mut self,
        client: C,
        spawn: impl Fn(Receiver<C>) -> std::io::Result<()>,
    ) {
        let give = loop {
            let (give, take) = channel();
            let made = match memory::is_there(0) {
                true => spawn(take),
                false => Err(Errno::ENOMEM.into()),
            };
            match made {
                Ok(()) => break give,
                Err(error) => self.rest(
                    error,
                    "clone a thread",
                    "ulimit -u raises RLIMIT_NPROC, ulimit -v RLIMIT_AS; a client that \
                     leaves helps, too",
                ),
            }
        };
        self.is_over();
        let given = give.send(client);
        given.map_err(|_| ()).expect("the thread waits for it");
    }
}
// ANCHOR_END: shortage

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_made_again_until_it_is_done_or_fails_for_good() {
        for end in [Ok(7), Err(Errno::EPIPE), Err(Errno::EAGAIN)] {
            let lacks = [Errno::EINTR, Errno::ENOBUFS, Errno::EINTR, Errno::ENOMEM];
            let mut answers = lacks.map(Err).into_iter().chain([end]);
            let call = || answers.next().expect("it is not made once more");
            assert_eq!(Shortage::default().retry("send", call), end);
            assert_eq!(answers.next(), None);
        }
    }
}
