//! What the reader has tried: a line a run, in a file of the user's state directory
//! (`$XDG_STATE_HOME/ipclab/experiments`, else `~/.local/state/ipclab/experiments`).

use std::collections::HashMap;
use std::fs::{DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use super::entry::Entry;
use wire::dirs;

/// The last run of an experiment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tried {
    /// What was guessed; `None` when it was only shown.
    pub(crate) guess: Option<usize>,
    /// What came out.
    pub(crate) answer: usize,
}

fn path() -> Option<PathBuf> {
    Some(dirs::state()?.join("experiments"))
}

/// Adds a line. A home that cannot be written costs the mark in the list, no more.
pub(super) fn note((chapter, experiment): Entry, tried: &Tried) {
    let guess = tried.guess.map_or("-".into(), |guess| guess.to_string());
    let line = format!("{chapter}/{} {guess} {}\n", experiment.name, tried.answer);
    let Some(path) = path() else { return };
    if let Some(dir) = path.parent() {
        let _ = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    }
    let file = File::options().append(true).create(true).open(path);
    let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
}

/// The last guess of each experiment; `guess` is `None` where it was only ever shown. A line
/// that is none of ours is passed over.
pub(super) fn all() -> HashMap<String, Tried> {
    let text = path().and_then(|path| std::fs::read(path).ok()).unwrap_or_default();
    parse(&String::from_utf8_lossy(&text))
}

pub(crate) fn parse(text: &str) -> HashMap<String, Tried> {
    let mut all: HashMap<String, Tried> = HashMap::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let (Some(id), Some(guess), Some(answer)) =
            (words.next(), words.next(), words.next())
        else {
            continue;
        };
        if let Ok(answer) = answer.parse() {
            let tried = Tried { guess: guess.parse().ok(), answer };
            if tried.guess.is_some() || !all.contains_key(id) {
                all.insert(id.to_owned(), tried);
            }
        }
    }
    all
}
