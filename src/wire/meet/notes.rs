//! What a lock file says: which objects the roles at its place have made.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::PathBuf;

use crate::os::cleanup::Object;

/// Adds a line for `object` to the lock file, once.
pub(super) fn note(mut lock: &File, object: &Object) -> std::io::Result<()> {
    if notes(lock)?.contains(object) {
        return Ok(());
    }
    lock.write_all(format!("{}\n", describe(object)).as_bytes())
}

/// The objects that a lock file names: what roles of ours have made there.
///
/// # Errors
/// As read(2).
pub fn notes(lock: &File) -> std::io::Result<Vec<Object>> {
    Ok(text_of(lock)?.lines().filter_map(parse).collect())
}

fn text_of(mut lock: &File) -> std::io::Result<String> {
    let mut text = String::new();
    lock.rewind()?;
    lock.read_to_string(&mut text)?;
    Ok(text)
}

/// The line of a lock file whose objects wait for someone, though nobody is there.
pub(super) const PENDING: &str = "pending\n";

/// Whether the objects of a lock file wait for someone.
///
/// # Errors
/// As read(2).
pub fn is_pending(lock: &File) -> std::io::Result<bool> {
    Ok(text_of(lock)?.lines().any(|line| line == PENDING.trim_end()))
}

/// What a semaphore's line says before the value that it was made with.
const MADE_WITH: &str = ", made with ";

/// An object as a line of a lock file; [`parse`] is its inverse.
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

/// Reads a line of a lock file.
///
/// ```
/// use ipclab::os::cleanup::Object;
/// use ipclab::wire::meet::{describe, parse};
///
/// let queue = Object::Queue("/ipclab-1000-posixmq".into());
/// assert_eq!(parse(&describe(&queue)), Some(queue));
/// let made_with_3 = Object::Semaphore("/dev/shm/sem.mine".into(), 3);
/// assert_eq!(parse(&describe(&made_with_3)), Some(made_with_3));
/// assert_eq!(parse("something else"), None);
/// ```
pub fn parse(line: &str) -> Option<Object> {
    let (kind, name) = line.split_once(' ')?;
    match kind {
        "path" => Some(Object::Path(PathBuf::from(name))),
        "file" => Some(Object::File(PathBuf::from(name))),
        "queue" => Some(Object::Queue(name.into())),
        "segment" => Some(Object::Segment(name.into())),
        "sysv-queue" => name.parse().ok().map(Object::SysvQueue),
        "sysv-segment" => name.parse().ok().map(Object::SysvSegment),
        "semaphore" => {
            let (path, made_with) = name.rsplit_once(MADE_WITH)?;
            Some(Object::Semaphore(PathBuf::from(path), made_with.parse().ok()?))
        }
        "sysv-semaphore" => {
            let (id, made_with) = name.rsplit_once(MADE_WITH)?;
            Some(Object::SysvSemaphore(id.parse().ok()?, made_with.parse().ok()?))
        }
        _ => None,
    }
}
