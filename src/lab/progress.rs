//! What the learner has done: one file in the state directory, written whole or not at all.
//! Bare programs, traces, experiments, exercises, roles and figures are all kept in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, File, rename};
use std::io::{ErrorKind, IsTerminal, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use rustix::stdio::stderr;
use serde::{Deserialize, Serialize};

use wire::dirs;
use wire::errors::{self, Advise};
use wire::meet::quoted;
use wire::say;

/// The form of the file. A newer one is left alone.
const VERSION: u32 = 1;

/// All that is kept. Names that this program does not know stay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    version: u32,
    /// What was done last.
    #[serde(default)]
    pub last: Option<Last>,
    /// When a bare program was read or played (`bare fifo`), and its trace seen (`trace fifo`);
    /// when a role was played to its end (`role fifo`), and figures were made (`bench fifo`).
    #[serde(default)]
    pub steps: BTreeMap<String, u64>,
    /// The steps that the learner has skipped, and when.
    #[serde(default)]
    pub skipped: BTreeMap<String, u64>,
    /// By the experiment: CHAPTER/NAME.
    #[serde(default)]
    pub experiments: BTreeMap<String, Tried>,
    /// By the exercise: CHAPTER/NAME.
    #[serde(default)]
    pub exercises: BTreeMap<String, Done>,
}

/// Where the learner was. Times are in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// The chapter.
    pub chapter: String,
    /// The command.
    pub command: String,
    /// When it was done.
    pub at: u64,
}

/// The last run of an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// What was guessed; `None` when it was only ever shown.
    pub guess: Option<usize>,
    /// What came out.
    pub answer: usize,
    /// When.
    #[serde(default)]
    pub at: u64,
}

impl Tried {
    /// Whether it was guessed right.
    pub fn is_right(&self) -> bool {
        self.guess == Some(self.answer)
    }

    /// Whether it was guessed wrong.
    pub fn is_wrong(&self) -> bool {
        self.guess.is_some() && !self.is_right()
    }
}

/// What was done with an exercise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Done {
    /// The learner's folder: the last one that was begun or checked.
    pub dir: Option<PathBuf>,
    /// The language of the program in it.
    pub language: Option<String>,
    /// The folder of each language that it was begun in.
    pub dirs: BTreeMap<String, PathBuf>,
    /// How many stages the last check has passed.
    pub stages: usize,
    /// The hint that was shown last in their order.
    pub hints: usize,
    /// The hints that were shown.
    pub seen: BTreeSet<usize>,
    /// The stage in which the last check failed, until its hint has been shown.
    pub failed: Option<String>,
    /// The name of the error by which it failed, if there was one.
    pub error: Option<String>,
    /// When it was last checked, in seconds since 1970.
    pub checked: Option<u64>,
    /// When it was passed first.
    pub passed: Option<u64>,
}

impl Done {
    /// Keeps that the program in `dir` is in `language`, and is the one that is worked on.
    pub fn began(&mut self, dir: &Path, language: &str) {
        // An older ipclab has kept one folder alone.
        if let (Some(dir), Some(language)) = (self.dir.take(), self.language.take())
        {
            self.dirs.entry(language).or_insert(dir);
        }
        self.dirs.insert(language.to_owned(), dir.to_owned());
        (self.dir, self.language) =
            (Some(dir.to_owned()), Some(language.to_owned()));
    }

    /// The folder with the program in `language`, or the last one, and its language.
    pub fn folder(&self, language: Option<&str>) -> Option<(PathBuf, String)> {
        let last = self.dir.clone().zip(self.language.clone());
        let Some(wanted) = language else { return last };
        let kept = self.dirs.get(wanted).map(|dir| (dir.clone(), wanted.to_owned()));
        kept.or(last.filter(|(_, language)| language == wanted))
    }
}

/// Now, in seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// How long ago that was, in whole units of the largest: `3 weeks ago`.
pub fn ago(at: u64) -> String {
    const UNITS: [(u64, &str); 6] = [
        (365 * 86_400, "year"),
        (30 * 86_400, "month"),
        (7 * 86_400, "week"),
        (86_400, "day"),
        (3600, "hour"),
        (60, "minute"),
    ];
    let passed = now().saturating_sub(at);
    match UNITS.iter().find(|(seconds, _)| passed >= *seconds) {
        Some((seconds, unit)) => {
            format!("{} ago", say::count(passed / seconds, unit))
        }
        None => "just now".to_owned(),
    }
}

impl Progress {
    /// What is kept; nothing, where there is no file.
    ///
    /// # Errors
    /// A file that cannot be read, is damaged, or is of a newer version.
    pub fn read() -> Result<Progress> {
        dirs::state().map_or_else(|| Ok(Progress::default()), |dir| read(&dir))
    }

    /// The same; where it cannot be read, nothing is, and one line says why.
    pub fn read_or_tell() -> Progress {
        Progress::read().unwrap_or_else(|error| {
            complain(&error);
            Progress::default()
        })
    }

    /// Changes what is kept of one exercise, as [`Progress::change`] does.
    ///
    /// # Errors
    /// ENOSPC, EACCES, and as [`Progress::read`].
    pub fn note(id: &str, change: impl FnOnce(&mut Done)) -> Result<()> {
        let chapter = id.split('/').next().unwrap_or(id);
        let command = format!("ipclab exercise check {id}");
        Progress::change(chapter, &command, |progress| {
            change(progress.exercises.entry(id.to_owned()).or_default());
        })
    }

