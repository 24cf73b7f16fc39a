//! An experiment's section of its chapter's page: the question, and the captured answer
//! folded under it with the code that ran.

use std::fmt::Write;

use super::One;
use super::direct::{Ended, Observed, caveat};
use super::tell::calls;

/// The section, in Markdown; the program that captures pages writes it to
/// `chapters/experiments/CHAPTER.md`.
pub(super) fn section((chapter, experiment): One, observed: &Observed) -> String {
    let mut text =
        format!("### {}\n\n{}\n\n", experiment.title, experiment.question);
    for (number, answer) in (1..).zip(experiment.answers) {
        let _ = writeln!(text, "{number}. {}", answer.text);
    }
    if let Some(caveat) = caveat(experiment.kind) {
        let _ = write!(text, "\n{caveat}\n");
    }
    let Ended::Answered(answer) = observed.ended else { return text + "\n" };
    let _ = write!(
        text,
        "\n<details>\n<summary>The answer of the kernel</summary>\n\n\
         ```text\n$ ipclab experiment {chapter}/{} --show\n\n{}\n```\n\n",
        experiment.name,
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
    text + "</details>\n\n"
}
