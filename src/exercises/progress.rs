//! What the learner has done: one file in the state directory, written whole or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, File, rename};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use wire::dirs;

/// The form of the file. A newer one is left alone.
const VERSION: u32 = 1;

/// All that is kept.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Progress {
    version: u32,
    /// By the exercise: CHAPTER/NAME. Names that this program does not know stay.
    pub exercises: BTreeMap<String, Done>,
}

/// What was done with an exercise.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Done {
    /// The learner's folder.
    pub dir: Option<PathBuf>,
    /// The language that it was begun in.
    pub language: Option<String>,
    /// How many stages the last check has passed.
    pub stages: usize,
    /// The hint that was shown last in their order.
    pub hints: usize,
    /// The hints that were shown.
    pub seen: BTreeSet<usize>,
    /// The stage in which the last check failed, until its hint has been shown.
    pub failed: Option<String>,
    /// When it was last checked, in seconds since 1970.
    pub checked: Option<u64>,
    /// When it was passed first.
    pub passed: Option<u64>,
}

/// Now, in seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn path() -> Option<PathBuf> {
    Some(dirs::state()?.join("exercises.json"))
}

impl Progress {
    /// What is kept; nothing, where there is no file.
    ///
    /// # Errors
    /// A file that cannot be read, or is of a newer version.
    pub fn read() -> Result<Progress> {
        path().map_or_else(|| Ok(Progress::default()), |path| read(&path))
    }

    /// Changes what is kept of one exercise. Another terminal that does so at the same time waits.
    ///
    /// # Errors
    /// ENOSPC, EACCES, and as [`Progress::read`].
    pub fn note(id: &str, change: impl FnOnce(&mut Done)) -> Result<()> {
        let Some(path) = path() else { return Ok(()) };
        let dir = path.parent().unwrap_or(&path);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.with_context(|| format!("mkdir {}", dir.display()))?;
        let lock = dir.join("exercises.lock");
        let lock = File::options()
            .create(true)
            .append(true)
            .open(&lock)
            .with_context(|| format!("open {}", lock.display()))?;
        lock.lock().context("flock")?;
        let mut progress = read(&path)?;
        progress.version = VERSION;
        change(progress.exercises.entry(id.to_owned()).or_default());
        let mut new = NamedTempFile::new_in(dir)
            .with_context(|| format!("open in {}", dir.display()))?;
        let text = serde_json::to_string_pretty(&progress)? + "\n";
        new.write_all(text.as_bytes()).context("write the progress")?;
        new.as_file().sync_all().context("fsync the progress")?;
        let (_, new) = new.keep().context("keep the progress")?;
        rename(&new, &path).with_context(|| format!("rename {}", path.display()))
    }
}

fn read(path: &Path) -> Result<Progress> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Progress::default());
        }
        Err(error) => {
            return Err(error).with_context(|| format!("open {}", path.display()));
        }
    };
    let progress: Progress = serde_json::from_slice(&text)
        .with_context(|| format!("{} is damaged: move it away", path.display()))?;
    if progress.version > VERSION {
        bail!("{} was written by a newer ipclab", path.display());
    }
    Ok(progress)
}
