//! The scheduling policy of a thread that runs only when no other wants to (sched(7)).

use std::io;

/// `sched_setscheduler(0, SCHED_IDLE, {0})`: this thread runs when its CPU would sleep.
///
/// # Errors
/// EPERM where a sandbox forbids it.
pub fn sched_idle() -> io::Result<()> {
    // SAFETY: all zero is a valid sched_param, whose fields are plain numbers.
    let none: libc::sched_param = unsafe { std::mem::zeroed() };
    // SAFETY: `none` lives until the call returns, which reads it.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const none) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
