//! An experiment's section of its chapter's page: the question, and the captured answer
//! folded under it with the code that ran.

use std::fmt::Write;

use super::direct::{Ended, Observed, caveat};
use super::entry::Entry;
use super::tell::calls;
use experiments::row::Experiment;

/// Its heading, with a target for links that another title cannot take.
fn heading(experiment: &Experiment) -> String {
    format!("{} {{#experiment-{}}}", experiment.title, experiment.name)
}

/// A list of links to the sections of a whole chapter: they fill many screens.
pub(super) fn contents(chosen: &[Entry]) -> String {
    let mut text = String::new();
    for (_, one) in chosen {
        let _ = writeln!(text, "- [{}](#experiment-{})", one.title, one.name);
    }
    text + "\n"
}

/// The section, in Markdown; the program that captures pages writes it to
/// `chapters/experiments/CHAPTER.md`.
pub(super) fn section((chapter, experiment): Entry, observed: &Observed) -> String {
    let mut text =
        format!("### {}\n\n{}\n\n", heading(experiment), experiment.question);
    for (number, answer) in (1..).zip(experiment.answers) {
        let _ = writeln!(text, "{number}. {}", answer.text);
    }
    if let Some(caveat) = caveat(experiment.kind) {
        let _ = write!(text, "\n{caveat}\n");
    }
    let id = format!("{chapter}/{}", experiment.name);
    let _ = write!(text, "\nGuess: `ipclab experiment {id}`\n");
    let Ended::Answered(answer) = observed.ended else { return text + "\n" };
    let _ = write!(
        text,
        "\n<details>\n<summary>What happened</summary>\n\n\
         ```text\n$ ipclab experiment {id} --show\n\n{}\n```\n\n",
        calls(&observed.records).trim_end()
    );
    let numbered: Vec<_> = (1..).zip(experiment.answers).collect();
    for (number, given) in numbered.iter().filter(|(number, _)| *number == answer) {
        let _ = write!(text, "**{number}.** {}\n\n", given.why);
    }
    for (number, given) in numbered.iter().filter(|(number, _)| *number != answer) {
        let _ = write!(text, "Not {number}: {}\n\n", given.why);
    }
    let _ = write!(text, "{} See {}.\n\n", experiment.moral, experiment.see);
    text += "<details>\n<summary>The code that ran</summary>\n\n";
    for anchor in experiment.shows {
        if anchor.ends_with("-broken") {
            text += "Broken:\n\n";
        } else if anchor.ends_with("-cured") {
            text += "Cured:\n\n";
        }
        let _ = write!(
            text,
            "```rust,ignore\n{{{{#include ../../{}:{anchor}}}}}\n```\n\n",
            experiment.file
        );
    }
    text + "</details>\n\n</details>\n\n"
}
