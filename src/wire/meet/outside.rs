//! A meeting place seen from outside: by `ipclab clean`, and by a peer that was told where.

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;

use super::notes::{Notes, split};
use super::presence::{lock_options, same_file, take, why_no_lock};
use os::cleanup::Object;
use os::owner::Owner;

/// A place where no role of ours is, and which none enters as long as this value lives.
#[derive(Debug)]
pub struct Deserted {
    file: File,
    lock: PathBuf,
}

/// The state of a place, as a look from outside shows it.
#[derive(Debug)]
pub enum PlaceState {
    /// The place is deserted.
    Deserted(Deserted),
    /// A role of ours is there, which has made these.
    InUse(Vec<Object>),
    /// The file is not ours, so it says nothing: the reason.
    Foreign(String),
    /// It is no lock file of ours, or not there any more.
    None,
}

impl Deserted {
    /// Looks at the place whose lock file is at `lock`, and is called after one of the
    /// chapters, for all that is known from an empty one.
    ///
    /// # Errors
    /// EIO and the like.
    pub fn at(lock: &Path, is_chapter: impl Fn(&str) -> bool) -> Result<PlaceState> {
        let file = match lock_options().write(true).open(lock) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(PlaceState::None);
            }
            Err(error) => {
                return Ok(PlaceState::Foreign(
                    Errno::from_raw(error.raw_os_error().unwrap_or(0)).to_string(),
                ));
            }
        };
        if let Some(why) = why_no_lock(&file)? {
            return Ok(PlaceState::Foreign(why));
        }
        let free = take(&file, libc::F_WRLCK, lock)?;
        // The last role out may have unlinked it, and a role that came then made another.
        if !same_file(&file, lock) {
            return Ok(PlaceState::None);
        }
        let deserted = Deserted { file, lock: lock.to_owned() };
        let notes = deserted.notes()?;
        let (_, stem) = split(lock);
        // An empty file may be any program's, unless a chapter's lock file is called so.
        let chapter = stem.split(|byte| *byte == b':').next().unwrap_or_default();
        let is_chapter = std::str::from_utf8(chapter).is_ok_and(is_chapter);
        if !notes.are_ours() || notes.is_empty() && !is_chapter {
            return Ok(PlaceState::None);
        }
        Ok(match free {
            true => PlaceState::Deserted(deserted),
            false => PlaceState::InUse(notes.objects()),
        })
    }

    /// What the lock file says. (Through this one descriptor: closing a second one would drop
    /// the lock.)
    ///
    /// # Errors
    /// EIO and the like.
    pub fn notes(&self) -> Result<Notes<'_>> {
        let read = Notes::read(self.file.as_fd(), &self.lock);
        read.with_context(|| format!("read {}", self.lock.display()))
    }

    /// When the last note was written, in seconds since 1970.
    ///
    /// # Errors
    /// EIO and the like.
    pub fn noted_at(&self) -> Result<i64> {
        Ok(self.file.metadata().context("fstat the lock file")?.mtime())
    }
}

/// What is in a small file that a peer has published; `None` where none is. A file is read
/// only if it is this user's own.
///
/// # Errors
/// When something else is there.
pub fn published(path: &Path) -> Result<Option<Vec<u8>>> {
    const MOST: usize = 128;
    let name = path.display();
    let file = match lock_options().open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            bail!("{name} is a link; use --at NAME for another place")
        }
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => {
            bail!("{name} is no regular file; use --at NAME for another place")
        }
        Err(error) => return Err(error).with_context(|| format!("open {name}")),
    };
    let about = file.metadata().with_context(|| format!("fstat {name}"))?;
    let why = match () {
        () if about.is_dir() => Some("is a directory".to_owned()),
        () if !about.is_file() => Some("is no regular file".to_owned()),
        () => Owner::of_open(&file).context("fstat")?.why_not_ours(),
    };
    if let Some(why) = why {
        bail!("{name} {why}; use --at NAME for another place");
    }
    let mut text = vec![0; MOST];
    let n = nix::unistd::read(&file, &mut text)
        .with_context(|| format!("read {name}"))?;
    text.truncate(n);
    Ok(Some(text))
}
