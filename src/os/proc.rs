//! Reading /proc.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::unistd::Pid;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::retry_on_intr;
use rustix::path::Arg;

use super::process_identity;

/// The text of a file of /proc. The names in it, of programs, paths and sockets, are whatever
/// bytes that a process chose: where they are not UTF-8, they have U+FFFD, and the rest counts.
///
/// # Errors
/// As open(2) and read(2): ENOENT and ESRCH of a process that has ended.
pub fn text(path: impl AsRef<Path>) -> io::Result<String> {
    let bytes = bytes(path)?;
    Ok(String::from_utf8(bytes).unwrap_or_else(|error| {
        String::from_utf8_lossy(error.as_bytes()).into_owned()
    }))
}

/// The bytes of a file of /proc: open(2), and read(2) until there are no more. std::fs::read
/// also asks for a size, which such a file does not have.
///
/// # Errors
/// As open(2) and read(2).
pub fn bytes(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let file = open(CWD, path.as_ref(), OFlags::empty())?;
    let mut bytes = Vec::with_capacity(4096);
    loop {
        if bytes.len() == bytes.capacity() {
            bytes.reserve(4096);
        }
        let read =
            || rustix::io::read(&file, rustix::buffer::spare_capacity(&mut bytes));
        if retry_on_intr(read)? == 0 {
            return Ok(bytes);
        }
    }
}

/// Opens a file below a directory of /proc for reading.
///
/// # Errors
/// As openat(2).
pub fn open(at: impl AsFd, path: impl Arg, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC;
    path.into_with_c_str(|path| {
        retry_on_intr(|| openat(&at, path, flags, Mode::empty()))
    })
    .map_err(io::Error::from)
}

/// The value of a line `name value` in a file of /proc.
pub fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// The children of a process's first thread, without those that have been waited for.
pub fn children(pid: Pid) -> Vec<Pid> {
    let all = text(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let all = all.split_whitespace().filter_map(|pid| pid.parse().ok());
    all.map(Pid::from_raw).collect()
}

/// How often a thread has gone to sleep: `voluntary_ctxt_switches` of proc_pid_status(5). A
/// process's id is that of its first thread.
///
/// # Errors
/// As [`text`], when it has ended; ENODATA where the kernel does not count.
pub fn times_slept(thread: Pid) -> io::Result<u64> {
    let status = text(format!("/proc/{thread}/status"))?;
    let times = field(&status, "voluntary_ctxt_switches:");
    let times = times.and_then(|times| times.parse().ok());
    times.ok_or_else(|| io::Error::from_raw_os_error(libc::ENODATA))
}

/// What a process does, as /proc shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// It sleeps in the system call of this number.
    Asleep(usize),
    /// It sleeps, and this user may not see where.
    AsleepSomewhere,
    /// It has ended.
    Ended,
    /// It runs, or is stopped, or is just falling asleep.
    Other,
}

/// What the process `pid` does now.
pub fn activity(pid: Pid) -> Activity {
    match process_identity::state(pid.as_raw().unsigned_abs()) {
        None | Some('Z' | 'X') => return Activity::Ended,
        Some('S') => {}
        Some(_) => return Activity::Other,
    }
    match text(format!("/proc/{pid}/syscall")) {
        Err(_) => Activity::AsleepSomewhere,
        Ok(line) => {
            let number = line.split(' ').next().and_then(|word| word.parse().ok());
            number.map_or(Activity::Other, Activity::Asleep)
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::process_identity;

    #[test]
    fn a_name_that_is_not_utf_8_hides_nothing_of_a_process() {
        let thread = std::thread::spawn(|| {
            nix::sys::prctl::set_name(c"\xff) Z\n1").unwrap();
            let id = nix::unistd::gettid().as_raw() as u32;
            assert_eq!(process_identity::state(id), Some('R'));
            assert!(
                process_identity::start(id)
                    >= process_identity::start(std::process::id())
            );
            let status = super::text(format!("/proc/{id}/status")).unwrap();
            assert!(status.starts_with("Name:\t\u{fffd}) Z\\n1\n"), "{status}");
            assert!(status.contains(&format!("\nTgid:\t{}\n", std::process::id())));
        });
        thread.join().unwrap();
    }
}
