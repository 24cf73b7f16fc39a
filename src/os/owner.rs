//! The owner of a thing, and the other users that may change it. If other users can guess a
//! name, they may make the thing before us: so whatever is found, and not made, is looked at
//! first.

use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{getegid, geteuid};

/// The permission bits by which others may write.
const OTHERS_WRITE: u32 = 0o022;

/// The owner of a thing, its creator, and the users that may write to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    pub(super) uid: u32,
    /// A System V object has a creator besides (`cuid`, svipc(7)), which cannot be changed: an
    /// owner can be given a thing, and its creator may still remove and change it.
    pub(super) creator: u32,
    pub(super) mode: u32,
    /// Which thing it is: device and inode number, or an identifier.
    pub(super) which: (u64, u64),
}

impl Owner {
    /// Of an open file: fstat(2).
    ///
    /// # Errors
    /// EBADF and the like.
    pub fn of_open(file: impl AsFd) -> nix::Result<Owner> {
        nix::sys::stat::fstat(file.as_fd()).map(|about| Owner::from(&about))
    }

    /// Of what is at a path, links not followed: lstat(2).
    ///
    /// # Errors
    /// ENOENT, EACCES.
    pub fn at(path: &Path) -> nix::Result<Owner> {
        nix::sys::stat::lstat(path).map(|about| Owner::from(&about))
    }

    /// Whether this user made it and owns it. Async-signal-safe.
    pub fn is_us(&self) -> bool {
        let us = geteuid().as_raw();
        (self.uid, self.creator) == (us, us)
    }

    /// Whether `other` is the owner of the same thing.
    pub fn is_same(&self, other: &Owner) -> bool {
        self.which == other.which
    }

    /// Why it may not be used as our own; `None` when this user made it, and no other may
    /// write to it.
    pub fn why_not_ours(&self) -> Option<String> {
        let us = geteuid().as_raw();
        // A link's own bits say nothing (symlink(7)), and no link is followed.
        let link = self.mode & libc::S_IFMT == libc::S_IFLNK;
        match self {
            Owner { uid, .. } if *uid != us => Some(format!("belongs to uid {uid}")),
            Owner { creator, .. } if *creator != us => {
                Some(format!("was made by uid {creator}"))
            }
            Owner { mode, .. } if mode & OTHERS_WRITE != 0 && !link => Some(
                format!("may be written by others (mode {:04o})", mode & 0o7777),
            ),
            _ => None,
        }
    }
}

impl From<&std::fs::Metadata> for Owner {
    fn from(about: &std::fs::Metadata) -> Owner {
        Owner {
            uid: about.uid(),
            creator: about.uid(),
            mode: about.mode(),
            which: (about.dev(), about.ino()),
        }
    }
}

impl From<&libc::stat> for Owner {
    fn from(about: &libc::stat) -> Owner {
        Owner {
            uid: about.st_uid,
            creator: about.st_uid,
            mode: about.st_mode,
            which: (about.st_dev, about.st_ino),
        }
    }
}

/// Why another user could replace a directory that is below `dir`:
/// that user owns it, or all may write to it and it is not sticky (chmod(2), S_ISVTX).
///
/// # Errors
/// ENOENT, EACCES.
pub fn why_not_above_ours(dir: &Path) -> std::io::Result<Option<String>> {
    let about = dir.symlink_metadata()?;
    let (uid, mode, us) = (about.uid(), about.mode(), geteuid().as_raw());
    if uid != us && uid != 0 && !is_from_outside(uid) {
        return Ok(Some(format!("belongs to uid {uid}")));
    }
    // A group of one's own alone is what many systems give each user.
    let group = uid == us && about.gid() != getegid().as_raw();
    let others = if group { OTHERS_WRITE } else { 0o002 };
    let open = about.is_dir() && mode & others != 0 && mode & libc::S_ISVTX == 0;
    let what = format!("may be written by others (mode {:04o})", mode & 0o7777);
    Ok(open.then_some(what))
}

/// Whether the number stands for all users that this user namespace does not know, as root
/// outside of it (user_namespaces(7)).
fn is_from_outside(uid: u32) -> bool {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let unknown = read("/proc/sys/kernel/overflowuid");
    let is_known = read("/proc/self/uid_map").lines().any(|line| {
        let mut words = line.split_whitespace().map(str::parse::<u64>);
        match (words.next(), words.next(), words.next()) {
            (Some(Ok(first)), _, Some(Ok(count))) => {
                (first..first + count).contains(&uid.into())
            }
            _ => false,
        }
    });
    unknown.trim().parse() == Ok(uid) && !is_known
}
