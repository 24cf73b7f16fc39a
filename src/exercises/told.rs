//! What a check tells a reader: a line a stage, what was wrong, and how to go on.

use colored::Colorize;

use lab::prose;
use wire::meet::quoted;
use wire::visible::visible_but;

use super::check::{Checked, Options, find_stage};
use super::row::Stage;
use super::schema::START;
use super::verdict::{Report, Verdict};

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
    let id = &options.named(&checked.id);
    let command: String = options
        .command
        .iter()
        .map(|word| format!(" {}", quoted(&word.to_string_lossy())))
        .collect();
    let command = if command.is_empty() { command } else { format!(" --{command}") };
    let again =
        format!("ipclab exercise check {id} --stage {stage} --seed {seed:x}");
    let mut rows = vec![
        (format!("{again}{command}"), "this stage alone, with the same data"),
        (
            format!("{again} --trace{command}"),
            "the same, with the system calls of both sides",
        ),
    ];
    let mut text = String::new();
    if options.own.is_none() {
        rows.push((format!("ipclab exercise hint {id}"), "a hint for this stage"));
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
        let id = options.named(id);
        return format!(
            "\nThat stage passes. All of them: ipclab exercise check {id}\n"
        );
    }
    if options.own.is_some() {
        return format!("\n{id} is passed.\n");
    }
    let rows = [
        (
            format!("ipclab exercise show {id}"),
            "our solution, its reasons, and its calls beside yours",
        ),
        ("ipclab next".to_owned(), "what comes next"),
    ];
    format!("\n{id} is passed.\n\nNext:\n{}", prose::pairs(prose::width(), &rows))
}
