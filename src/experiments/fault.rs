//! Loads and stores that may end the process which makes them.

use anyhow::{Result, bail};
use nix::sys::signal::Signal;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use super::child::End;
use super::stage::Stage;

/// What came of an access: the byte, or the signal that ended the process.
pub(super) type Access = Result<u8, Signal>;

/// Does `access` in a child called `who`, and reports what came of it as the call `what`.
///
/// # Errors
/// EAGAIN at the limit of processes.
pub(super) fn attempt(
    stage: &Stage,
    who: &'static str,
    what: &str,
    access: impl FnOnce() -> u8,
) -> Result<Access> {
    let child = stage.fork(who, |_| {
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?; // no core file
        Ok(access())
    })?;
    match child.end()? {
        End::Done(byte) => {
            stage.event(who, format!("{what}: {}", shown(Ok(byte))));
            Ok(Ok(byte))
        }
        End::Killed(signal @ (Signal::SIGBUS | Signal::SIGSEGV)) => {
            stage.event(who, format!("{what}: killed by {signal}"));
            Ok(Err(signal))
        }
        End::Killed(signal) => bail!("the {who} was ended by {signal}"),
    }
}

/// In words: a letter, a number, the name of a signal.
pub(super) fn shown(access: Access) -> String {
    match access {
        Ok(byte) if byte.is_ascii_graphic() => char::from(byte).to_string(),
        Ok(byte) => byte.to_string(),
        Err(signal) => signal.to_string(),
    }
}
