//! The directory of a demo's, a trace's, an experiment's or a bench's own, with a list of what
//! must go with it; and those that a killed one left, which `ipclab clean` and the next
//! experiment find by their list that is not locked.

use std::fs::{File, TryLockError, rename};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::clean::in_kernel;
use chapters::find;
use os::cleanup::{Object, remove_now};
use os::owner::Owner;
use wire::dirs::{self, LIST};
use wire::meet::{Deserted, PlaceState, check_dir, kernel_prefix_of, parse};

const PREFIX: &str = "ipclab-";

/// How the kernel objects of probes are called, after their prefix: two of a kind may be there at
/// the same time.
pub const PROBED: [&str; 2] = ["doctor", "doctor-too"];

/// The directory of a run that is being directed; it goes when this is dropped.
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
    /// Locked for as long as the director lives: flock(2) ends with it, even by kill -9.
    _list: File,
}

impl Scratch {
    /// Makes one.
    ///
    /// # Errors
    /// EACCES or ENOSPC in TMPDIR.
    pub fn make() -> Result<Scratch> {
        Scratch::of(dirs::scratch(PREFIX)?)
    }

    /// Makes one in the runtime directory, which is there.
    ///
    /// # Errors
    /// EACCES or ENOSPC there.
    pub fn in_runtime_dir() -> Result<Scratch> {
        let parent = dirs::runtime();
        let dir = dirs::scratch_in(&parent, PREFIX);
        Scratch::of(dir.with_context(|| format!("mkdir in {}", parent.display()))?)
    }

    fn of(dir: TempDir) -> Result<Scratch> {
        // Locked before it has its name: under that name it is never found unlocked.
        let unnamed = dir.path().join(".new");
        let list = File::create_new(&unnamed).context("open in TMPDIR")?;
        list.lock().context("flock")?;
        rename(unnamed, dir.path().join(LIST)).context("rename in TMPDIR")?;
        Ok(Scratch { dir, _list: list })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// What the run has left in it, in one line; `None` where nothing is left.
    ///
    /// # Errors
    /// EIO and the like.
    pub fn leftovers(&self) -> Result<Option<String>> {
        let entries = self.path().read_dir().context("readdir")?;
        let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
        let left: Vec<_> = names
            .filter(|name| name != LIST)
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        Ok((!left.is_empty()).then(|| format!("left behind: {}", left.join(", "))))
    }
}

/// What a director that was killed has left.
#[derive(Debug)]
pub struct DesertedRun {
    /// Its directory.
    pub dir: PathBuf,
    /// What its run has made outside of it; each may be gone.
    pub objects: Vec<Object>,
    /// None where it was killed before it had its list: then the directory is empty.
    list: Option<File>,
}

impl DesertedRun {
    /// Removes its directory.
    ///
    /// # Errors
    /// Those of rmdir(2) and unlink(2).
    pub fn remove_dir(&self) -> std::io::Result<()> {
        match self.list {
            Some(_) => std::fs::remove_dir_all(&self.dir),
            None => std::fs::remove_dir(&self.dir),
        }
    }

    /// Removes it all. What cannot be removed is left to the next one.
    pub fn remove(self) {
        for object in &self.objects {
            let _ = remove_now(object);
        }
        let _ = self.remove_dir();
    }
}

/// What killed directors of this user have left in TMPDIR and in the runtime directory.
pub fn deserted() -> Vec<DesertedRun> {
    let (temporary, runtime) = (dirs::temporary(), dirs::runtime());
    let runtime = Some(runtime).filter(|dir| *dir != temporary);
    let parents = [temporary].into_iter().chain(runtime);
    let entries = parents.filter_map(|dir| dir.read_dir().ok()).flatten();
    let dirs = entries.filter_map(Result::ok).filter(|entry| {
        entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes())
    });
    dirs.filter_map(|entry| stale(entry.path())).collect()
}

/// What the lock files in `dir` name: it was the runtime directory of roles that died.
fn noted(dir: &Path, prefix: &str) -> Vec<Object> {
    let Ok(entries) = dir.read_dir() else { return Vec::new() };
    let locks = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "lock"));
    let noted = locks.filter_map(|lock| {
        match Deserted::at(&lock, |name| find(name).is_some()).ok()? {
            PlaceState::Deserted(deserted) => {
                Some(deserted.notes().ok()?.objects_of(prefix))
            }
            _ => None,
        }
    });
    noted.flatten().collect()
}

/// What probes have made, and have not removed: they make objects by these names alone, and list
/// none.
fn probed(prefix: &str) -> impl Iterator<Item = Object> {
    PROBED.into_iter().flat_map(move |name| in_kernel(&format!("{prefix}{name}")))
}

/// Removes what probes have left that were killed. Names of our kernel objects begin with
/// `prefix`.
pub fn remove_probed(prefix: &str) {
    for object in probed(prefix) {
        let _ = remove_now(&object);
    }
}

/// `dir`, if it is ours and its director has ended.
fn stale(dir: PathBuf) -> Option<DesertedRun> {
    // TMPDIR is shared: the owner of the list says what is removed.
    check_dir(&dir).ok()?;
    let list = File::options()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(dir.join(LIST));
    let mut list = match list {
        Err(_) if is_old_and_empty(&dir) => {
            return Some(DesertedRun { dir, objects: Vec::new(), list: None });
        }
        list => list.ok()?,
    };
    let about = list.metadata().ok()?;
    let ours = Owner::from(&about).why_not_ours().is_none();
    if !ours || !about.is_file() || about.nlink() > 1 {
        return None;
    }
    match list.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => return None,
    }
    let mut text = String::new();
    list.read_to_string(&mut text).ok()?;
    let prefix = kernel_prefix_of(Some(dir.as_os_str()));
    let listed = text.lines().filter_map(|line| parse(line, &prefix));
    let objects =
        listed.chain(noted(&dir, &prefix)).chain(probed(&prefix)).collect();
    Some(DesertedRun { dir, objects, list: Some(list) })
}

/// Whether its director was killed between mkdir(2) and the list: it has a name as tempfile makes
/// it, nothing in it, and was made more than a minute ago.
fn is_old_and_empty(dir: &Path) -> bool {
    let name = dir.file_name().unwrap_or_default().as_encoded_bytes();
    let is_empty = || dir.read_dir().is_ok_and(|mut all| all.next().is_none());
    let age = || dir.metadata().ok()?.modified().ok()?.elapsed().ok();
    name.len() == PREFIX.len() + 6
        && is_empty()
        && age().is_some_and(|age| age > Duration::from_secs(60))
}
