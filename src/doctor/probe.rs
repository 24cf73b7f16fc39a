//! What a probe is: something that is created, used and removed.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};

use super::answer::Answer;
use lab::scratch::{PROBED, remove_probed};
use wire::meet::kernel_prefix_of;

/// One thing that the book needs of a machine, and how it is tried.
#[derive(Debug)]
pub struct Probe {
    /// Its name, which stays the same: `posix-queue`.
    pub name: &'static str,
    /// The chapters that use it; none if all do.
    pub chapters: &'static [&'static str],
    /// What it is, in the words of a man page.
    pub what: &'static str,
    /// What a learner loses without it.
    pub loses: &'static str,
    /// Whether a chapter's roles cannot run without it.
    pub necessary: bool,
    /// The experiments that cannot run without it: `CHAPTER/NAME`.
    pub experiments: &'static [&'static str],
    /// Tries it, and leaves nothing. It runs in a process of its own, which may be killed.
    pub run: fn(&Place) -> Result<Answer>,
}

impl PartialEq for Probe {
    fn eq(&self, other: &Probe) -> bool {
        self.name == other.name
    }
}

impl Eq for Probe {}

/// Where a probe may make its names, so that `ipclab clean` finds them.
#[derive(Debug, Clone)]
pub struct Place {
    /// A directory of this run's own, in the runtime directory.
    runtime: Result<PathBuf, String>,
    /// The same, or one in TMPDIR.
    scratch: Result<PathBuf, String>,
    prefix: String,
}

impl Place {
    /// In `dir`, which is the scratch directory of a run.
    pub fn at(dir: &Path) -> Place {
        let prefix = kernel_prefix_of(Some(dir.as_os_str()));
        Place { runtime: Ok(dir.to_owned()), scratch: Ok(dir.to_owned()), prefix }
    }

    /// In `scratch`, if there is one; in the runtime directory nothing can be made: why.
    pub(crate) fn without_runtime_dir(scratch: Option<&Path>, why: String) -> Place {
        let prefix = kernel_prefix_of(scratch.map(Path::as_os_str));
        let scratch = scratch.map(Path::to_owned).ok_or_else(|| why.clone());
        Place { runtime: Err(why), scratch, prefix }
    }

    /// A directory in the runtime directory, where roles meet.
    ///
    /// # Errors
    /// Why there is none.
    pub fn runtime_dir(&self) -> Result<&Path> {
        self.runtime.as_deref().map_err(|why| anyhow!("{why}"))
    }

    /// A directory for files, wherever it is.
    ///
    /// # Errors
    /// Why there is none.
    pub fn scratch(&self) -> Result<&Path> {
        self.scratch.as_deref().map_err(|why| anyhow!("{why}"))
    }

    /// Removes the kernel objects of probes that could not do it themselves.
    pub(crate) fn clear(&self) {
        remove_probed(&self.prefix);
    }

    /// The name of a kernel object. Probes run at the same time: only one makes a kind of object
    /// by this name.
    pub fn kernel_name(&self) -> String {
        format!("{}{}", self.prefix, PROBED[0])
    }

    /// Another name, for a second probe that makes an object of the same kind.
    pub fn second_kernel_name(&self) -> String {
        format!("{}{}", self.prefix, PROBED[1])
    }
}
