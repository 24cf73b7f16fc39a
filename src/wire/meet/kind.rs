//! What is at a path that a role comes to.

use std::fmt;
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use anyhow::{Context, Result, anyhow};

/// The types of a file (inode(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// S_IFREG
    Regular,
    /// S_IFDIR
    Directory,
    /// S_IFLNK: it could lead anywhere.
    Link,
    /// S_IFIFO
    Fifo,
    /// S_IFSOCK
    Socket,
    /// S_IFCHR, S_IFBLK
    Device,
}

impl FileKind {
    /// lstat(2): what is at `path`; `None` where nothing is.
    ///
    /// # Errors
    /// EACCES, ENOTDIR and the like.
    pub fn at(path: &Path) -> Result<Option<FileKind>> {
        let kind = match path.symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            about => about.with_context(|| format!("lstat {}", path.display()))?,
        };
        let kind = kind.file_type();
        Ok(Some(match () {
            () if kind.is_file() => FileKind::Regular,
            () if kind.is_dir() => FileKind::Directory,
            () if kind.is_symlink() => FileKind::Link,
            () if kind.is_fifo() => FileKind::Fifo,
            () if kind.is_socket() => FileKind::Socket,
            () => FileKind::Device,
        }))
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileKind::Regular => "a regular file",
            FileKind::Directory => "a directory",
            FileKind::Link => "a link",
            FileKind::Fifo => "a FIFO",
            FileKind::Socket => "a socket",
            FileKind::Device => "a device",
        })
    }
}

/// The error where something else is at `path` than a role can use.
pub fn is_taken(path: &Path, what: impl fmt::Display) -> anyhow::Error {
    anyhow!("{} is {what}; use --at NAME for another place", path.display())
}
