//! What a parent and the child that it forked do around their parts.

use anyhow::{Context, Result, bail};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use super::{holders, say};
use crate::errors::ChildReported;

/// Plays the child's part as the role `name`, and ends the child with it: it must not go
/// on as the parent.
pub fn as_child(name: &'static str, part: impl FnOnce() -> Result<()>) -> ! {
    say::rename(name, 1);
    holders::look_on();
    let status = match part() {
        Ok(()) => 0,
        Err(error) => {
            say::complain(&error);
            1
        }
    };
    std::process::exit(status)
}

/// Reaps the child, so that no zombie stays, and looks how it ended.
///
/// # Errors
/// When the child ended badly, which it has printed itself.
pub fn wait_for(child: Pid) -> Result<()> {
    match waitpid(child, None).context("waitpid")? {
        WaitStatus::Exited(_, 0) => {
            crate::say!("waitpid({child}) = {child}: the child has ended well");
            Ok(())
        }
        // However the child ended, as_child has printed it.
        WaitStatus::Exited(..) => Err(ChildReported.into()),
        other => bail!("the child ended badly: {other:?}"),
    }
}
