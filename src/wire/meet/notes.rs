//! What a lock file says: which objects the roles at its place have made.

use std::ffi::OsStr;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::uio::pread;
use nix::unistd::write;

use super::names::kernel_prefix;
use os::cleanup::Object;
use os::cleanup::notes::{MADE_WITH, Noted, beside};
use os::signal::retry_on_intr;

/// The text of a lock file, with where it lies.
#[derive(Debug)]
pub struct Notes<'a> {
    text: Vec<u8>,
    lock: &'a Path,
}

impl<'a> Notes<'a> {
    /// Reads the lock file that is open as `file`, and lies at `lock`.
    ///
    /// # Errors
    /// EIO and the like.
    pub fn read(file: BorrowedFd<'_>, lock: &'a Path) -> std::io::Result<Notes<'a>> {
        let mut text = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let at = text.len() as i64;
            match retry_on_intr(|| pread(file, &mut piece, at))? {
                0 => return Ok(Notes { text, lock }),
                n => text.extend_from_slice(&piece[..n]),
            }
        }
    }

    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
    }

    /// What roles of ours have made here. A note of anything that no role at this place
    /// can have made counts for nothing.
    pub fn objects(&self) -> Vec<Object> {
        self.objects_of(&kernel_prefix())
    }

    /// As [`Notes::objects`], where our kernel names begin with `prefix`.
    pub fn objects_of(&self, prefix: &str) -> Vec<Object> {
        let (dir, stem) = split(self.lock);
        self.lines()
            .filter_map(Noted::parse)
            .filter(|noted| noted.can_be_of(stem, prefix.as_bytes()))
            .map(|noted| object(noted, dir))
            .collect()
    }

    /// Whether these objects wait for a peer, though no role is there.
    pub fn is_pending(&self) -> bool {
        self.lines().any(|line| line == PENDING)
    }

    /// Whether it is a lock file of ours at all: another program's file may be called so, too.
    pub fn are_ours(&self) -> bool {
        self.lines().next().is_none_or(|first| {
            first == OURS || first == PENDING || Noted::parse(first).is_some()
        })
    }

    /// Whether nothing has been written yet.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Adds a line for `object` to the file, once.
    pub(super) fn add(
        &self,
        file: BorrowedFd<'_>,
        object: &Object,
    ) -> std::io::Result<()> {
        if self.objects().contains(object) {
            return Ok(());
        }
        self.append(file, &line(object))
    }

    /// Adds a line, in one write(2).
    pub(super) fn append(
        &self,
        file: BorrowedFd<'_>,
        line: &[u8],
    ) -> std::io::Result<()> {
        // On a full disk an earlier line may have been cut short.
        let cut = self.text.last().is_some_and(|last| *last != b'\n');
        let text = [if cut { &b"\n"[..] } else { b"" }, line, b"\n"].concat();
        match retry_on_intr(|| write(file, &text))? {
            n if n == text.len() => Ok(()),
            _ => Err(Errno::ENOSPC.into()),
        }
    }
}

/// The first line of a lock file.
pub(super) const OURS: &[u8] = b"a meeting place of ipclab";

/// The line of a lock file whose objects wait for a peer.
pub(super) const PENDING: &[u8] = b"pending";

/// The directory of a lock file, and the name that it is beside.
pub(super) fn split(lock: &Path) -> (&Path, &[u8]) {
    let file = lock.file_name().unwrap_or_default().as_bytes();
    let dir = lock.parent().unwrap_or(Path::new("/"));
    (dir, file.strip_suffix(beside::LOCK.as_bytes()).unwrap_or(file))
}

/// An object as a line of a lock file. What has a path is beside that file, and is noted by
/// its last component; what is in /dev/shm by its path.
fn line(object: &Object) -> Vec<u8> {
    let name =
        |path: &Path| path.file_name().unwrap_or_default().as_bytes().to_vec();
    match object {
        Object::Path(path) => [b"path ".to_vec(), name(path)].concat(),
        Object::File(path) => [b"file ".to_vec(), name(path)].concat(),
        _ => describe(object).into_bytes(),
    }
}

/// An object in words. For what is in the kernel, [`parse`] is the inverse.
pub fn describe(object: &Object) -> String {
    match object {
        Object::Path(path) => format!("path {}", path.display()),
        Object::File(path) => format!("file {}", path.display()),
        Object::Queue(name) => format!("queue {name}"),
        Object::Segment(name) => format!("segment {name}"),
        Object::SysvQueue(id) => format!("sysv-queue {id}"),
        Object::SysvSegment(id) => format!("sysv-segment {id}"),
        Object::Semaphore(path, made_with) => {
            format!("semaphore {}{MADE_WITH}{made_with}", path.display())
        }
        Object::SysvSemaphore(id, made_with) => {
            format!("sysv-semaphore {id}{MADE_WITH}{made_with}")
        }
    }
}

/// Reads the words for an object in the kernel whose name, if it has one, begins with
/// `prefix`.
///
/// ```
/// use os::cleanup::Object;
/// use ipclab_wire::meet::{describe, parse};
///
/// let queue = Object::Queue("/ipclab-1000-posixmq".into());
/// assert_eq!(parse(&describe(&queue), "/ipclab-1000-"), Some(queue.clone()));
/// assert_eq!(parse(&describe(&queue), "/ipclab-2000-"), None);
/// let made_with_3 = Object::Semaphore("/dev/shm/sem.mine".into(), 3);
/// assert_eq!(parse(&describe(&made_with_3), "/mi"), Some(made_with_3));
/// assert_eq!(parse("path /etc/passwd", "/"), None);
/// ```
pub fn parse(line: &str, prefix: &str) -> Option<Object> {
    let noted = Noted::parse(line.as_bytes())?;
    let prefix = prefix.as_bytes();
    let ours = match noted {
        Noted::Path(_) | Noted::File(_) => false,
        Noted::Queue(name) | Noted::Segment(name) => {
            name.starts_with(prefix) && !name[1..].contains(&b'/')
        }
        Noted::Semaphore(path, _) => {
            path.strip_prefix(b"/dev/shm/").is_some_and(|file| {
                let file = file.strip_prefix(b"sem.").unwrap_or(file);
                file.starts_with(&prefix[1..]) && !file.contains(&b'/')
            })
        }
        Noted::SysvQueue(_) | Noted::SysvSegment(_) | Noted::SysvSemaphore(..) => {
            true
        }
    };
    ours.then(|| object(noted, Path::new("/")))
}

fn object(noted: Noted<'_>, dir: &Path) -> Object {
    let path = |bytes: &[u8]| dir.join(OsStr::from_bytes(bytes));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match noted {
        Noted::Path(name) => Object::Path(path(name)),
        Noted::File(name) => Object::File(path(name)),
        Noted::Queue(name) => Object::Queue(text(name)),
        Noted::Segment(name) => Object::Segment(text(name)),
        Noted::SysvQueue(id) => Object::SysvQueue(id),
        Noted::SysvSegment(id) => Object::SysvSegment(id),
        Noted::Semaphore(file, value) => Object::Semaphore(path(file), value),
        Noted::SysvSemaphore(id, value) => Object::SysvSemaphore(id, value),
    }
}
