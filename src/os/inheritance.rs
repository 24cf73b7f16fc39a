//! The state that execve(2) hands on: what becomes of it here.
//!
//! A program's parent decides about its signals, and may not know it: a shell has
//! SIGINT ignored for `command &`, nohup(1) SIGHUP, and what a server has blocked or ignored
//! for itself, its children inherit. All decisions stand in this file:
//!
//! | inherited | this program | our own processes | programs of the user's (`trace`) |
//! |---|---|---|---|
//! | SIGINT, SIGTERM, SIGHUP, SIGQUIT ignored | stay so | as by default | as inherited |
//! | SIGCHLD ignored: no child could be waited for | as by default | as by default | as inherited |
//! | SIGPIPE, SIGXFSZ | their calls fail instead | as by default | as inherited |
//! | blocked signals | none is | none is | as inherited |
//! | pending signals that end: of the four above, SIGALRM | they end it | none | none |
//! | other pending signals: they were another program's | forgotten | none | none |
//! | an alarm(2) that runs: a limit of the process that set it | it expires | none | none |
//! | descriptors after the standard three | stay, for a role that is told their numbers | none | as inherited |
//! | a umask(2) that takes the owner's rights | the owner keeps them | likewise | as inherited |
//!
//! "Our own processes" are the roles of a demo, the stage of an experiment, the ends of a
//! measurement: this program steers them, and has them in process groups of their own where
//! a terminal's signals should come to it alone. Limits (getrlimit(2)), priorities and
//! personality(2) are the user's affair, and are left alone.

use std::io;
use std::mem::zeroed;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;
use std::sync::{Once, OnceLock};

use libc::{c_int, mode_t, sighandler_t, sigset_t};
use nix::sys::signal::{SigSet, Signal};

use super::signal::is_ignored;

/// The signals whose disposition this program changes as it begins, and to what.
///
/// A call that would raise one of the last two fails instead, by EPIPE or EFBIG. A handler
/// that does nothing is as good as SIG_IGN, and no program that we start inherits it; Rust's
/// `Command` undoes the SIG_IGN of SIGPIPE alone.
const CHANGED: [(c_int, fn() -> sighandler_t); 3] = [
    (libc::SIGCHLD, || libc::SIG_DFL),
    (libc::SIGPIPE, || libc::SIG_IGN),
    (libc::SIGXFSZ, || nothing as *const () as sighandler_t),
];

/// The signals that were sent to end this process, whatever program it ran then.
const ENDING: [c_int; 5] =
    [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGALRM];

/// The mode bits of a file's owner.
const OWNER: mode_t = 0o700;

/// What was inherited, as far as it was changed.
struct Inherited {
    mask: sigset_t,
    ignored: [bool; CHANGED.len()],
    umask: mode_t,
}

static INHERITED: OnceLock<Inherited> = OnceLock::new();

// ANCHOR: take_over
/// Makes of the inherited state what this program can work with. The first thing in `main`,
/// while there is one thread.
pub fn take_over() {
    // SAFETY: plain system calls; the sets are valid, and the handler does nothing.
    unsafe {
        let ignored = CHANGED
            .map(|(signal, now)| libc::signal(signal, now()) == libc::SIG_IGN);
        let umask = libc::umask(0o022);
        if umask != 0o022 {
            libc::umask(umask & !OWNER);
        }
        let mut mask = zeroed();
        libc::sigprocmask(libc::SIG_BLOCK, ptr::null(), &mut mask);
        let _ = INHERITED.set(Inherited { mask, ignored, umask });
        if (1..=libc::SIGRTMAX()).any(|signal| libc::sigismember(&mask, signal) == 1)
        {
            forget_pending();
            let mut none = zeroed();
            libc::sigemptyset(&mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &none, ptr::null_mut());
        }
    }
}

extern "C" fn nothing(_: c_int) {}

