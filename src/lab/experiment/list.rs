//! The list of experiments, with what the reader has tried.

use std::fmt::Write;

use anyhow::Result;
use colored::Colorize;

use super::One;
use super::tell::asked;
use super::tried;

/// Prints those that were chosen.
///
/// # Errors
/// From writing standard output.
pub(super) fn print(chosen: &[One], as_json: bool) -> Result<()> {
    if as_json {
        let lines: String =
            chosen.iter().map(|one| format!("{}\n", asked(*one))).collect();
        return crate::lab::print(&lines);
    }
    let tried = tried::all();
    let widest = chosen.iter().map(|(_, one)| one.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    let mut chapter = "";
    for (of, experiment) in chosen {
        if *of != chapter {
            chapter = of;
            let _ = writeln!(
                text,
                "{}{}",
                if text.is_empty() { "" } else { "\n" },
                of.bold()
            );
        }
        let id = format!("{of}/{}", experiment.name);
        let mark = match tried.get(&id) {
            None => " ".normal(),
            Some(tried) if tried.guess.is_none() => "·".normal(),
            Some(tried) if tried.guess == Some(tried.answer) => "✓".green(),
            Some(_) => "✗".red(),
        };
        let _ = writeln!(
            text,
            "{mark} {:<widest$}  {}",
            experiment.name, experiment.title
        );
    }
    let done = chosen
        .iter()
        .filter(|(of, one)| tried.contains_key(&format!("{of}/{}", one.name)))
        .count();
    let _ = writeln!(
        text,
        "\n{} experiments, {done} tried (✓ guessed right, ✗ wrong, · shown).\n\
         Try one: ipclab experiment {}/{}",
        chosen.len(),
        chosen[0].0,
        chosen[0].1.name,
    );
    crate::lab::print(&text)
}
