//! The list of experiments, with what the reader has tried.

use std::fmt::Write;

use anyhow::Result;
use colored::Colorize;

use super::entry::{Entry, choose, id, in_order, of};
use super::tell::asked;
use lab::progress::{Progress, Tried};
use lab::prose;

/// Prints those that were chosen: those of a level together.
///
/// # Errors
/// From writing standard output.
pub(super) fn print(chosen: &[Entry], as_json: bool) -> Result<()> {
    if as_json {
        let lines: String =
            chosen.iter().map(|one| format!("{}\n", asked(*one))).collect();
        return prose::print(&lines);
    }
    let progress = Progress::read_or_tell();
    let chosen = in_order(chosen.to_vec());
    let width = prose::width();
    let widest = chosen.iter().map(|(_, one)| one.name.len()).max().unwrap_or(0);
    // Narrower than that, a title has its own lines.
    let beside = width >= widest + 4 + 30;
    let mut text = String::new();
    let mut heading = String::new();
    for one in &chosen {
        let (chapter, experiment) = *one;
        let of = format!("{chapter}, {}", experiment.level.text());
        if of != heading {
            let between = if text.is_empty() { "" } else { "\n" };
            let _ = writeln!(text, "{between}{}", of.bold());
            heading = of;
        }
        let mark = match progress.experiments.get(&id(*one)) {
            None => " ".normal(),
            Some(tried) if tried.is_right() => "✓".green(),
            Some(tried) if tried.is_wrong() => "✗".red(),
            Some(_) => "·".normal(),
        };
        let name = experiment.name;
        if beside {
            let rest = " ".repeat(widest + 4);
            let first = format!("{mark} {name:<widest$}  ");
            text += &prose::paragraph(width, &first, &rest, experiment.title);
        } else {
            let _ = writeln!(text, "{mark} {name}");
            text += &prose::paragraph(width, "    ", "    ", experiment.title);
        }
    }
    let count = |wanted: fn(&Tried) -> bool| {
        let tried =
            chosen.iter().filter_map(|one| progress.experiments.get(&id(*one)));
        tried.filter(|tried| wanted(tried)).count()
    };
    let totals = format!(
        "{} experiments: {} ✓ guessed right, {} ✗ wrong, {} · only shown.",
        chosen.len(),
        count(Tried::is_right),
        count(Tried::is_wrong),
        count(|tried| tried.guess.is_none()),
    );
    let _ = write!(
        text,
        "\n{}{}",
        prose::paragraph(width, "", "", &totals),
        onward(&chosen, &progress)
    );
    prose::print(&text)
}

fn is_right(one: Entry, progress: &Progress) -> bool {
    progress.experiments.get(&id(one)).is_some_and(Tried::is_right)
}

/// The next one to guess of `chosen`, then of all: those not tried before those guessed wrong.
fn onward(chosen: &[Entry], progress: &Progress) -> String {
    let all = in_order(choose(None).unwrap_or_default());
    let tried = |one: &Entry| progress.experiments.get(&id(*one));
    let first = |of: &[Entry], wanted: fn(Option<&Tried>) -> bool| {
        of.iter().copied().find(|one| wanted(tried(one)))
    };
    let untried = |tried: Option<&Tried>| tried.is_none();
    let wrong = |tried: Option<&Tried>| tried.is_some_and(Tried::is_wrong);
    let next = first(chosen, untried)
        .or_else(|| first(chosen, wrong))
        .or_else(|| first(&all, untried))
        .or_else(|| first(&all, wrong));
    match next {
        Some(one) => format!("Try this one: ipclab experiment {}\n", id(one)),
        None => "You have tried them all.\n".to_owned(),
    }
}

/// After the answer: how many of the chapter are right by now, and the next one.
pub(super) fn next(done: Entry) -> String {
    let progress = Progress::read_or_tell();
    let (chapter, of) = (done.0, in_order(of(done.0)));
    let right = of.iter().filter(|one| is_right(**one, &progress)).count();
    // Those after this one come first, and then the others.
    let index = of.iter().position(|one| one.1.name == done.1.name).unwrap_or(0);
    let (before, after) = of.split_at(index);
    let (this, after) = after.split_at(1);
    let order = [after, before, this].concat();
    format!(
        "\n{right} of {} right in {chapter}.\n{}",
        of.len(),
        onward(&order, &progress)
    )
}
