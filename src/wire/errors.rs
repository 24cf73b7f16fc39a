//! How a failure reads: one line, `<syscall> <object>: <ERRNO>: <meaning>; <advice>`.
//!
//! Code below `main` adds context with [`anyhow::Context`] (`"open /run/…/fifo"`) and
//! the way out with [`Advise`]; `wire::say::complain` prints it.

use std::fmt;
use std::sync::OnceLock;

use nix::errno::Errno;

use crate::meet::program;
use crate::visible::visible;

mod advice;

/// A command line that asks for what cannot be: exit status 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// Makes a usage error, which ends the program with status 2.
pub fn usage(text: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Usage(text.into()))
}

/// An error that no call has returned, but that was seen: a peer that is gone, by poll(2).
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct PeerGone {
    /// What was seen.
    pub what: &'static str,
    /// What a call that meets it returns.
    pub errno: Errno,
}

/// The context of an error: the time that an option gave is over. Exit status 124.
#[derive(Debug, thiserror::Error)]
#[error("timed out")]
pub struct TimedOut;

/// The error of a child, which the child has printed itself: one line is enough. Exit status 1.
#[derive(Debug, thiserror::Error)]
#[error("a child has failed, and has said why")]
pub struct ChildReported;

/// Whether the line of this error has been written by a child.
pub fn is_reported(error: &anyhow::Error) -> bool {
    error.is::<ChildReported>()
}

/// An error together with the way out of it.
#[derive(Debug)]
struct Advised {
    error: anyhow::Error,
    advice: String,
}

impl fmt::Display for Advised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_advice(&self.error))?;
        write!(f, "; {}", self.advice)
    }
}

impl std::error::Error for Advised {}

/// Adds the way out to an error.
pub trait Advise<T> {
    /// Appends `"; advice"` to the printed line. The closure sees the error, so that
    /// it can choose by [`errno`]; `None` adds nothing.
    fn advise<A: Into<String>>(
        self,
        advice: impl FnOnce(&anyhow::Error) -> Option<A>,
    ) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> Advise<T> for Result<T, E> {
    fn advise<A: Into<String>>(
        self,
        advice: impl FnOnce(&anyhow::Error) -> Option<A>,
    ) -> anyhow::Result<T> {
        self.map_err(|error| {
            let error = error.into();
            match advice(&error) {
                None => error,
                Some(advice) => {
                    anyhow::Error::new(Advised { error, advice: advice.into() })
                }
            }
        })
    }
}

/// The error number at the root of an error, if a system call failed.
pub fn errno(error: &anyhow::Error) -> Option<Errno> {
    error.chain().find_map(|cause| match cause.downcast_ref::<Advised>() {
        Some(advised) => errno(&advised.error),
        None => cause
            .downcast_ref()
            .map_or_else(|| of_cause(cause), |seen: &PeerGone| Some(seen.errno)),
    })
}

fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<Errno> {
    if let Some(errno) = cause.downcast_ref::<Errno>() {
        return Some(*errno);
    }
    if let Some(errno) = cause.downcast_ref::<rustix::io::Errno>() {
        return Some(Errno::from_raw(errno.raw_os_error()));
    }
    let error = cause.downcast_ref::<std::io::Error>()?;
    error.raw_os_error().map(Errno::from_raw)
}

/// The call that failed, `open /run/…/fifo`, which stands right before the error number; that
/// number; and whether the error has a way out of its own.
fn failed_call(error: &anyhow::Error) -> Option<(String, Errno, bool)> {
    let mut what = String::new();
    for cause in error.chain() {
        if let Some(advised) = cause.downcast_ref::<Advised>() {
            let (within, errno, _) = failed_call(&advised.error)?;
            return Some((
                if within.is_empty() { what } else { within },
                errno,
                true,
            ));
        }
        match of_cause(cause) {
            Some(errno) => return Some((what, errno, false)),
            None => what = cause.to_string(),
        }
    }
    None
}

static SECTION: OnceLock<&'static str> = OnceLock::new();

/// From now on an error that a limit of the machine may have caused names `ipclab doctor SECTION`:
/// the chapter whose role this process plays, or the verb.
pub fn begin_section(name: &'static str) {
    let _ = SECTION.set(name);
}

/// What [`begin_section`] has been told.
pub fn section() -> Option<&'static str> {
    SECTION.get().copied()
}

/// The whole error in one line: what others have named, a path, a program, a server's
/// text, is shown so that it cannot reprogram the terminal.
///
/// ```
/// use anyhow::Context;
/// use ipclab_wire::errors::{Advise, line};
/// use nix::errno::Errno;
///
/// let opened: anyhow::Result<()> = Err(Errno::EACCES).context("open /run/fifo");
/// let error = opened.advise(|_| Some("run it as the owner")).unwrap_err();
/// assert_eq!(line(&error), "open /run/fifo: EACCES: Permission denied; run it as the owner");
/// ```
pub fn line(error: &anyhow::Error) -> String {
    let mut text = without_advice(error);
    if let Some((what, errno, advised)) = failed_call(error) {
        let advice = advice::way_out(&what, errno).filter(|_| !advised);
        text += &advice.map_or(String::new(), |advice| format!("; {advice}"));
        if let Some(name) = section().filter(|_| advice::is_limit(&what, errno)) {
            text += &format!("; {} doctor {name} tells more", program());
        }
    }
    visible(text)
}

fn without_advice(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        if !text.is_empty() {
            text.push_str(": ");
        }
        match of_cause(cause) {
            // nix prints "EACCES: Permission denied": the name and the meaning.
            Some(errno) => {
                text.push_str(&errno.to_string());
                break;
            }
            None => text.push_str(&cause.to_string()),
        }
    }
    text
}

/// The exit status an error stands for: 2 for usage, 124 for a time that is over, else 1.
///
/// ```
/// use ipclab_wire::errors::{Advise, TimedOut, status};
/// use nix::errno::Errno;
///
/// let late = anyhow::Error::new(Errno::EAGAIN).context(TimedOut).context("semtimedop");
/// let late = Err::<(), _>(late).advise(|_| Some("nobody posted")).unwrap_err();
/// assert_eq!(status(&late), 124);
/// assert_eq!(status(&anyhow::Error::new(Errno::EAGAIN)), 1);
/// ```
pub fn status(error: &anyhow::Error) -> u8 {
    if error.is::<Usage>() {
        2
    } else if is_timed_out(error) {
        124
    } else {
        1
    }
}

fn is_timed_out(error: &anyhow::Error) -> bool {
    let within = |advised: &Advised| is_timed_out(&advised.error);
    error.is::<TimedOut>() || error.downcast_ref().is_some_and(within)
}
