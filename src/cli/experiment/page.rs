//! An experiment as its chapter's page shows it: a question whose answers are folds, each with
//! its reason, and the captured answer with the code that ran.

use std::fmt::Write;

use super::direct::{Ended, Observed, caveat};
use super::entry::Entry;
use super::tell::calls;
use experiments::row::Experiment;

/// The question, in Markdown, between two marks by which a page includes it; the program that
/// captures pages writes it to `chapters/experiments/CHAPTER.md`.
pub(super) fn section((chapter, experiment): Entry, observed: &Observed) -> String {
    let Experiment { name, title, question, .. } = experiment;
    let stop = if title.ends_with('?') { "" } else { "." };
    let mut text = format!(
        "<!-- ANCHOR: {name} -->\n<div class=\"guess\" id=\"experiment-{name}\">\n\n\
         **{title}{stop}** {question}\n\n"
    );
    let answered = match observed.ended {
        Ended::Answered(answer) => Some(answer),
        _ => None,
    };
    for (number, answer) in (1..).zip(experiment.answers) {
        let verdict = match answered {
            Some(right) if right == number => "**Yes.** ",
            Some(_) => "**No.** ",
            None => "",
        };
        let _ = write!(
            text,
            "<details name=\"{name}\"><summary>{}</summary>\n\n{verdict}{}\n\n</details>\n\n",
            summary(answer.text),
            answer.why
        );
    }
    if let Some(caveat) = caveat(experiment.kind) {
        let _ = write!(text, "{caveat}\n\n");
    }
    if answered.is_some() {
        text += &what_happened(chapter, experiment, observed);
    }
    let _ = write!(
        text,
        "Let your kernel answer: `ipclab experiment {chapter}/{name}`\n\n</div>\n\
         <!-- ANCHOR_END: {name} -->\n\n"
    );
    text
}

/// The calls that were made, what they teach, and the code that ran, folded.
fn what_happened(
    chapter: &str,
    experiment: &Experiment,
    observed: &Observed,
) -> String {
    let mut text = format!(
        "<details><summary>What the kernel did, and the code that ran</summary>\n\n\
         ```text\n$ ipclab experiment {chapter}/{} --show\n\n{}\n```\n\n{} See {}.\n\n",
        experiment.name,
        calls(&observed.records).trim_end(),
        experiment.moral,
        experiment.see
    );
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

/// An answer as the text of a fold's title, which is HTML: code stands between backticks.
fn summary(answer: &str) -> String {
    let html =
        answer.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut text = String::new();
    for (index, part) in html.split('`').enumerate() {
        match index % 2 {
            0 => text += part,
            _ => text += &format!("<code>{part}</code>"),
        }
    }
    text
}
