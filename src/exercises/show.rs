//! `ipclab exercise show`: our solution, and its reasons.

use anyhow::{Context, Result, bail};

use bare::Language;
use lab::prose;

use super::folder::solution;
use super::progress::Progress;
use super::{find, id};

/// The options of `show`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// CHAPTER/NAME
    #[arg(value_parser = super::offers(), hide_possible_values = true)]
    exercise: String,
    /// The language; the one that you began in without it
    #[arg(long, value_parser = lab::language::parser())]
    lang: Option<Language>,
    /// Also before your program has passed
    #[arg(long)]
    anyway: bool,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let entry = find(&options.exercise).context("no such exercise")?;
    let (exercise, id) = (entry.1, id(entry));
    let done =
        Progress::read_or_tell().exercises.get(&id).cloned().unwrap_or_default();
    if done.passed.is_none() && !options.anyway {
        bail!(
            "{id}: your program has not passed yet: ipclab exercise check {id}; or add --anyway"
        );
    }
    let begun = Language::ALL
        .into_iter()
        .find(|language| done.language.as_deref() == Some(language.name()));
    let language = options.lang.or(begun).unwrap_or(Language::Rust);
    let text =
        solution(exercise, language).or_else(|| solution(exercise, Language::Rust));
    let text =
        text.with_context(|| format!("{id}: no solution in {}", language.name()))?;
    prose::print(&format!(
        "{}\n{text}",
        prose::paragraph(prose::width(), "", "", exercise.reasons)
    ))
}
