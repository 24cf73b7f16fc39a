//! What happens between fork and exec, and a bare fork.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::resource::{Resource, setrlimit};
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::onlooker;

/// Makes `command` die with its parent: prctl(PR_SET_PDEATHSIG, SIGKILL).
///
/// A demo or a test that is itself killed leaves no orphan. It is the *thread* that
/// spawns whose end counts, so spawn from one that lasts.
pub fn die_with_parent(command: &mut Command) {
    let parent = std::process::id() as i32;
    // SAFETY: between fork and exec only prctl and getppid run, which are async-signal-safe.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == -1 {
                return Err(io::Error::last_os_error());
            }
            // A parent that had ended before the prctl sends no signal.
            if libc::getppid() != parent {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        });
    }
}

/// Makes `command` lead a session of its own, and so a process group: setsid(2). It has no
/// terminal then.
pub fn lead_session(command: &mut Command) {
    // SAFETY: between fork and exec only setsid runs, which is async-signal-safe.
    unsafe { command.pre_exec(|| Ok(nix::unistd::setsid().map(drop)?)) };
}

/// Makes `command` run on `cpus` alone, from its first instruction on:
/// sched_setaffinity(2).
pub fn pin(command: &mut Command, cpus: &[usize]) {
    let mut only = CpuSet::new();
    cpus.iter().for_each(|cpu| only.set(*cpu));
    // SAFETY: between fork and exec only sched_setaffinity runs.
    unsafe { command.pre_exec(move || Ok(sched_setaffinity(None, &only)?)) };
}

/// Makes `command` start with this limit: setrlimit(2).
pub fn limit(command: &mut Command, what: Resource, soft: u64, hard: u64) {
    // SAFETY: between fork and exec only setrlimit runs.
    unsafe { command.pre_exec(move || Ok(setrlimit(what, soft, hard)?)) };
}

/// Gives `command` the descriptor `given`, under the number that it has here.
pub fn leave_open(command: &mut Command, given: OwnedFd) {
    // SAFETY: between fork and exec only fcntl runs.
    unsafe {
        command.pre_exec(move || Ok(fcntl_setfd(&given, FdFlags::empty())?));
    }
}

/// Below it are the numbers that [`give`] gives, and not those that it has to give.
const GIVEN: RawFd = 16;

/// Gives `command` the descriptor `given` under the number `number`: `dup2(given, number)`.
///
/// Whatever has that number in this process is close-on-exec, as all that Rust opens.
///
/// # Errors
/// EMFILE.
///
/// # Panics
/// When the number is over 15: what is still to be given may have it.
pub fn give(command: &mut Command, given: OwnedFd, number: RawFd) -> io::Result<()> {
    assert!((0..GIVEN).contains(&number), "descriptor {number} is not given");
    // Out of the way of all that are given.
    let given = fcntl_dupfd_cloexec(&given, GIVEN)?;
    // SAFETY: between fork and exec only dup2 runs, which touches no memory.
    unsafe {
        command.pre_exec(move || match libc::dup2(given.as_raw_fd(), number) {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
    Ok(())
}

/// What fork(2) returned, in the parent and in the child.
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
/// When the process has a second thread, or it cannot be known: the child would get its
/// locks, not the thread.
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
    let mut onlooker = onlooker::held_off();
    assert!(has_one_thread_but(*onlooker), "fork with several threads");
    last();
    // SAFETY: this process has one thread but for an onlooker that sleeps, so the child's copy of
    // the memory is whole; `last` is a caller in this crate that reads the clock.
    Ok(match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Parent { child } => Forked::Parent(child),
        nix::unistd::ForkResult::Child => {
            *onlooker = false; // fork(2) copies the calling thread alone
            Forked::Child
        }
    })
}

/// `fork()` beside other threads: the child calls `last`, and ends. That is what no program may do:
/// of all threads the child has the one that forked, and each lock as it was at that moment.
///
/// # Errors
/// EAGAIN at the limit of processes; ENOMEM.
pub fn fork_with_threads(last: fn() -> bool) -> nix::Result<nix::unistd::Pid> {
    // SAFETY: the child takes a lock, which is an atomic, and may sleep in futex(2) for ever, as its
    // caller is to show. If it gets the lock, it writes at the most, and makes _exit(2).
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Parent { child } => Ok(child),
        nix::unistd::ForkResult::Child => {
            // SAFETY: takes a plain number, and does not return.
            unsafe { libc::_exit(i32::from(!last())) }
        }
    }
}

/// Whether this is the process's only thread, but for an `onlooker`. Without /proc an error of
/// unshare(2) shows it: the call "unshares" what one thread alone has, and so changes nothing.
fn has_one_thread_but(onlooker: bool) -> bool {
    match std::fs::read_dir("/proc/self/task") {
        Ok(threads) => threads.count() == 1 + usize::from(onlooker),
        // SAFETY: takes a plain number, and changes nothing.
        Err(_) => onlooker || unsafe { libc::unshare(libc::CLONE_THREAD) == 0 },
    }
}

/// Takes over a descriptor that the program was started with, by its number; before anything
/// of its own could have that number.
///
/// What came through execve(2) has no FD_CLOEXEC, and all that this program opens for itself
/// has it: so a number that is its own by now is refused, and so is one taken twice.
///
/// # Errors
/// EBADF when the program was started without it, or when it is one of the standard three.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_GETFD only looks.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    if flags == -1 || flags & libc::FD_CLOEXEC != 0 || number <= libc::STDERR_FILENO
    {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: it is open, and without FD_CLOEXEC, so no value of this program owns it; with
    // the flag that it gets here, it is not taken a second time.
    unsafe {
        libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC);
        Ok(OwnedFd::from_raw_fd(number))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::process::Stdio;

    use super::*;

    #[test]
    fn each_descriptor_is_given_whatever_number_it_has_here() {
        // 3 is to become 4, and 4 is to become 3, if these happen to be their numbers.
        let (mut one, first) = std::io::pipe().unwrap();
        let (mut two, second) = std::io::pipe().unwrap();
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "echo first >&3; echo second >&4; echo own >/proc/self/fd/$OWN",
        ]);
        let (mut three, low) = std::io::pipe().unwrap();
        let own = fcntl_dupfd_cloexec(&low, GIVEN).unwrap();
        drop(low);
        command.env("OWN", own.as_raw_fd().to_string()).stdin(Stdio::null());
        give(&mut command, first.into(), 4).unwrap();
        give(&mut command, second.into(), 3).unwrap();
        leave_open(&mut command, own);
        assert!(command.status().unwrap().success());
        drop(command);
        let mut said = [String::new(), String::new(), String::new()];
        one.read_to_string(&mut said[0]).unwrap();
        two.read_to_string(&mut said[1]).unwrap();
        three.read_to_string(&mut said[2]).unwrap();
        assert_eq!(said, ["second\n", "first\n", "own\n"]);
    }

    #[test]
    fn a_process_with_a_second_thread_does_not_fork() {
        let (read, mut write) = std::io::pipe().unwrap();
        let mut read = File::from(OwnedFd::from(read));
        let second = std::thread::spawn(move || read.read(&mut [0]).unwrap());
        assert!(!has_one_thread_but(false));
        // SAFETY: as in `has_one_thread_but`.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_THREAD) }, -1);
        write.write_all(b"x").unwrap();
        second.join().unwrap();
    }
}
