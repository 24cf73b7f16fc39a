//! `ipclab exercise show`: our solution, and its reasons.

use std::path::Path;

use anyhow::{Context, Result, bail};
use colored::Colorize;

use bare::Language;
use lab::prose;

use super::folder::{NotBuilt, Started, build, built_solution, named, solution};
use super::progress::Progress;
use super::tracing::{compared, traced};
use super::{Entry, id};

/// The options of `show`.
#[derive(Debug, clap::Args)]
#[command(after_help = prose::examples(&[
    ("exercise show fifo/receiver", "once yours has passed: ours, and the calls of both"),
    ("exercise show fifo/receiver --lang c", "the solution in C"),
    ("exercise show fifo/receiver --anyway", "before yours has passed: the solution alone"),
]))]
pub(super) struct Options {
    /// CHAPTER/NAME; in its folder it need not be said
    #[arg(value_parser = super::offers(), hide_possible_values = true)]
    exercise: Option<String>,
    /// The language; the one that you began in without it
    #[arg(long, value_parser = lab::language::parser())]
    lang: Option<Language>,
    /// Also before your program has passed
    #[arg(long)]
    anyway: bool,
    /// The solution alone, without its calls beside yours
    #[arg(long)]
    no_trace: bool,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let (entry, _) = named(options.exercise.as_deref(), "show")?;
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
    ))?;
    let Some(begun) = begun.filter(|_| done.passed.is_some() && !options.no_trace)
    else {
        return Ok(());
    };
    let beside = match &done.dir {
        Some(dir) => beside(entry, dir, begun),
        None => bail!("{id}: where is your program? ipclab exercise check {id}"),
    };
    let beside = beside.unwrap_or_else(|error| {
        format!("Yours and ours cannot be traced: {}\n", wire::errors::line(&error))
    });
    prose::print(&format!("\n{beside}"))
}

/// Both programs in the first stage: the learner's calls, and ours in the same language.
fn beside(entry: Entry, dir: &Path, language: Language) -> Result<String> {
    let (exercise, id) = (entry.1, id(entry));
    let stage = &exercise.stages[0];
    let text =
        solution(exercise, language).context("no solution in your language")?;
    let (_place, ours) = built_solution(dir, &text, language)?;
    let built = |program: std::result::Result<Started, NotBuilt>, whose| {
        program.map_err(|NotBuilt(said)| {
            anyhow::anyhow!("{whose} does not compile: {said}")
        })
    };
    let yours = built(build(dir, language)?, "yours")?;
    let ours = built(ours, "ours")?;
    // The data are the same for both, and for each learner.
    let seen =
        [&yours, &ours].map(|program| traced((&id, exercise), stage, program, 1));
    let [yours, ours] = seen;
    let (yours, ours) = (yours?, ours?);
    Ok(format!(
        "{} {}: {}.\n\nYours:\n{}\nOurs:\n{}\n{}",
        "The stage".bold(),
        stage.name.bold(),
        stage.about,
        yours.drawing,
        ours.drawing,
        compared(&yours, &ours)
    ))
}
