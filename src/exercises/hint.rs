//! `ipclab exercise hint`: the one that the failure asks for, and what its error usually means;
//! then one at a time.

use anyhow::Result;

use lab::prose;

use super::causes::meaning;
use super::folder::named;
use super::id;
use super::progress::{Progress, told};

/// The options of `hint`.
#[derive(Debug, clap::Args)]
#[command(after_help = prose::examples(&[
    ("exercise hint fifo/receiver", "after a check that failed: the hint for its stage and its error"),
    ("exercise hint fifo/receiver", "again: the first of three, the second, the third"),
    ("exercise hint", "the same, from within the exercise's folder"),
    ("exercise hint fifo/receiver --number 3", "the third at once"),
]))]
pub(super) struct Options {
    /// CHAPTER/NAME; in its folder it need not be said
    #[arg(value_parser = super::offers(), hide_possible_values = true)]
    exercise: Option<String>,
    /// Show the hint of this number, 1 to 3, and not the next one
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..=3))]
    number: Option<u8>,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let (entry, _) = named(options.exercise.as_deref(), "hint")?;
    let (exercise, id) = (entry.1, id(entry));
    let done =
        Progress::read_or_tell().exercises.get(&id).cloned().unwrap_or_default();
    let failed = exercise
        .stages
        .iter()
        .find(|stage| Some(stage.name) == done.failed.as_deref());
    let next = (done.hints + 1).min(exercise.hints.len());
    let (number, stage) = match (options.number, failed) {
        (Some(number), _) => (usize::from(number), None),
        (None, Some(stage)) => (stage.hint, Some(stage.name)),
        (None, None) => (next, None),
    };
    let all = exercise.hints.len();
    if options.number.is_none() && stage.is_none() && done.hints >= all {
        let show = match done.passed {
            Some(_) => format!("ipclab exercise show {id}"),
            None => format!("ipclab exercise show {id} --anyway"),
        };
        let again = format!("ipclab exercise hint {id} --number 1");
        let rows =
            [(show.as_str(), "our solution"), (again.as_str(), "a hint again")];
        return prose::print(&format!(
            "That was the last of {all} hints.\n\nNext:\n{}",
            prose::pairs(prose::width(), &rows)
        ));
    }
    told(Progress::note(&id, |done| {
        // The one for a failure is not repeated, and does not take its turn.
        done.failed = None;
        if stage.is_none() || number == next {
            done.hints = done.hints.max(number);
        }
        done.seen.insert(number);
    }));
    let hint = exercise.hints[number - 1];
    let first = match stage {
        Some(stage) => format!("{number}/{all} (for the stage {stage}) "),
        None => format!("{number}/{all} "),
    };
    let mut text = prose::paragraph(prose::width(), &first, "    ", hint);
    let error = done.error.as_deref().filter(|_| stage.is_some());
    if let Some((name, meaning)) = error.and_then(|it| Some((it, meaning(it)?))) {
        let first = format!("\n{name}: ");
        text += &prose::paragraph(prose::width(), &first, "    ", meaning);
    }
    prose::print(&text)
}
