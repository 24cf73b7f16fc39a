//! `ipclab experiment CHAPTER --quiz`: a chapter's questions one after the other, until each is
//! guessed right.

use std::collections::VecDeque;
use std::io::IsTerminal;

use anyhow::{Result, bail};
use rustix::stdio::stdin;

use super::direct::{self, Ended};
use super::entry::{Entry, id, in_order};
use super::{ask, keep, read_line, tell};
use lab::interrupts::Interrupts;
use lab::progress::{Progress, Tried};
use lab::prose;
use wire::errors::usage;
use wire::say;

/// Asks those of `chosen` that are not guessed right yet.
///
/// # Errors
/// Standard input that is no terminal, a run that went wrong.
pub(super) fn run(
    chosen: Vec<Entry>,
    stop: &mut Interrupts,
    quiet: bool,
) -> Result<()> {
    let (chapter, all) = (chosen[0].0, chosen.len());
    if !stdin().is_terminal() {
        return Err(usage(format!(
            "standard input is no terminal: ipclab experiment {chapter} lists the questions"
        )));
    }
    let progress = Progress::read_or_tell();
    let is_right = |one: &Entry| {
        progress.experiments.get(&id(*one)).is_some_and(Tried::is_right)
    };
    let mut to_come: VecDeque<Entry> = in_order(chosen).into();
    to_come.retain(|one| !is_right(one));
    let (mut right, mut cannot, mut failed) = (all - to_come.len(), 0, 0);
    while let Some(one) = to_come.pop_front() {
        prose::print(&format!(
            "{right} of {all} right, {} to come\n\n",
            to_come.len() + 1
        ))?;
        let Some(guess) = ask(one, stop)? else { return leave(chapter) };
        let observed = direct::run(one, stop, quiet)?;
        prose::print(&tell::outcome(one, guess, &observed))?;
        keep(one, guess, &observed);
        match observed.ended {
            Ended::Answered(answer) if guess == Some(answer) => right += 1,
            Ended::Answered(_) => to_come.push_back(one),
            Ended::Needs(_) => cannot += 1,
            Ended::Failed(_) => {
                say::tell(&format!("ipclab: {}\n", observed.trouble(one)));
                failed += 1;
            }
        }
        if !to_come.is_empty() {
            say::tell("\nEnter asks the next question; q leaves: ");
            match read_line(stop)?.as_deref().map(str::trim) {
                Some("q" | "quit" | "exit") | None => return leave(chapter),
                Some(_) => prose::print("\n")?,
            }
        }
    }
    if cannot > 0 {
        prose::print(&format!("\n{cannot} of {all} cannot run here.\n"))?;
    }
    if failed > 0 {
        bail!("{failed} of {all} experiments could not be run");
    }
    prose::print(&format!(
        "\n{right} of {all} right in {chapter}. What comes next: ipclab next\n"
    ))
}

fn leave(chapter: &str) -> Result<()> {
    prose::print(&format!("\nTo go on: ipclab experiment {chapter} --quiz\n"))
}
