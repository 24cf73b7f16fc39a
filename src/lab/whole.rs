//! A file that is written whole or not at all: half a picture is no picture.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use nix::errno::Errno;
use wire::errors::{Advise, errno};

/// Writes the text to a new file beside `path`, which then gets that name: whoever reads `path`
/// finds the old file or the new one. A device or a FIFO is written to as it is.
///
/// # Errors
/// When the file cannot be written; `path` is as it was then.
pub fn write(path: &Path, text: &str) -> Result<()> {
    let written = match fs::metadata(path) {
        Ok(about) if !about.is_file() => fs::write(path, text),
        _ => replace(path, text),
    };
    written.with_context(|| format!("write {}", path.display())).advise(elsewhere)
}

fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    // The name may be a symbolic link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let directory = path.parent().filter(|it| !it.as_os_str().is_empty());
    // As open(2) makes it: less the umask.
    let permissions = fs::metadata(&path)
        .map_or(Permissions::from_mode(0o666), |about| about.permissions());
    let mut new = tempfile::Builder::new()
        .permissions(permissions)
        .tempfile_in(directory.unwrap_or(Path::new(".")))
        .map_err(bare)?;
    new.as_file_mut().write_all(text.as_bytes())?;
    new.persist(&path).map(drop).map_err(|failure| failure.error)
}

/// The error without the name of the new file, which nobody has chosen.
fn bare(error: std::io::Error) -> std::io::Error {
    let inner = error.get_ref().and_then(|error| error.source());
    let inner = inner.and_then(|inner| inner.downcast_ref::<std::io::Error>());
    let number = inner.and_then(std::io::Error::raw_os_error);
    number.map_or(error, std::io::Error::from_raw_os_error)
}

fn elsewhere(error: &anyhow::Error) -> Option<&'static str> {
    matches!(
        errno(error),
        Some(Errno::ENOSPC | Errno::EDQUOT | Errno::EACCES | Errno::EROFS)
    )
    .then_some("choose another place for the file")
}