/// Takes what is pending, but for the signals that end this process.
///
/// # Safety
/// There is one thread.
unsafe fn forget_pending() {
    // SAFETY: valid sets, no time to wait.
    unsafe {
        let mut others = zeroed();
        libc::sigfillset(&mut others);
        for signal in ENDING {
            libc::sigdelset(&mut others, signal);
        }
        let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        while libc::sigtimedwait(&others, ptr::null_mut(), &now) > 0 {}
    }
}
// ANCHOR_END: take_over

/// The signals that were blocked as this program began, by their numbers.
pub fn blocked_at_start() -> Vec<c_int> {
    let Some(Inherited { mask, .. }) = INHERITED.get() else { return Vec::new() };
    // SAFETY: a valid set.
    let blocked = |signal: &c_int| unsafe { libc::sigismember(mask, *signal) == 1 };
    (1..=libc::SIGRTMAX()).filter(blocked).collect()
}

/// The signals that were ignored as this program began, by their numbers.
pub fn ignored_at_start() -> Vec<c_int> {
    let was = |signal: &c_int| {
        let changed = CHANGED.iter().position(|(changed, _)| changed == signal);
        match changed.zip(INHERITED.get()) {
            Some((index, inherited)) => inherited.ignored[index],
            None => is_ignored(*signal),
        }
    };
    (1..=libc::SIGRTMAX()).filter(was).collect()
}

/// The umask(2) with which this program began.
pub fn umask_at_start() -> mode_t {
    INHERITED.get().map_or(0, |inherited| inherited.umask)
}

/// SIGINT, SIGTERM and SIGHUP, those of them that end this program: one that is ignored
/// stays ignored, and blocked it would come through a signalfd(2) all the same.
pub fn ends_us() -> SigSet {
    let all = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
    all.into_iter().filter(|signal| !is_ignored(*signal as c_int)).collect()
}

/// Makes `command`, one of our own, start with no signal blocked and none ignored, and with
/// the descriptors that it is given: what it opens has the same numbers everywhere.
///
/// Since Rust 1.66 a command inherits its parent's mask, and we block the signals that we
/// read from a signalfd.
pub fn start_afresh(command: &mut Command) {
    static ONCE: Once = Once::new();
    ONCE.call_once(keep_descriptors);
    // SAFETY: between fork and exec only async-signal-safe calls are made.
    unsafe {
        command.pre_exec(|| {
            for signal in 1..=libc::SIGRTMAX() {
                // EINVAL for SIGKILL, SIGSTOP, and those that are the C library's own.
                libc::signal(signal, libc::SIG_DFL);
            }
            let mut none = zeroed();
            libc::sigemptyset(&mut none);
            set_mask(&none)
        });
    }
}

/// Sets FD_CLOEXEC on what this program was started with, after the standard three: what it
/// opens itself has it already.
fn keep_descriptors() {
    let all = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let numbers = all.filter_map(|fd| fd.file_name().to_str()?.parse().ok());
    for number in numbers.filter(|number| *number > libc::STDERR_FILENO) {
        // SAFETY: changes a flag; EBADF when another thread has closed it by now.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

/// Makes `command`, a program of the user's, start as it would have without us.
pub fn hand_on(command: &mut Command) {
    let Some(inherited) = INHERITED.get() else { return start_afresh(command) };
    // SAFETY: between fork and exec only async-signal-safe calls are made.
    unsafe {
        command.pre_exec(|| {
            for ((signal, _), ignored) in CHANGED.into_iter().zip(inherited.ignored)
            {
                let was = if ignored { libc::SIG_IGN } else { libc::SIG_DFL };
                libc::signal(signal, was);
            }
            libc::umask(inherited.umask);
            set_mask(&inherited.mask)
        });
    }
}

fn set_mask(mask: &sigset_t) -> io::Result<()> {
    // SAFETY: a valid set, and no out-parameter.
    match unsafe { libc::sigprocmask(libc::SIG_SETMASK, mask, ptr::null_mut()) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
