//! What a thread waits for, from the system call that it sleeps in: the number and the
//! arguments that /proc/PID/task/TID/syscall shows.

use super::model::Wants;

/// A call, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A descriptor must allow this.
    Descriptor(i32, Wants),
    /// One of those in an array of `struct pollfd`, at this address.
    Polls(u64, u64),
    /// One of those in three sets of bits, of so many descriptors.
    Sets(u64, [u64; 3]),
    /// One of those that this epoll descriptor has.
    Epoll(i32),
    /// The System V queue of this identifier.
    Queue(i32, Wants),
    /// The System V set of this identifier, the operations at this address, and their number.
    Semaphores(i32, u64, u64),
    /// The word of memory at this address.
    Word(u64),
    /// A word that only this process's threads change: FUTEX_PRIVATE_FLAG.
    OwnWord,
    /// A child of this pid; 0 for any.
    Child(i32),
    /// The name at this address, relative to this descriptor.
    Open(i32, u64, Option<bool>),
    /// The address of a socket at this address, of this length, for this descriptor.
    Connect(i32, u64, u64),
    /// Nothing but time.
    Time,
    /// What we do not know.
    Unknown,
}

/// A thread's call: its name, what it means, whether it ends after some time.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) means: Meaning,
    pub(super) timed: bool,
}

/// Reads a line of /proc/PID/task/TID/syscall; `None` for a thread that runs.
pub(super) fn of_line(line: &str) -> Option<Call> {
    let mut words = line.split_whitespace();
    let number: usize = words.next()?.parse().ok()?;
    let hex = |word: &str| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok();
    let mut args = [0; 6];
    for arg in &mut args {
        *arg = hex(words.next()?)?;
    }
    let name = syscalls::Sysno::new(number).map_or("?", |call| call.name());
    let (means, timed) = meaning(name, args);
    Some(Call { name: name.to_owned(), means, timed })
}

/// Whether these flags of open(2) open a FIFO for writing.
fn writes(flags: i32) -> Option<bool> {
    Some(flags & libc::O_ACCMODE == libc::O_WRONLY)
}

fn meaning(name: &str, args: [u64; 6]) -> (Meaning, bool) {
    use Meaning::{Descriptor, Sets, Word};
    let int = |at: usize| args[at] as i32;
    let given = |at: usize| args[at] != 0;
    let means = match name {
        "read" | "readv" | "pread64" | "recvfrom" | "recvmsg" => {
            Descriptor(int(0), Wants::Data)
        }
        "recvmmsg" => return (Descriptor(int(0), Wants::Data), given(4)),
        "write" | "writev" | "pwrite64" | "sendto" | "sendmsg" | "sendmmsg"
        | "sendfile" | "vmsplice" => Descriptor(int(0), Wants::Room),
        "accept" | "accept4" => Descriptor(int(0), Wants::Client),
        "connect" => Meaning::Connect(int(0), args[1], args[2]),
        "flock" => Descriptor(int(0), Wants::Lock),
        "fcntl" if matches!(int(1), libc::F_SETLKW | libc::F_OFD_SETLKW) => {
            Descriptor(int(0), Wants::Lock)
        }
        "mq_timedreceive" => return (Descriptor(int(0), Wants::Data), given(4)),
        "mq_timedsend" => return (Descriptor(int(0), Wants::Room), given(4)),
        "poll" => return (Meaning::Polls(args[0], args[1]), int(2) > 0),
        "ppoll" => return (Meaning::Polls(args[0], args[1]), given(2)),
        "select" | "pselect6" => {
            return (Sets(args[0], [args[1], args[2], args[3]]), given(4));
        }
        "epoll_wait" | "epoll_pwait" => {
            return (Meaning::Epoll(int(0)), int(3) > 0);
        }
        "epoll_pwait2" => return (Meaning::Epoll(int(0)), given(3)),
        "msgrcv" => Meaning::Queue(int(0), Wants::Data),
        "msgsnd" => Meaning::Queue(int(0), Wants::Room),
        "semop" => Meaning::Semaphores(int(0), args[1], args[2]),
        "semtimedop" => {
            return (Meaning::Semaphores(int(0), args[1], args[2]), given(3));
        }
        "futex" if int(1) & 0x80 != 0 => return (Meaning::OwnWord, given(3)),
        "futex" if matches!(int(1) & 0x7f, 0 | 6 | 9 | 11 | 13) => {
            return (Word(args[0]), given(3));
        }
        "wait4" => Meaning::Child(int(0).max(0)),
        "waitid" if int(0) == 1 => Meaning::Child(int(1)),
        "waitid" if int(0) == 0 => Meaning::Child(0),
        "waitid" if int(0) == 3 => Descriptor(int(1), Wants::End),
        "openat" => Meaning::Open(int(0), args[1], writes(int(2))),
        "open" => Meaning::Open(libc::AT_FDCWD, args[0], writes(int(1))),
        // Its flags are in memory.
        "openat2" => Meaning::Open(int(0), args[1], None),
        "nanosleep" | "clock_nanosleep" => return (Meaning::Time, true),
        _ => Meaning::Unknown,
    };
    (means, false)
}

/// What wchan shows of a thread whose call we may not see: the call's name, and what it wants.
/// The names are the kernel's functions, and change.
pub(super) fn of_wchan(function: &str) -> Option<(&'static str, Wants)> {
    let contains = |part: &str| function.contains(part);
    Some(match function {
        _ if contains("pipe_read") => ("read", Wants::Data),
        _ if contains("pipe_write") => ("write", Wants::Room),
        _ if contains("wait_for_partner") => ("open", Wants::Opening(None)),
        _ if contains("unix_stream_read") => ("recv", Wants::Data),
        _ if contains("unix_wait_for_peer") => ("send", Wants::Room),
        _ if contains("inet_csk_accept") => ("accept", Wants::Client),
        _ if contains("locks_lock_inode") || contains("flock") => {
            ("flock", Wants::Lock)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeping_thread_names_its_call_and_descriptor() {
        let number = syscalls::Sysno::read.id();
        let line = format!("{number} 0x3 0x55 0x2000 0x0 0x0 0x0 0x7f 0x7f");
        let call = of_line(&line).unwrap();
        assert_eq!(call.name, "read");
        assert_eq!(call.means, Meaning::Descriptor(3, Wants::Data));
        assert!(!call.timed);
        assert!(of_line("running\n").is_none());
        assert!(of_line("-1 0x7ff 0x7f\n").is_none());
    }

    #[test]
    fn a_time_limit_is_seen_in_the_arguments() {
        let timed = |name, args| meaning(name, args).1;
        assert!(!timed("ppoll", [1, 1, 0, 0, 0, 0]));
        assert!(timed("ppoll", [1, 1, 0x7f, 0, 0, 0]));
        assert!(!timed("epoll_wait", [1, 1, 1, 0xffff_ffff, 0, 0]));
        assert!(timed("epoll_wait", [1, 1, 1, 100, 0, 0]));
    }
}
