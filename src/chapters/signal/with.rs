//! The three calls that take a signal, behind one option.

use anyhow::Result;
use clap::ValueEnum;

use super::handler::Handler;
use super::signalfd::Signalfd;
use super::sigwaitinfo::Sigwaitinfo;
use os::signal::Info;

/// What takes the signals: the values of `--with`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum With {
    /// sigwaitinfo(2): wait for one, and get it as a return value
    Sigwaitinfo,
    /// signalfd(2): read it from a descriptor, which poll(2) can watch
    Signalfd,
    /// sigaction(2): let a handler be called, within sigsuspend(2)
    Handler,
}

/// One of them, ready.
#[derive(Debug)]
pub enum Taking {
    /// See [`Sigwaitinfo`].
    Sigwaitinfo(Sigwaitinfo),
    /// See [`Signalfd`].
    Signalfd(Signalfd),
    /// See [`Handler`].
    Handler(Handler),
}

impl Taking {
    /// Makes ready to take `signals`, which are blocked.
    pub fn by(with: With, signals: &[i32]) -> Result<Taking> {
        Ok(match with {
            With::Sigwaitinfo => Taking::Sigwaitinfo(Sigwaitinfo::of(signals)?),
            With::Signalfd => Taking::Signalfd(Signalfd::of(signals)?),
            With::Handler => Taking::Handler(Handler::of(signals)?),
        })
    }

    /// The next signal; sleeps while none waits.
    pub fn take(&mut self) -> Result<Info> {
        loop {
            let taken = match self {
                Taking::Sigwaitinfo(link) => link.take()?,
                Taking::Signalfd(link) => link.take()?,
                Taking::Handler(link) => link.take()?,
            };
            if let Some(info) = taken {
                return Ok(info);
            }
        }
    }

    /// The call that sleeps until a signal comes.
    pub fn call(&self) -> &'static str {
        match self {
            Taking::Sigwaitinfo(_) => "sigwaitinfo",
            Taking::Signalfd(_) => "read(signalfd)",
            Taking::Handler(_) => "sigsuspend",
        }
    }

    /// How the commentary says that a signal was taken. sigsuspend itself always fails
    /// with EINTR; it is the handler that was told which signal it was.
    pub fn took(&self) -> &'static str {
        match self {
            Taking::Sigwaitinfo(_) => "sigwaitinfo() =",
            Taking::Signalfd(_) => "read(signalfd) =",
            Taking::Handler(_) => "the handler got",
        }
    }
}
