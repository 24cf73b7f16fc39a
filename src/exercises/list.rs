//! `ipclab exercise list`.

use anyhow::Result;
use clap::builder::PossibleValuesParser;
use colored::Colorize;
use serde_json::json;

use lab::prose;

use super::progress::{Done, Progress, ago};
use super::{ALL, entries, id};

/// The options of `list`.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Options {
    /// Those of this chapter alone
    #[arg(value_name = "CHAPTER", hide_possible_values = true)]
    #[arg(value_parser = PossibleValuesParser::new(ALL.iter().map(|(name, _)| *name)))]
    chapter: Option<String>,
    /// One JSON object an exercise
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let progress = Progress::read_or_tell();
    let chosen = |(chapter, _): &super::Entry| {
        options.chapter.as_ref().is_none_or(|wanted| wanted == chapter)
    };
    let (mut text, mut next, mut group) = (String::new(), None, ("", 0));
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
        if done.passed.is_none() && next.is_none() {
            let verb = if done.dir.is_some() { "check" } else { "start" };
            next = Some(format!("ipclab exercise {verb} {name}"));
        }
        // A chapter is a group, with columns of its own.
        if group.0 != entry.0 {
            let names = entries().filter(|(chapter, _)| *chapter == entry.0).map(id);
            text += if group.0.is_empty() { "" } else { "\n" };
            group = (entry.0, names.map(|name| name.len()).max().unwrap_or(0));
        }
        let wide = group.1;
        let (kind, minutes) = (exercise.kind.text(), exercise.minutes);
        let first =
            format!("{} {name:<wide$}  {kind:<6} {minutes:>2}  ", mark(&done));
        let before: Vec<_> = exercise
            .after
            .iter()
            .copied()
            .filter(|before| {
                let done = progress.exercises.get(*before);
                done.is_none_or(|done| done.passed.is_none())
            })
            .collect();
        let before = match before.is_empty() || done.passed.is_some() {
            true => String::new(),
            // Of the same chapter, by its name alone.
            false => format!(" (after {})", before.join(", "))
                .replace(&format!("{}/", entry.0), ""),
        };
        let reached = reached(&done, exercise.stages.len());
        let about = format!("{}{before}{reached}", exercise.title);
        let rest = " ".repeat(wide + 15);
        text += &prose::paragraph(prose::width(), &first, &rest, &about);
    }
    if !options.json {
        text.push('\n');
        text += &prose::paragraph(prose::width(), "", "", LEGEND);
    }
    if let Some(next) = next {
        text += &format!("\nNext: {next}\n");
    }
    prose::print(&text)
}

/// What the columns are.
const LEGEND: &str = "write: a role, against a partner; mend: a program that has a fault; design: \
                      a program that joins several mechanisms. The number is the minutes it takes. \
                      ✓ passed, … begun.";

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
    match (done.passed, done.checked) {
        (Some(at), _) => text += &format!(", passed {}", ago(at)),
        (None, Some(at)) => {
            text += &format!(", {} of {stages} stages {}", done.stages, ago(at));
        }
        (None, None) => {}
    }
    if !done.seen.is_empty() {
        text += &format!(", {}", wire::say::count(done.seen.len() as u64, "hint"));
    }
    text
}
