//! A run's own directory, with a list of what must go with it; and those that a killed
//! director left, which the next one finds by their list that nobody has locked.

use std::fs::{File, TryLockError, rename};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::dirs;
use crate::experiments::stage::LIST;
use crate::os::cleanup::{Object, remove_now};
use crate::wire::meet::{notes, parse};

const PREFIX: &str = "ipclab-";

/// The directory of a run that is being directed; it goes when this is dropped.
#[derive(Debug)]
pub(in crate::lab) struct Scratch {
    dir: TempDir,
    /// Locked for as long as the director lives: flock(2) ends with it, even by kill -9.
    _list: File,
}

impl Scratch {
    /// Makes one.
    ///
    /// # Errors
    /// EACCES or ENOSPC in TMPDIR.
    pub(in crate::lab) fn make() -> Result<Scratch> {
        let dir = dirs::scratch(PREFIX)?;
        // Locked before it has its name: under that name nobody finds it unlocked.
        let unnamed = dir.path().join(".new");
        let list = File::create_new(&unnamed).context("open in TMPDIR")?;
        list.lock().context("flock")?;
        rename(unnamed, dir.path().join(LIST)).context("rename in TMPDIR")?;
        Ok(Scratch { dir, _list: list })
    }

    /// Where it is.
    pub(in crate::lab) fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// What a director that was killed has left.
#[derive(Debug)]
pub(in crate::lab) struct Left {
    /// Its directory.
    pub(in crate::lab) dir: PathBuf,
    /// What its run has made outside of it; each may be gone.
    pub(in crate::lab) objects: Vec<Object>,
    _list: File,
}

impl Left {
    /// Removes it all. What cannot be removed is left to the next one.
    pub(in crate::lab) fn remove(self) {
        for object in &self.objects {
            remove_now(object);
        }
        let _ = std::fs::remove_dir_all(self.dir);
    }
}

/// What killed directors of this user have left in TMPDIR.
pub(in crate::lab) fn left_behind() -> Vec<Left> {
    let Ok(entries) = dirs::temporary().read_dir() else { return Vec::new() };
    let dirs = entries.filter_map(Result::ok).filter(|entry| {
        entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes())
    });
    dirs.filter_map(|entry| stale(entry.path())).collect()
}

/// What the lock files in `dir` name: it was the runtime directory of roles that died.
fn noted(dir: &Path) -> Vec<Object> {
    let Ok(entries) = dir.read_dir() else { return Vec::new() };
    let locks = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "lock"));
    let noted = locks.filter_map(|lock| notes(&File::open(lock).ok()?).ok());
    noted.flatten().collect()
}

/// `dir`, if it is ours and its director has gone.
fn stale(dir: PathBuf) -> Option<Left> {
    // TMPDIR is shared: whoever made the list says what we remove.
    let own = |owner: u32| owner == rustix::process::geteuid().as_raw();
    let found = dir.symlink_metadata().ok()?;
    if !found.is_dir() || !own(found.uid()) {
        return None;
    }
    let mut list = File::options()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW)
        .open(dir.join(LIST))
        .ok()?;
    if !own(list.metadata().ok()?.uid()) {
        return None;
    }
    match list.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => return None,
    }
    let mut text = String::new();
    list.read_to_string(&mut text).ok()?;
    let objects = text.lines().filter_map(parse).chain(noted(&dir)).collect();
    Some(Left { dir, objects, _list: list })
}
