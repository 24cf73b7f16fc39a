//! What an experiment prints: the question, then what was seen, and why.

use std::fmt::Write;

use colored::{ColoredString, Colorize};
use serde_json::{Value, json};

use super::direct::{Ended, Observed, caveat};
use super::entry::Entry;
use experiments::record::Record;
use experiments::row::Answer;
use lab::prose;
use wire::say::{fold, hanging};

/// Calls up to this length have what they returned in one column.
const WIDE: usize = 46;

/// The width of prose, in columns; a narrower terminal has its own.
const PROSE: usize = 78;

/// `text` as a paragraph whose lines begin with `first`, then with `rest`.
fn paragraph(first: &str, rest: &str, text: &str) -> String {
    prose::paragraph(prose::width().min(PROSE), first, rest, text)
}

/// The question with its answers.
pub(super) fn question((chapter, experiment): Entry) -> String {
    let id = format!("{chapter}/{}", experiment.name);
    let title = paragraph("", "  ", &format!("{id}  {}", experiment.title));
    let mut text = title.replacen(&id, &id.bold().to_string(), 1) + "\n";
    text += &paragraph("", "", experiment.question);
    text.push('\n');
    for (number, answer) in (1..).zip(experiment.answers) {
        text += &paragraph(&format!("  {number}  "), "     ", answer.text);
    }
    if let Some(caveat) = caveat(experiment.kind) {
        text.push('\n');
        text += &paragraph("", "", &caveat);
    }
    text.push('\n');
    text
}

/// What the kernel did, and why it is so.
pub(super) fn outcome(
    one: Entry,
    guess: Option<usize>,
    observed: &Observed,
) -> String {
    let (_, experiment) = one;
    let mut text = calls(&observed.records);
    let answer = match &observed.ended {
        Ended::Answered(answer) => *answer,
        Ended::Needs(_) | Ended::Failed(_) => experiment.expected(),
    };
    if !matches!(observed.ended, Ended::Answered(_)) {
        let lacks = match &observed.ended {
            Ended::Needs(what) => format!(" It needs {what}."),
            _ => String::new(),
        };
        text += &paragraph(
            "",
            "",
            &format!("No answer from this machine.{lacks} The book's is {answer}."),
        );
    } else if answer != experiment.expected() {
        text += &paragraph(
            "",
            "",
            &format!(
                "This kernel's answer is {answer}. The book was written on one that \
                 answers {}.",
                experiment.expected()
            ),
        );
    }
    // Where nothing was run, the guess is not mentioned.
    if matches!(observed.ended, Ended::Answered(_)) {
        let verdict = match guess {
            None => format!("The answer is {answer}.").bold(),
            Some(guess) if guess == answer => format!("✓ {guess} is right.").green(),
            Some(guess) => {
                format!("✗ {guess} is not what happened: the answer is {answer}.")
                    .red()
            }
        };
        let _ = writeln!(text, "{verdict}");
    }
    text.push('\n');
    text += &reasons(experiment.answers, answer);
    text.push('\n');
    text += &paragraph("", "", experiment.moral);
    text +=
        &paragraph("", "", &format!("See {}; {}.", experiment.see, experiment.file));
    text
}

/// The calls that mattered, what was observed, and what bears on it.
pub(super) fn calls(records: &[Record]) -> String {
    let mut text = String::new();
    let lane = records.iter().filter_map(|record| match record {
        Record::Call { who, .. } | Record::Event { who, .. } => {
            Some(who.chars().count())
        }
        _ => None,
    });
    let lane = lane.max().unwrap_or(0);
    let wide = records.iter().filter_map(|record| match record {
        Record::Call { call, .. } => Some(call.chars().count()),
        _ => None,
    });
    let wide = wide.filter(|wide| *wide <= WIDE).max().unwrap_or(0);
    for record in records {
        match record {
            Record::Call { who, call, returned } => {
                let line = format!("{call:<wide$} = {returned}");
                laned(&mut text, who, lane, &line, |line| line.normal());
            }
            Record::Event { who, text: what } => {
                laned(&mut text, who, lane, what, |line| line.italic());
            }
            _ => {}
        }
    }
    text.push('\n');
    let calls = text.len();
    for record in records {
        if let Record::Saw { what, value } = record {
            let line = format!("{what}: {}", plain(value));
            let _ = writeln!(text, "  {}", hanging(&line, 2, 4, prose::width()));
        }
    }
    if text.len() > calls {
        text.push('\n');
    }
    for record in records {
        if let Record::Note(note) = record {
            text += &paragraph("On this machine: ", "", note);
            text.push('\n');
        }
    }
    text
}

