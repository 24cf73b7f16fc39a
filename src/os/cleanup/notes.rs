//! A line of a lock file, taken apart without allocating: a role that leaves its rendezvous
//! inside a signal handler reads the notes, too.
//!
//! What lies beside the lock file is noted by its name alone, so that neither what the
//! directory is called nor from where it is looked at can make another thing of it.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

/// What a role makes beside the name of its rendezvous, by what is added to that name.
pub mod beside {
    /// A file that is being written, and is renamed once it is whole.
    pub const UNFINISHED: &str = ".tmp";
    /// Where a server writes its address.
    pub const ADDRESS: &str = ".addr";
    /// Where the maker of a memory without a name writes how to open it.
    pub const MEMFD: &str = ".memfd";
    /// What a receiver has claimed; its pid follows.
    pub const TAKEN: &str = ".taken-";
    /// The lock file.
    pub const LOCK: &str = ".lock";
}

/// What stands in a semaphore's line before the value that it was made with.
pub const MADE_WITH: &str = ", made with ";

/// The directory of POSIX shared memory objects and semaphores, with its slash.
const SHM: &[u8] = b"/dev/shm/";

/// What a line of a lock file names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted<'a> {
    /// A name beside the lock file.
    Path(&'a [u8]),
    /// A file of messages beside the lock file.
    File(&'a [u8]),
    /// A POSIX message queue, `/name`.
    Queue(&'a [u8]),
    /// A POSIX shared memory object, `/name`.
    Segment(&'a [u8]),
    /// A System V message queue's identifier.
    SysvQueue(i32),
    /// A System V shared memory identifier.
    SysvSegment(i32),
    /// The path of a semaphore that is a file, and the value that it was made with.
    Semaphore(&'a [u8], u32),
    /// A System V semaphore's identifier, and the value that it was made with.
    SysvSemaphore(i32, u32),
}

impl Noted<'_> {
    /// Reads a line of a lock file.
    pub fn parse(line: &[u8]) -> Option<Noted<'_>> {
        let space = line.iter().position(|byte| *byte == b' ')?;
        let (kind, name) = (&line[..space], &line[space + 1..]);
        if name.contains(&0) {
            return None; // which no name has
        }
        let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse().ok();
        let made = || -> Option<(&[u8], u32)> {
            let at = name
                .windows(MADE_WITH.len())
                .rposition(|w| w == MADE_WITH.as_bytes())?;
            let value = &name[at + MADE_WITH.len()..];
            Some((&name[..at], std::str::from_utf8(value).ok()?.parse().ok()?))
        };
        Some(match kind {
            b"path" => Noted::Path(name),
            b"file" => Noted::File(name),
            b"queue" => Noted::Queue(name),
            b"segment" => Noted::Segment(name),
            b"sysv-queue" => Noted::SysvQueue(number(name)?),
            b"sysv-segment" => Noted::SysvSegment(number(name)?),
            b"semaphore" => {
                made().map(|(path, value)| Noted::Semaphore(path, value))?
            }
            b"sysv-semaphore" => {
                let (id, value) = made()?;
                Noted::SysvSemaphore(number(id)?, value)
            }
            _ => return None,
        })
    }

    /// Whether a role at the rendezvous `stem` (its lock file is `STEM.lock`) can have made it.
    /// Our kernel names begin with `prefix`, unless `--at` gave one.
    pub fn can_be_of(&self, stem: &[u8], prefix: &[u8]) -> bool {
        let given = match stem.iter().position(|byte| *byte == b':') {
            Some(colon) => &stem[colon + 1..],
            None => stem,
        };
        let is_kernel_name = |name: &[u8]| {
            name.strip_prefix(prefix) == Some(stem)
                || name.strip_prefix(b"/") == Some(given)
        };
        match self {
            Noted::Path(name) | Noted::File(name) => {
                name.strip_prefix(stem).is_some_and(is_made_beside)
            }
            Noted::Queue(name) | Noted::Segment(name) => is_kernel_name(name),
            // Below /dev/shm, a POSIX semaphore is called `sem.` and its name.
            Noted::Semaphore(path, _) => {
                path.strip_prefix(SHM).is_some_and(|file| {
                    let is = |name: &[u8]| {
                        name.strip_prefix(&prefix[1..]) == Some(stem)
                            || name == given
                    };
                    is(file) || file.strip_prefix(b"sem.").is_some_and(is)
                })
            }
            // Their owner and creator are looked at before they are removed.
            Noted::SysvQueue(_)
            | Noted::SysvSegment(_)
            | Noted::SysvSemaphore(..) => true,
        }
    }
}

/// Whether a role adds `suffix` to the name of its rendezvous.
fn is_made_beside(suffix: &[u8]) -> bool {
    let is = |known: &str| suffix == known.as_bytes();
    let of_an_address =
        suffix.strip_prefix(beside::ADDRESS.as_bytes()).unwrap_or(suffix);
    let taken = suffix.strip_prefix(beside::TAKEN.as_bytes());
    suffix.is_empty()
        || is(beside::ADDRESS)
        || is(beside::MEMFD)
        || of_an_address == beside::UNFINISHED.as_bytes()
        || taken.is_some_and(|pid| pid.iter().all(u8::is_ascii_digit))
}

/// Shows `look` each line of the lock file, until it returns true; returns whether it
/// did. Async-signal-safe if `look` is.
pub(super) fn any_line(
    lock: BorrowedFd<'_>,
    look: &mut dyn FnMut(&[u8]) -> bool,
) -> bool {
    let mut buffer = [0_u8; 1024];
    let (mut have, mut offset) = (0, 0);
    loop {
        let room = &mut buffer[have..];
        // SAFETY: an open descriptor, and a buffer of the size that is given.
        let n = unsafe {
            libc::pread(
                lock.as_raw_fd(),
                room.as_mut_ptr().cast(),
                room.len(),
                offset,
            )
        };
        if n <= 0 {
            return false;
        }
        (have, offset) = (have + n as usize, offset + n as libc::off_t);
        while let Some(end) = buffer[..have].iter().position(|byte| *byte == b'\n') {
            if look(&buffer[..end]) {
                return true;
            }
            buffer.copy_within(end + 1..have, 0);
            have -= end + 1;
        }
        if have == buffer.len() {
            have = 0; // no line of ours is so long
        }
    }
}

/// `parts` one after another as a C string in `buffer`; `None` if it is too small.
pub(super) fn joined<'b>(buffer: &'b mut [u8], parts: &[&[u8]]) -> Option<&'b CStr> {
    let mut end = 0;
    for part in parts.iter().chain([&&b"\0"[..]]) {
        buffer.get_mut(end..end + part.len())?.copy_from_slice(part);
        end += part.len();
    }
    CStr::from_bytes_with_nul(&buffer[..end]).ok()
}
