//! Signal handlers for those who want to see what becomes of a signal.

use std::io;
use std::mem::zeroed;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use super::signal::Info;

/// How often [`count`]'s handler has run in this process.
static COUNTED: AtomicU32 = AtomicU32::new(0);

/// `sigaction(signal, { handler, flags }, NULL)`, with a handler that counts.
///
/// # Errors
/// EINVAL for SIGKILL, SIGSTOP, and what is no signal.
pub fn count(signal: i32, flags: i32) -> io::Result<()> {
    extern "C" fn handler(_: i32) {
        COUNTED.fetch_add(1, Ordering::SeqCst); // an atomic: async-signal-safe
    }
    install(signal, flags, handler)
}

/// How often the handler of [`count`] has run.
pub fn counted() -> u32 {
    COUNTED.load(Ordering::SeqCst)
}

/// `sigaction(signal, { handler, flags }, NULL)`.
///
/// The handler runs in the middle of whatever the program does. It should call nothing
/// that is not async-signal-safe (signal-safety(7)); one that does so to show what happens
/// must be in a process of its own that holds nothing of value.
///
/// # Errors
/// EINVAL for SIGKILL, SIGSTOP, and what is no signal.
pub fn install(
    signal: i32,
    flags: i32,
    handler: extern "C" fn(i32),
) -> io::Result<()> {
    // SAFETY: a valid sigaction with an empty mask; the handler is a function of the type
    // that is called when SA_SIGINFO is not set.
    let done = unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = flags & !libc::SA_SIGINFO;
        libc::sigaction(signal, &action, ptr::null_mut())
    };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// `signal(signal, SIG_IGN)`: the kernel throws it away. For SIGCHLD it does more: children
/// that end leave no zombie (wait(2)).
///
/// # Errors
/// EINVAL for SIGKILL, SIGSTOP, and what is no signal.
pub fn ignore(signal: i32) -> io::Result<()> {
    // SAFETY: takes plain numbers, and installs no function of ours.
    let before = unsafe { libc::signal(signal, libc::SIG_IGN) };
    if before == libc::SIG_ERR { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// `sigpending(&set)`: whether `signal` was sent to this process and waits, blocked.
pub fn is_pending(signal: i32) -> bool {
    // SAFETY: an out-parameter of the right type, then a look into it.
    unsafe {
        let mut set = zeroed();
        libc::sigpending(&mut set) == 0 && libc::sigismember(&set, signal) == 1
    }
}

/// `sigtimedwait({signal}, &info, {0, 0})`: takes one if one waits; the signal must be
/// blocked.
///
/// # Errors
/// EAGAIN when none waits.
pub fn take(signal: i32) -> io::Result<Info> {
    // SAFETY: a valid set, an out-parameter of the right type, and a plain time.
    unsafe {
        let mut set = zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, signal);
        let mut info = zeroed();
        let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        if libc::sigtimedwait(&set, &mut info, &now) == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(Info::from(&info))
    }
}

/// `kill(pid, signal)`, for every signal: nix names no real-time signal.
///
/// # Errors
/// ESRCH, EPERM; not EAGAIN, since a signal that cannot be queued is lost in silence.
pub fn kill(pid: nix::unistd::Pid, signal: i32) -> io::Result<()> {
    // SAFETY: takes plain numbers.
    let done = unsafe { libc::kill(pid.as_raw(), signal) };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