    /// Changes what is kept, by what `command` has done in `chapter`. Another terminal that
    /// does so at the same time waits.
    ///
    /// # Errors
    /// ENOSPC, EACCES, and as [`Progress::read`].
    pub fn change(
        chapter: &str,
        command: &str,
        change: impl FnOnce(&mut Progress),
    ) -> Result<()> {
        let dir = dirs::state().context("HOME is not set")?;
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
        made.with_context(|| format!("mkdir {}", dir.display()))?;
        let lock = dir.join("progress.lock");
        let file = File::options().create(true).append(true).open(&lock);
        let file = file.with_context(|| format!("open {}", lock.display()))?;
        file.lock().with_context(|| format!("flock {}", lock.display()))?;
        let mut progress = read(&dir)?;
        progress.version = VERSION;
        change(&mut progress);
        let (chapter, command) = (chapter.to_owned(), command.to_owned());
        progress.last = Some(Last { chapter, command, at: now() });
        // Whoever holds the lock is alone with this name.
        let (new, path) = (dir.join("progress.json.new"), path(&dir));
        let text = serde_json::to_string_pretty(&progress)? + "\n";
        File::create(&new)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            })
            .with_context(|| format!("write {}", new.display()))?;
        rename(&new, &path).with_context(|| format!("rename {}", path.display()))
    }

    /// Keeps that an experiment has run. A guess outlives a later look.
    ///
    /// # Errors
    /// As [`Progress::change`].
    pub fn tried(id: &str, guess: Option<usize>, answer: usize) -> Result<()> {
        let chapter = id.split('/').next().unwrap_or(id);
        let command = format!("ipclab experiment {id}");
        Progress::change(chapter, &command, |progress| {
            progress.keep(id, Tried { guess, answer, at: now() });
        })
    }

    fn keep(&mut self, id: &str, tried: Tried) {
        if tried.guess.is_some() || !self.experiments.contains_key(id) {
            self.experiments.insert(id.to_owned(), tried);
        }
    }
}

/// Says in one line that progress is not kept, if it is not: no command fails for that.
pub fn told(kept: Result<()>) {
    if let Err(error) = kept {
        complain(&error);
    }
}

/// One line, also of a command that has read the file and then written it.
fn complain(error: &anyhow::Error) {
    static ONCE: Once = Once::new();
    let why = errors::line(error);
    ONCE.call_once(|| say::tell(&format!("ipclab: progress is not kept: {why}\n")));
}

/// Keeps that steps of the path are done, `bare fifo` by its verb and its chapter, where a
/// learner sits at a terminal: a script and a program that is traced are no learners.
pub fn done<'a>(
    verb: &str,
    chapters: impl IntoIterator<Item = &'a str>,
    quiet: bool,
) {
    if !stderr().is_terminal() {
        return;
    }
    let chapters: Vec<&str> = chapters.into_iter().collect();
    let Some(last) = chapters.last() else { return };
    let command = match verb {
        "role" => format!("ipclab {last}"),
        "trace" => format!("ipclab trace {last} --bare"),
        _ => format!("ipclab {verb} {last}"),
    };
    let kept = Progress::change(last, &command, |progress| {
        for chapter in &chapters {
            progress.steps.insert(format!("{verb} {chapter}"), now());
        }
    });
    if !quiet {
        told(kept);
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join("progress.json")
}

fn read(dir: &Path) -> Result<Progress> {
    let path = path(dir);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(of_lines(&dir.join("experiments")));
        }
        Err(error) => {
            return Err(error).with_context(|| format!("open {}", path.display()));
        }
    };
    // Of a newer form nothing but this is known.
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let read = || -> Result<Progress> {
        let Versioned { version } = serde_json::from_slice(&text)?;
        if version > VERSION {
            bail!("it was written by a newer ipclab");
        }
        Ok(serde_json::from_slice(&text)?)
    };
    let shown = quoted(&path.display().to_string());
    read()
        .with_context(|| format!("read {}", path.display()))
        .advise(|_| Some(format!("to begin again: mv {shown} {shown}.old")))
}

/// What ipclab 0.1.0 has kept, which had a line a run of an experiment: it is read until this
/// program has written its own file.
fn of_lines(old: &Path) -> Progress {
    let Ok(text) = std::fs::read(old) else { return Progress::default() };
    let changed = std::fs::metadata(old).and_then(|about| about.modified()).ok();
    let changed = changed.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    parse(&String::from_utf8_lossy(&text), changed.map_or(0, |at| at.as_secs()))
}

/// Lines of an experiment, the guess or `-`, and the answer. A line that is none is passed over.
pub fn parse(text: &str, at: u64) -> Progress {
    let mut progress = Progress::default();
    for line in text.lines() {
        let mut words = line.split(' ');
        let (Some(id), Some(guess), Some(answer)) =
            (words.next(), words.next(), words.next())
        else {
            continue;
        };
        if let Ok(answer) = answer.parse() {
            progress.keep(id, Tried { guess: guess.parse().ok(), answer, at });
            let chapter = id.split('/').next().unwrap_or(id).to_owned();
            let command = format!("ipclab experiment {id}");
            progress.last = Some(Last { chapter, command, at });
        }
    }
    progress
}
