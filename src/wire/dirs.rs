//! The directories that the environment names.
//!
//! What `IPCLAB_DIR` says is the user's own choice, and may be relative. For the others the
//! XDG Base Directory Specification has a rule: one that is relative or empty is ignored.

use std::ffi::OsString;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::unistd::geteuid;

/// The list in a run's directory ([`scratch`]) of what must go with it, a line each as in a
/// lock file. Its director has it locked.
pub const LIST: &str = ".made";

/// The value of an environment variable, if it is set and not empty.
pub fn set(variable: &str) -> Option<OsString> {
    std::env::var_os(variable).filter(|value| !value.is_empty())
}

/// The directory that a variable names, unless it is relative.
fn absolute(variable: &str) -> Option<PathBuf> {
    set(variable).map(PathBuf::from).filter(|dir| dir.is_absolute())
}

/// `$IPCLAB_DIR`, else `$XDG_RUNTIME_DIR/ipclab`, else `/tmp/ipclab-UID`.
pub fn runtime() -> PathBuf {
    let chosen = set("IPCLAB_DIR").map(PathBuf::from);
    chosen
        .or_else(|| Some(absolute("XDG_RUNTIME_DIR")?.join("ipclab")))
        .unwrap_or_else(|| PathBuf::from(format!("/tmp/ipclab-{}", geteuid())))
}

/// `$XDG_STATE_HOME/ipclab`, else `~/.local/state/ipclab`; `None` without a home.
pub fn state() -> Option<PathBuf> {
    let home = || Some(absolute("HOME")?.join(".local/state"));
    Some(absolute("XDG_STATE_HOME").or_else(home)?.join("ipclab"))
}

/// `$XDG_CACHE_HOME/ipclab`, else `~/.cache/ipclab`; `None` without a home.
pub fn cache() -> Option<PathBuf> {
    let home = || Some(absolute("HOME")?.join(".cache"));
    Some(absolute("XDG_CACHE_HOME").or_else(home)?.join("ipclab"))
}

/// `$TMPDIR`, else `/tmp`.
pub fn temporary() -> PathBuf {
    set("TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from)
}

/// A directory of this run's own in [`temporary`], which goes when it is dropped.
///
/// # Errors
/// ENOENT, EACCES, ENOSPC, EROFS.
pub fn scratch(prefix: &str) -> Result<tempfile::TempDir> {
    let parent = temporary();
    let made = scratch_in(&parent, prefix);
    made.with_context(|| format!("mkdir in TMPDIR, {}", parent.display()))
}

/// The same in another directory.
///
/// # Errors
/// ENOENT, EACCES, ENOSPC, EROFS.
pub fn scratch_in(
    parent: &Path,
    prefix: &str,
) -> std::io::Result<tempfile::TempDir> {
    // Ours alone, whatever the umask: a role that runs in it refuses what others may write to.
    let mode = Permissions::from_mode(0o700);
    let made =
        tempfile::Builder::new().prefix(prefix).permissions(mode).tempdir_in(parent);
    made.map_err(|error| {
        // tempfile hides the number behind words; its mkdir(2) was the last call that failed.
        let last = std::io::Error::last_os_error();
        if last.kind() == error.kind() { last } else { error }
    })
}
