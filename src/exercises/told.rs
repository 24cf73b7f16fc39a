//! What a check tells a reader: a line a stage, what was wrong, and how to go on.

use std::path::Path;

use anyhow::Result;
use colored::Colorize;

use lab::prose;
use lab::scratch::Scratch;
use wire::meet::quoted;
use wire::visible::visible_but;

use super::check::{Checked, Options, find_stage};
use super::folder::Started;
use super::row::{Exercise, Stage};
use super::scene::Scene;
use super::schema::START;
use super::verdict::{Report, Verdict};

/// The command lines that start the program in `stage`, `PLACE` for where its roles meet.
///
/// # Errors
/// When there can be no scratch directory.
pub(super) fn starts(
    exercise: &Exercise,
    stage: &Stage,
    started: &Started,
) -> Result<String> {
    // The players are asked for their arguments alone; some make a file for that.
    let scratch = Scratch::make()?;
    let scene = Scene::new(exercise, stage, scratch.path(), 1);
    let places = scene.places();
    let mut lines: Vec<String> = Vec::new();
    for player in (stage.players)(&scene).iter().filter(|player| player.learners) {
        let mut words = match player.ranks {
            0 => Vec::new(),
            ranks => vec![format!("mpiexec -n {ranks}")],
        };
        words.extend(started.words.iter().map(|word| {
            let path = Path::new(word);
            let below = path.strip_prefix(&started.dir).unwrap_or(path);
            quoted(&match below.components().count() {
                // A name alone would be looked for in PATH.
                1 if below != path && started.words.len() == 1 => {
                    format!("./{}", below.display())
                }
                _ => below.display().to_string(),
            })
        }));
        for arg in player.args.iter().map(|arg| arg.to_string_lossy()) {
            match places.iter().any(|place| *place == arg) {
                true => words.push("PLACE".into()),
                false if arg == player.name => words.push(arg.into_owned()),
                // What it is to send, which may be long.
                false => {
                    words.push("…".into());
                    break;
                }
            }
        }
        let line = format!("$ {}\n", words.join(" "));
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    let _ = scene.remove_leftovers();
    Ok(lines.concat())
}

/// What stands on a terminal while a stage is played; [`line()`] takes its place.
pub(super) fn begun(number: usize, all: usize, stage: &Stage) -> String {
    format!("… {number}/{all} {}", stage.name)
}

/// One line for a stage that was played.
pub(super) fn line(
    number: usize,
    all: usize,
    stage: &Stage,
    report: &Report,
) -> String {
    let milliseconds = report.took.as_millis();
    let verdict = match report.verdict {
        Verdict::Passed => "✓".green(),
        Verdict::NotHere => "–".yellow(),
        _ => "✗".red(),
    };
    let first = format!("{verdict} {number}/{all} {:<10} ", stage.name);
    let rest = " ".repeat(17);
    let end = match report.verdict {
        Verdict::Passed => format!("{milliseconds} ms"),
        other => other.text().to_uppercase(),
    };
    prose::paragraph(
        prose::width(),
        &first,
        &rest,
        &format!("{}  {end}", stage.about),
    )
}

/// What was wrong, and the story of the run.
pub(super) fn told(report: &Report) -> String {
    let mut text = String::from("\n");
    for fault in &report.faults {
        text += &prose::paragraph(prose::width(), "", "", fault);
    }
    for (title, part) in &report.story {
        text += &format!("\n{}:\n", title.bold());
        for line in part.lines() {
            text += format!("  {}", visible_but(line, "\t")).trim_end();
            text.push('\n');
        }
    }
    text
}

/// How to go on after a stage that failed.
pub(super) fn way_out(
    checked: &Checked,
    options: &Options,
    stage: &str,
    seed: u64,
) -> String {
    let command: String = options
        .command
        .iter()
        .map(|word| format!(" {}", quoted(&word.to_string_lossy())))
        .collect();
    let command = if command.is_empty() { command } else { format!(" --{command}") };
    let again = checked.again(options, "check");
    let again = format!("{again} --stage {stage} --seed {seed:x}");
    let mut rows = vec![
        (format!("{again}{command}"), "this stage alone, with the same data"),
        (
            format!("{again} --trace{command}"),
            "the same, with the system calls of both sides",
        ),
    ];
    let mut text = String::new();
    if options.own.is_none() {
        rows.push((checked.again(options, "hint"), "a hint for this stage"));
    }
    if stage == START {
        // No hint is for a program that does not build or start, or for the machine.
        rows.clear();
    }
    if options.own.is_some()
        && let Ok(stage) = find_stage(checked.entry.1, stage)
    {
        let hint = checked.entry.1.hints[stage.hint - 1];
        text += &prose::paragraph(prose::width(), "\nHint: ", "", hint);
    }
    if options.trace && stage != START {
        rows.remove(1);
    }
    if rows.is_empty() {
        return text;
    }
    text + &format!("\nNext:\n{}", prose::pairs(prose::width(), &rows))
}

pub(super) fn done(checked: &Checked, options: &Options) -> String {
    let id = &checked.id;
    if options.stage.is_some() {
        let all = checked.again(options, "check");
        return format!("\nThat stage passes. All of them: {all}\n");
    }
    if options.own.is_some() {
        return format!("\n{id} is passed.\n");
    }
    let rows = [
        (
            checked.again(options, "show"),
            "our solution, its reasons, and its calls beside yours",
        ),
        ("ipclab next".to_owned(), "what comes next"),
    ];
    format!("\n{id} is passed.\n\nNext:\n{}", prose::pairs(prose::width(), &rows))
}
