//! The list of experiments, with what the reader has tried.

use std::collections::HashMap;
use std::fmt::Write;

use anyhow::Result;
use colored::Colorize;

use super::entry::{Entry, choose};
use super::tell::asked;
use super::tried::{self, Tried};
use experiments;
use lab::prose;

/// Prints those that were chosen.
///
/// # Errors
/// From writing standard output.
pub(super) fn print(chosen: &[Entry], as_json: bool) -> Result<()> {
    if as_json {
        let lines: String =
            chosen.iter().map(|one| format!("{}\n", asked(*one))).collect();
        return prose::print(&lines);
    }
    let tried = tried::all();
    let width = prose::width();
    let widest = chosen.iter().map(|(_, one)| one.name.len()).max().unwrap_or(0);
    // Narrower than that, a title has its own lines.
    let beside = width >= widest + 4 + 30;
    let mut text = String::new();
    let mut chapter = "";
    for one in chosen {
        let (of, experiment) = one;
        if *of != chapter {
            chapter = of;
            let between = if text.is_empty() { "" } else { "\n" };
            let _ = writeln!(text, "{between}{}", of.bold());
        }
        let mark = match State::of(*one, &tried) {
            State::Untried => " ".normal(),
            State::Shown => "·".normal(),
            State::Right => "✓".green(),
            State::Wrong => "✗".red(),
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
    let count = |state| {
        chosen.iter().filter(|one| State::of(**one, &tried) == state).count()
    };
    let totals = format!(
        "{} experiments: {} ✓ guessed right, {} ✗ wrong, {} · only shown.",
        chosen.len(),
        count(State::Right),
        count(State::Wrong),
        count(State::Shown),
    );
    let _ = write!(
        text,
        "\n{}{}",
        prose::paragraph(width, "", "", &totals),
        onward(chosen, &tried)
    );
    prose::print(&text)
}

/// What has become of an experiment so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Untried,
    /// Without a guess.
    Shown,
    Right,
    Wrong,
}

impl State {
    fn of((chapter, experiment): Entry, tried: &HashMap<String, Tried>) -> State {
        match tried.get(&id((chapter, experiment))) {
            None => State::Untried,
            Some(Tried { guess: None, .. }) => State::Shown,
            Some(Tried { guess: Some(guess), answer }) if guess == answer => {
                State::Right
            }
            Some(_) => State::Wrong,
        }
    }
}

fn id((chapter, experiment): Entry) -> String {
    format!("{chapter}/{}", experiment.name)
}

/// The next one to guess: of `chosen`, then of all; those not tried before those guessed
/// wrong.
fn onward(chosen: &[Entry], tried: &HashMap<String, Tried>) -> String {
    let all: Vec<Entry> = choose(None).unwrap_or_default();
    let first = |of: &[Entry], wanted: State| {
        of.iter().copied().find(|one| State::of(*one, tried) == wanted)
    };
    let next =
        [(chosen, State::Untried), (chosen, State::Wrong), (&all, State::Untried)]
            .into_iter()
            .chain([(all.as_slice(), State::Wrong)])
            .find_map(|(of, state)| first(of, state));
    match next {
        Some(one) => format!("Try this one: ipclab experiment {}\n", id(one)),
        None => "You have tried them all.\n".to_owned(),
    }
}

/// After the answer: how many of the chapter are right by now, and the next one.
pub(super) fn next(done: Entry) -> String {
    let tried = tried::all();
    let (chapter, list) = (done.0, experiments::of(done.0));
    let of: Vec<Entry> = list.iter().map(|one| (chapter, one)).collect();
    let right = of.iter().filter(|one| State::of(**one, &tried) == State::Right);
    // Those after this one come first, and then the others.
    let index = list.iter().position(|one| one.name == done.1.name).unwrap_or(0);
    let (before, after) = of.split_at(index);
    let (this, after) = after.split_at(1);
    let order = [after, before, this].concat();
    format!(
        "\n{} of {} right in {chapter}.\n{}",
        right.count(),
        of.len(),
        onward(&order, &tried)
    )
}