/// A line of the process that called, folded beside its lane.
fn laned(
    text: &mut String,
    who: &str,
    lane: usize,
    line: &str,
    style: fn(&str) -> ColoredString,
) {
    let indent = lane + 5;
    // What a call returned stands under the call, where there is no room beside it.
    let lines = fold(line, indent, indent + 2, prose::width());
    for (number, line) in lines.iter().enumerate() {
        let _ = match number {
            0 => writeln!(
                text,
                "  {} │ {}",
                format!("{who:<lane$}").cyan(),
                style(line)
            ),
            _ => writeln!(text, "{:1$}{2}", "", indent + 2, style(line)),
        };
    }
}

/// The right answer's reason first, then what is wrong with each other one.
fn reasons(answers: &[Answer], answer: usize) -> String {
    let numbered: Vec<(usize, &Answer)> = (1..).zip(answers).collect();
    let (right, wrong): (Vec<_>, Vec<_>) =
        numbered.into_iter().partition(|(number, _)| *number == answer);
    let mut text = String::new();
    for (number, given) in right {
        text += &paragraph(&format!("  {number}  "), "     ", given.why);
    }
    for (number, given) in wrong {
        text += &paragraph(&format!("  {number}  not: "), "     ", given.why);
    }
    text
}

/// A value as a reader wants it: a text without quotes where that is clear.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "none".into(),
        Value::String(text) if text.trim() != text || text.is_empty() => {
            format!("{text:?}")
        }
        Value::String(text) => text.replace('\n', "\\n"),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::Array(all) if all.is_empty() => "nothing".into(),
        Value::Array(all) => all.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// The question as data; `answer`, `calls` and `saw` if it was run.
pub(super) fn json(one: Entry, guess: Option<usize>, observed: &Observed) -> String {
    let mut object = asked(one);
    let calls: Vec<Value> = observed
        .records
        .iter()
        .filter_map(|record| match record {
            Record::Call { who, call, returned } => {
                Some(json!({ "who": who, "call": call, "returned": returned }))
            }
            Record::Event { who, text } => {
                Some(json!({ "who": who, "event": text }))
            }
            _ => None,
        })
        .collect();
    let saw: serde_json::Map<String, Value> = observed
        .records
        .iter()
        .filter_map(|record| match record {
            Record::Saw { what, value } => Some((what.clone(), value.clone())),
            _ => None,
        })
        .collect();
    let notes: Vec<&String> = observed
        .records
        .iter()
        .filter_map(|record| match record {
            Record::Note(text) => Some(text),
            _ => None,
        })
        .collect();
    object["calls"] = calls.into();
    object["saw"] = saw.into();
    object["notes"] = json!(notes);
    object["guess"] = guess.into();
    match &observed.ended {
        Ended::Answered(answer) => object["answer"] = (*answer).into(),
        Ended::Needs(what) => object["needs"] = what.clone().into(),
        Ended::Failed(why) => object["failed"] = why.clone().into(),
    }
    format!("{object}\n")
}

/// The question as data.
pub(super) fn asked((chapter, experiment): Entry) -> Value {
    let answers: Vec<&str> =
        experiment.answers.iter().map(|answer| answer.text).collect();
    json!({
        "experiment": format!("{chapter}/{}", experiment.name),
        "title": experiment.title,
        "level": experiment.level.text(),
        "question": experiment.question,
        "answers": answers,
        "expected": experiment.expected(),
    })
}
