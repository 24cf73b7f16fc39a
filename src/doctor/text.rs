//! As a person reads it: a section a chapter, in what is lost, and one sentence at the end.

use std::fmt::Write;

use colored::{ColoredString, Colorize};

use super::answer::Mark;
use super::finding::{Finding, Kind};
use super::has_signs;
use lab::prose::{paragraph, width};

/// The sections that are no chapters, after those.
pub(crate) const OTHERS: [&str; 4] = ["trace", "bench", "bare", "experiment"];

/// All of it. What is ok is left out, unless `all` is wanted or one chapter is.
pub(crate) fn page(
    found: &[Finding],
    chapter: Option<&str>,
    all: bool,
    sentence: &str,
) -> String {
    let whole = all || chapter.is_some();
    let mut text = String::new();
    for (name, section) in sections(found, chapter) {
        let good = section.iter().filter(|one| one.mark == Mark::Ok).count();
        let count = format!("{good} of {}", section.len());
        let _ = writeln!(
            text,
            "{} {:<12} {count}",
            sign(mark_of(&section)),
            name.bold()
        );
        for one in section {
            // What several chapters share stands in full under the first.
            if chapter.is_none()
                && !one.stands_under(name)
                && !one.chapters.is_empty()
            {
                if one.mark != Mark::Ok {
                    let first = one.chapters.first().copied().unwrap_or_default();
                    let line = format!("{}: see {first}", one.name);
                    text += &paragraph(width(), "    ", "    ", &line);
                }
                continue;
            }
            if whole || one.mark != Mark::Ok {
                text += &lines(one);
            }
        }
    }
    text.push('\n');
    text += &paragraph(width(), "", "", sentence);
    if !whole {
        let more = "ipclab doctor CHAPTER tells all of one chapter: times, limits, how they are \
                    raised. --report makes a block to paste.";
        text += &paragraph(width(), "", "", more);
    }
    text
}

/// The findings by what they concern: all chapters, then each, then the other commands.
pub(crate) fn sections<'a>(
    found: &'a [Finding],
    chapter: Option<&'a str>,
) -> Vec<(&'a str, Vec<&'a Finding>)> {
    let general: Vec<_> =
        found.iter().filter(|one| one.chapters.is_empty()).collect();
    let of = |name: &'a str| -> Vec<&Finding> {
        found.iter().filter(|one| one.chapters.contains(&name)).collect()
    };
    let chapters = chapters::rows().iter().map(|row| row.name).chain(OTHERS);
    let mut all = vec![("all chapters", general)];
    match chapter {
        Some(name) => all.push((name, of(name))),
        None => all.extend(chapters.map(|name| (name, of(name)))),
    }
    all.retain(|(_, section)| !section.is_empty());
    all
}

/// The mark of a section: where its roles run, what else is missing is a limit.
fn mark_of(section: &[&Finding]) -> Mark {
    let missing = |one: &&Finding| one.mark == Mark::Missing;
    let nothing = !section.iter().any(|one| one.mark == Mark::Ok);
    match section.iter().map(|one| one.mark).max() {
        None | Some(Mark::Ok) => Mark::Ok,
        _ if section.iter().any(|one| missing(one) && is_needed(one)) => {
            Mark::Missing
        }
        Some(Mark::Missing) if nothing => Mark::Missing,
        Some(_) => Mark::Limited,
    }
}

/// Whether its section is nothing without it: roles do not run, or no trace is drawn.
fn is_needed(one: &Finding) -> bool {
    one.necessary || one.name == "ptrace"
}

/// The mark, as a sign and a colour.
fn sign(mark: Mark) -> ColoredString {
    let signs = has_signs();
    match mark {
        Mark::Ok => if signs { "✓" } else { "+" }.green(),
        Mark::Limited => "!".yellow(),
        Mark::Missing => if signs { "✗" } else { "x" }.red(),
    }
}

/// The signs as the sentence names them.
fn name_of(mark: Mark) -> &'static str {
    match (mark, has_signs()) {
        (Mark::Ok, true) => "✓",
        (Mark::Ok, false) => "+",
        (Mark::Limited, _) => "!",
        (Mark::Missing, true) => "✗",
        (Mark::Missing, false) => "x",
    }
}

/// One finding: what it is, and what is lost where it is not ok.
fn lines(one: &Finding) -> String {
    let columns = width();
    let (first, rest) = (format!("  {} ", sign(one.mark)), "    ");
    let took = one.took_us.filter(|took| *took > 0);
    let took = took.map_or(String::new(), |took| format!(" ({})", time(took)));
    let mut text = paragraph(
        columns,
        &first,
        rest,
        &format!("{}: {}{took}", one.what, one.found),
    );
    let mut more = |begin: &str, what: &str| {
        text += &paragraph(columns, &format!("      {begin}: "), "        ", what);
    };
    if one.mark != Mark::Ok {
        more("lost", &one.loses);
        if !one.experiments.is_empty() {
            more("cannot run", &one.experiments.join(", "));
        }
    }
    match &one.cure {
        Some(cure) if one.mark != Mark::Ok => more("what helps", cure),
        Some(cure) if one.kind == Kind::Limit => more("to raise it", cure),
        _ => {}
    }
    text
}

/// A time of microseconds.
fn time(us: u64) -> String {
    match us {
        0..10_000 => format!("{}.{:02} ms", us / 1000, us % 1000 / 10),
        _ => format!("{} ms", us / 1000),
    }
}

/// The last sentence: it says what the marks say.
pub(crate) fn sentence(found: &[Finding], chapter: Option<&str>) -> String {
    let all = match chapter {
        Some(verb) if OTHERS.contains(&verb) => format!("ipclab {verb}"),
        Some(chapter) => format!("chapter {chapter}"),
        None => "the book".to_owned(),
    };
    let count = |mark| found.iter().filter(|one| one.mark == mark).count();
    let lacking = |necessary: bool| {
        let mut names: Vec<&str> = Vec::new();
        let missing = found
            .iter()
            .filter(|one| one.mark == Mark::Missing && one.necessary == necessary);
        missing.for_each(|one| {
            if !names.contains(&one.name) {
                names.push(one.name);
            }
        });
        names.join(", ")
    };
    let (limited, missing) = (count(Mark::Limited), count(Mark::Missing));
    let with_limits = match limited {
        0 => String::new(),
        1 => format!(" One thing is limited ({}).", name_of(Mark::Limited)),
        n => format!(" {n} things are limited ({}).", name_of(Mark::Limited)),
    };
    let mark = name_of(Mark::Missing);
    match (lacking(true), missing) {
        (needed, _) if !needed.is_empty() => format!(
            "Not all of {all} runs here: something necessary is missing ({mark}): \
             {needed}.{with_limits}"
        ),
        (_, 1..)
            if chapter == Some("trace") && lacking(false).contains("ptrace") =>
        {
            format!(
                "{all} does not run here; missing ({mark}): {}.{with_limits}",
                lacking(false)
            )
        }
        (_, 1..) => format!(
            "Most of {all} runs here; missing ({mark}): {}.{with_limits}",
            lacking(false)
        ),
        _ if limited == 0 => format!("Everything in {all} runs here."),
        _ => format!("Everything in {all} runs here, but with limits.{with_limits}"),
    }
}
