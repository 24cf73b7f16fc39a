//! The three calls that take a signal, behind one option.

use anyhow::Result;
use clap::ValueEnum;

use super::handler::Handler;
use super::signalfd::Signalfd;
use super::sigwaitinfo::Sigwaitinfo;
use os::signal::Info;

/// The call that takes the signals: the values of `--with`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SourceKind {
    /// sigwaitinfo(2): wait for one, and get it as a return value
    Sigwaitinfo,
    /// signalfd(2): read it from a descriptor, which poll(2) can watch
    Signalfd,
    /// sigaction(2): let a handler be called, within sigsuspend(2)
    Handler,
}

/// One of the three calls, ready.
#[derive(Debug)]
pub enum SignalSource {
    /// See [`Sigwaitinfo`].
    Sigwaitinfo(Sigwaitinfo),
    /// See [`Signalfd`].
    Signalfd(Signalfd),
    /// See [`Handler`].
    Handler(Handler),
}

impl SignalSource {
    /// Makes ready to take `signals`, which are blocked.
    pub fn new(kind: SourceKind, signals: &[i32]) -> Result<SignalSource> {
        Ok(match kind {
            SourceKind::Sigwaitinfo => {
                SignalSource::Sigwaitinfo(Sigwaitinfo::of(signals)?)
            }
            SourceKind::Signalfd => SignalSource::Signalfd(Signalfd::of(signals)?),
            SourceKind::Handler => SignalSource::Handler(Handler::of(signals)?),
        })
    }

    /// The next signal; sleeps while none waits.
    pub fn take(&mut self) -> Result<Info> {
        loop {
            let taken = match self {
                SignalSource::Sigwaitinfo(link) => link.take()?,
                SignalSource::Signalfd(link) => link.take()?,
                SignalSource::Handler(link) => link.take()?,
            };
            if let Some(info) = taken {
                return Ok(info);
            }
        }
    }

    /// The call that sleeps until a signal comes.
    pub fn call(&self) -> &'static str {
        match self {
            SignalSource::Sigwaitinfo(_) => "sigwaitinfo",
            SignalSource::Signalfd(_) => "read(signalfd)",
            SignalSource::Handler(_) => "sigsuspend",
        }
    }

    /// How the commentary says that a signal was taken. sigsuspend itself always fails
    /// with EINTR; it is the handler that was told which signal it was.
    pub fn took(&self) -> &'static str {
        match self {
            SignalSource::Sigwaitinfo(_) => "sigwaitinfo() =",
            SignalSource::Signalfd(_) => "read(signalfd) =",
            SignalSource::Handler(_) => "the handler got",
        }
    }
}
