//! What happens between fork and exec, and a bare fork.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Makes `command` die with its parent: prctl(PR_SET_PDEATHSIG, SIGKILL).
///
/// A demo or a test that is itself killed leaves no orphan. It is the *thread* that
/// spawns whose end counts, so spawn from one that lasts.
pub fn die_with_parent(command: &mut Command) {
    // SAFETY: between fork and exec only prctl runs, which is async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == -1 {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
}

/// Makes `command` start with no signal blocked and none of ours ignored:
/// `sigprocmask(SIG_SETMASK, {}, NULL)`, `signal(…, SIG_DFL)`.
///
/// Since Rust 1.66 a command inherits its parent's mask. A parent that blocks SIGINT to
/// read it from a signalfd would start children that cannot be interrupted; and so would
/// one that a script has started with `&`, where the shell has SIGINT ignored.
pub fn reset_signals(command: &mut Command) {
    // SAFETY: between fork and exec only sigemptyset, sigprocmask and signal run, which
    // are async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGHUP]
            {
                if libc::signal(signal, libc::SIG_DFL) == libc::SIG_ERR {
                    return Err(io::Error::last_os_error());
                }
            }
            let mut none = std::mem::zeroed();
            libc::sigemptyset(&mut none);
            let none = &raw const none;
            if libc::sigprocmask(libc::SIG_SETMASK, none, std::ptr::null_mut()) == -1
            {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
}

/// Runs `before` in the child, between fork and exec, where a caller drops privileges
/// or lowers a limit.
///
/// # Errors
/// What `before` returns; then the command does not start.
pub fn before_exec(
    command: &mut Command,
    before: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) {
    // SAFETY: the callers in this crate make plain system calls there, and allocate
    // nothing.
    unsafe { command.pre_exec(before) };
}

/// Gives `command` the descriptor `given` under the number `number`: `dup2(given, number)`.
///
/// Whatever has that number in this process is close-on-exec, as all that Rust opens.
pub fn give(command: &mut Command, given: OwnedFd, number: RawFd) {
    before_exec(command, move || {
        // SAFETY: dup2 and fcntl touch no memory, and are async-signal-safe.
        let given = unsafe {
            match given.as_raw_fd() == number {
                true => libc::fcntl(number, libc::F_SETFD, 0),
                false => libc::dup2(given.as_raw_fd(), number),
            }
        };
        if given == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    });
}

/// What fork(2) returned, and to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forked {
    /// This is the parent; the child has this process id.
    Parent(nix::unistd::Pid),
    /// This is the child.
    Child,
}

/// `fork()`: two processes return from it, each with a copy of the memory.
///
/// # Errors
/// EAGAIN at the limit of processes; ENOMEM.
///
/// # Panics
/// When the process has a second thread: the child would get its locks, not the thread.
pub fn fork() -> nix::Result<Forked> {
    fork_after(|| ())
}

/// As [`fork`], and `last` runs right before fork(2): the look for threads takes time, too,
/// which is not the call's.
///
/// # Errors
/// As [`fork`].
///
/// # Panics
/// As [`fork`].
pub fn fork_after(last: impl FnOnce()) -> nix::Result<Forked> {
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    assert_eq!(threads, 1, "fork with {threads} threads");
    last();
    // SAFETY: this process has one thread, so the child's copy of the memory is whole;
    // `last` is a caller in this crate that reads the clock.
    Ok(match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Parent { child } => Forked::Parent(child),
        nix::unistd::ForkResult::Child => Forked::Child,
    })
}

/// Takes over a descriptor that the program was started with, by its number.
///
/// # Errors
/// EBADF when no such descriptor is open, or when it is one of the standard three.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_GETFD only looks.
    let open = unsafe { libc::fcntl(number, libc::F_GETFD) } != -1;
    if !open || number <= libc::STDERR_FILENO {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: it is open and, by the contract of `--ready-fd`, given to us to own.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
