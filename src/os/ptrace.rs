//! What nix lacks of ptrace(2): signals without a name, PTRACE_LISTEN, the union in
//! PTRACE_GET_SYSCALL_INFO, and a wait that knows them.

use nix::errno::Errno;
use nix::unistd::Pid;

/// What became of a traced thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It ended with this status.
    Exited(i32),
    /// This signal ended it.
    Killed(i32),
    /// It stopped, by this signal, or for this PTRACE_EVENT_… if that is not 0.
    Stopped {
        /// The signal; [`AT_CALL`] for a stop at a system call.
        signal: i32,
        /// PTRACE_EVENT_…, or 0.
        event: i32,
    },
}

/// The signal of a stop at a system call, under PTRACE_O_TRACESYSGOOD.
pub const AT_CALL: i32 = libc::SIGTRAP | 0x80;

/// `waitpid(-1, &status, __WALL | WNOHANG)`: a child whose state has changed; `None` if
/// none has. (nix's own refuses the real-time signals.)
///
/// # Errors
/// ECHILD when there is no child left.
pub fn next_change() -> nix::Result<Option<(Pid, Change)>> {
    let mut status = 0;
    // SAFETY: an out-parameter of the right type.
    let pid =
        unsafe { libc::waitpid(-1, &mut status, libc::__WALL | libc::WNOHANG) };
    let pid = Errno::result(pid)?;
    if pid == 0 {
        return Ok(None);
    }
    let change = if libc::WIFEXITED(status) {
        Change::Exited(libc::WEXITSTATUS(status))
    } else if libc::WIFSIGNALED(status) {
        Change::Killed(libc::WTERMSIG(status))
    } else {
        Change::Stopped { signal: libc::WSTOPSIG(status), event: status >> 16 }
    };
    Ok(Some((Pid::from_raw(pid), change)))
}

/// How a stopped thread goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Go {
    /// PTRACE_SYSCALL: to its next system call.
    ToNextCall,
    /// PTRACE_CONT: system calls no longer stop it.
    Freely,
    /// PTRACE_LISTEN: it stays stopped, as SIGSTOP has it, until SIGCONT.
    StayStopped,
}

/// `ptrace(PTRACE_SYSCALL, pid, 0, signal)` and its kin; `signal` is delivered, unless 0.
///
/// # Errors
/// ESRCH when the thread has been killed meanwhile.
pub fn resume(pid: Pid, go: Go, signal: i32) -> nix::Result<()> {
    let request = match go {
        Go::ToNextCall => libc::PTRACE_SYSCALL,
        Go::Freely => libc::PTRACE_CONT,
        Go::StayStopped => libc::PTRACE_LISTEN,
    };
    let nothing = std::ptr::null_mut::<libc::c_void>();
    let signal = libc::c_long::from(signal);
    // SAFETY: these requests touch no memory of ours.
    let done = unsafe { libc::ptrace(request, pid.as_raw(), nothing, signal) };
    Errno::result(done).map(drop)
}

/// Where in a system call a thread has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Before it: its number, and its six arguments.
    Entry {
        /// AUDIT_ARCH_…: the architecture whose numbers these are.
        arch: u32,
        /// The number.
        number: u64,
        /// The arguments, meant or not.
        args: [u64; 6],
    },
    /// After it: its value, or the error as a negative number.
    Exit(i64),
    /// Not at a system call.
    Elsewhere,
}

/// `ptrace(PTRACE_GET_SYSCALL_INFO, pid, …)`.
///
/// # Errors
/// ESRCH when the thread has been killed meanwhile; EIO before Linux 5.3.
pub fn point(pid: Pid) -> nix::Result<Point> {
    let info = nix::sys::ptrace::syscall_info(pid)?;
    // SAFETY: `op` says which member of the union the kernel has filled in.
    Ok(unsafe {
        match info.op {
            libc::PTRACE_SYSCALL_INFO_ENTRY => Point::Entry {
                arch: info.arch,
                number: info.u.entry.nr,
                args: info.u.entry.args,
            },
            libc::PTRACE_SYSCALL_INFO_EXIT => Point::Exit(info.u.exit.sval),
            _ => Point::Elsewhere,
        }
    })
}

/// The size of a `siginfo_t`.
pub const SIGINFO: usize = size_of::<libc::siginfo_t>();

/// `ptrace(PTRACE_GETSIGINFO, pid, …)`: the bytes of the `siginfo_t` of the signal that
/// is about to be delivered.
///
/// # Errors
/// ESRCH when the thread has been killed meanwhile; EINVAL in a group-stop.
pub fn siginfo(pid: Pid) -> nix::Result<[u8; SIGINFO]> {
    let info = nix::sys::ptrace::getsiginfo(pid)?;
    // SAFETY: a plain C struct, whose bytes the kernel has filled in, all of them.
    Ok(unsafe { std::mem::transmute::<libc::siginfo_t, [u8; SIGINFO]>(info) })
}
