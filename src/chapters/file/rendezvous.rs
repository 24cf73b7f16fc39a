//! The path of the file, and what may be there.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::errno::Errno;

use os::cleanup::{Object, remove_now};
use wire::errors::errno;
use wire::meet::{FileKind, Presence, Rendezvous, SoleRole, is_taken};
use wire::say;

/// Enters the meeting place. What a killed role left unfinished is removed first.
pub(super) fn enter(
    rendezvous: &Rendezvous,
    role: Option<SoleRole>,
) -> Result<(PathBuf, Presence)> {
    let path = rendezvous.path();
    let presence = rendezvous.arrive(role)?;
    is_there(&path)?;
    if presence.is_alone() {
        for object in presence.noted()? {
            if let Object::Path(stale) = &object
                && stale.symlink_metadata().is_ok()
            {
                say!("unlink({}): a role that was killed left it", stale.display());
                remove_now(&object)
                    .with_context(|| format!("unlink {}", stale.display()))?;
            }
        }
    }
    Ok((path, presence))
}

/// Whether a file is there.
///
/// # Errors
/// When something else is there, or a link, which could lead anywhere.
pub(super) fn is_there(path: &Path) -> Result<bool> {
    match FileKind::at(path)? {
        Some(FileKind::Regular) => Ok(true),
        None => Ok(false),
        Some(kind) => Err(is_taken(path, format_args!("{kind}, not a file"))),
    }
}

/// The directory in which `path` is.
pub(super) fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if dir != Path::new("") => dir,
        _ => Path::new("."),
    }
}

/// What is full, when a write fails.
pub(super) fn full(error: &anyhow::Error) -> Option<&'static str> {
    match errno(error)? {
        Errno::ENOSPC => {
            Some("its file system is full: free some room, or choose --at DIR/NAME")
        }
        Errno::EDQUOT => Some("your quota there is used up (quota(1))"),
        Errno::EFBIG => Some("a file may not grow so large: see ulimit -f"),
        _ => None,
    }
}
