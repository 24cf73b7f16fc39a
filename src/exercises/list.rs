//! `ipclab exercise list`.

use anyhow::Result;
use colored::Colorize;
use serde_json::json;

use lab::prose;

use super::progress::{Done, Progress};
use super::{entries, id};

/// The options of `list`.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Options {
    /// Those of this chapter alone
    #[arg(value_name = "CHAPTER")]
    chapter: Option<String>,
    /// One JSON object an exercise
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let progress = Progress::read()?;
    let chosen = |(chapter, _): &super::Entry| {
        options.chapter.as_ref().is_none_or(|wanted| wanted == chapter)
    };
    let (mut text, mut next) = (String::new(), None);
    for entry in entries().filter(chosen) {
        let (name, exercise) = (id(entry), entry.1);
        let done = progress.exercises.get(&name).cloned().unwrap_or_default();
        if options.json {
            let line = json!({
                "exercise": name, "title": exercise.title, "kind": exercise.kind.text(),
                "minutes": exercise.minutes, "after": exercise.after,
                "stages": exercise.stages.len(), "stages_passed": done.stages,
                "hints": done.seen, "passed": done.passed, "checked": done.checked,
            });
            text += &format!("{line}\n");
            continue;
        }
        if done.passed.is_none() {
            next = next.or(Some(name.clone()));
        }
        let first = format!("{} {name:<24} ", mark(&done));
        let about = format!(
            "{} ({}, {} min){}",
            exercise.title,
            exercise.kind.text(),
            exercise.minutes,
            reached(&done, exercise.stages.len())
        );
        text += &prose::paragraph(prose::width(), &first, &" ".repeat(27), &about);
    }
    if let Some(next) = next {
        text += &format!("\nNext: ipclab exercise start {next}\n");
    }
    prose::print(&text)
}

fn mark(done: &Done) -> colored::ColoredString {
    match (done.passed, done.dir.is_some()) {
        (Some(_), _) => "✓".green(),
        (None, true) => "…".yellow(),
        (None, false) => " ".normal(),
    }
}

/// How far an exercise is that has been begun.
fn reached(done: &Done, stages: usize) -> String {
    let mut text = String::new();
    if done.passed.is_none() && done.checked.is_some() {
        text += &format!(", {} of {stages} stages", done.stages);
    }
    if !done.seen.is_empty() {
        text += &format!(", {}", wire::say::count(done.seen.len() as u64, "hint"));
    }
    text
}
