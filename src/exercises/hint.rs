//! `ipclab exercise hint`: one at a time.

use anyhow::{Context, Result};

use lab::prose;

use super::progress::{Progress, told};
use super::{find, id};

/// The options of `hint`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// CHAPTER/NAME
    #[arg(value_parser = super::offers(), hide_possible_values = true)]
    exercise: String,
    /// Show the hint of this number, 1 to 3, and not the next one
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..=3))]
    number: Option<u8>,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let entry = find(&options.exercise).context("no such exercise")?;
    let (exercise, id) = (entry.1, id(entry));
    let done =
        Progress::read_or_tell().exercises.get(&id).cloned().unwrap_or_default();
    let number = match options.number {
        Some(number) => usize::from(number),
        None => (done.hints + 1).min(exercise.hints.len()),
    };
    told(Progress::note(&id, |done| done.hints = done.hints.max(number)));
    let hint = exercise.hints[number - 1];
    let all = exercise.hints.len();
    prose::print(&prose::paragraph(
        prose::width(),
        &format!("{number}/{all} "),
        "    ",
        hint,
    ))
}
