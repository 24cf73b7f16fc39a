//! Whether a process that left its number somewhere still lives.
//!
//! A process id alone is not enough: the kernel gives it to another process later. Id and
//! start time together name one process for ever (proc_pid_stat(5), field 22).

use std::io;

/// One process, distinct from all others that had or will have the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessIdentity {
    /// The process id.
    pub pid: u32,
    /// When it began, in clock ticks since the boot; 0 when that is not known.
    pub start: u64,
}

impl ProcessIdentity {
    /// This process.
    ///
    /// # Errors
    /// When /proc is not mounted, or is that of another PID namespace: `unshare -p` without
    /// `--mount-proc`. There each number is another process's.
    pub fn own() -> io::Result<ProcessIdentity> {
        let pid = std::process::id();
        let seen = std::fs::read_link("/proc/self")?;
        if seen.as_os_str() != pid.to_string().as_str() {
            return Err(io::Error::other(
                "/proc is of another PID namespace: mount -t proc proc /proc, as root",
            ));
        }
        let line = super::proc::bytes("/proc/self/stat")?;
        let (_, start) = state_and_start(&line).ok_or(io::ErrorKind::InvalidData)?;
        Ok(ProcessIdentity { pid, start })
    }

    /// Whether it still runs. A zombie has ended, though no process has waited for it yet. One of
    /// which /proc cannot be read, for want of a descriptor perhaps, is not known to have ended.
    pub fn lives(self) -> bool {
        let says_no = |error: io::Error| {
            matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH))
        };
        self.runs().unwrap_or_else(|error| !says_no(error))
    }

    /// The same, where it must be known.
    ///
    /// # Errors
    /// As the open of /proc/PID/stat: ENOENT if there is no such process, EMFILE and the like.
    pub fn runs(self) -> io::Result<bool> {
        let line = super::proc::bytes(format!("/proc/{}/stat", self.pid))?;
        Ok(state_and_start(&line).is_some_and(|(state, start)| {
            !matches!(state, b'Z' | b'X') && (self.start == 0 || self.start == start)
        }))
    }
}

/// The state of a process as proc_pid_stat(5) writes it: `S` sleeps, `Z` is a zombie;
/// `None` when there is no such process.
pub fn state(pid: u32) -> Option<char> {
    stat(pid).map(|(state, _)| char::from(state))
}

/// When a process began, in clock ticks since the boot; `None` when there is none.
pub fn start(pid: u32) -> Option<u64> {
    stat(pid).map(|(_, start)| start)
}

/// The status that waitpid(2) will return for a zombie: 0 after exit(0).
/// `None` for a process that runs, for none, and for another user's.
pub fn zombies_status(pid: u32) -> Option<i32> {
    let fields = fields(pid)?;
    let (state, status) = fields.split_once(' ')?;
    let status = status.split_whitespace().next_back()?;
    status.parse().ok().filter(|_| state == "Z")
}

/// How many pages a process has touched for the first time that needed no disk: its minor
/// faults, field 10. `None` when there is no such process.
pub fn minor_faults(pid: u32) -> Option<u64> {
    fields(pid)?.split_whitespace().nth(7)?.parse().ok()
}

/// The state and the start time of a process.
fn stat(pid: u32) -> Option<(u8, u64)> {
    state_and_start(&super::proc::bytes(format!("/proc/{pid}/stat")).ok()?)
}

/// The same, of that line: fields 3 and 22.
fn state_and_start(line: &[u8]) -> Option<(u8, u64)> {
    let fields = after_name(line)?;
    let mut fields = fields.split_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

/// The fields of a process's `stat` from the third on.
fn fields(pid: u32) -> Option<String> {
    after_name(&super::proc::bytes(format!("/proc/{pid}/stat")).ok()?)
}

/// The same, of that line.
pub fn after_name(line: &[u8]) -> Option<String> {
    // Field 2 is the program's name in brackets, and may hold anything, brackets too.
    let name_ends = line.iter().rposition(|byte| *byte == b')')?;
    Some(std::str::from_utf8(&line[name_ends + 1..]).ok()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::ProcessIdentity;

    #[test]
    fn a_process_lives_until_it_ends_even_if_nobody_waits_for_it() {
        let own = ProcessIdentity::own().unwrap();
        assert!(own.lives() && own.start > 0);
        assert!(
            !ProcessIdentity { start: own.start + 1, ..own }.lives(),
            "another's start"
        );
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let life = ProcessIdentity { pid: child.id(), start: 0 };
        // WNOWAIT leaves it a zombie.
        let id =
            nix::sys::wait::Id::Pid(nix::unistd::Pid::from_raw(life.pid as i32));
        let flags = nix::sys::wait::WaitPidFlag::WEXITED
            | nix::sys::wait::WaitPidFlag::WNOWAIT;
        nix::sys::wait::waitid(id, flags).unwrap();
        assert!(!life.lives() && super::state(life.pid) == Some('Z'), "a zombie");
        assert_eq!(super::zombies_status(life.pid), Some(0));
        assert_eq!(super::zombies_status(own.pid), None, "it runs");
        child.wait().unwrap();
        assert_eq!(super::state(life.pid), None);
        assert!(!life.lives());
        let gone = life.runs().unwrap_err();
        assert_eq!(gone.raw_os_error(), Some(libc::ENOENT));
    }
}
