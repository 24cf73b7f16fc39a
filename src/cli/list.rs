//! The listing of chapters, and a chapter's first page in the terminal.

use std::fmt::Write;

use anyhow::Result;
use colored::Colorize;
use serde_json::json;

use chapters::{find, rows};
use experiments;
use wire::chapter::{Role, Row};
use wire::meet::Meets;

use super::next;
use lab::prose;

/// The options of `ipclab list`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// One JSON array, an object a chapter: name, summary, wire, on_peer_death, missing
    /// (what this build lacks for it, or null), roles
    #[arg(long)]
    json: bool,
}

/// `ipclab list`.
///
/// # Errors
/// From writing standard output.
pub fn run(options: &Options) -> Result<()> {
    if options.json {
        let all: Vec<_> = rows().iter().map(as_json).collect();
        return prose::print(&format!("{:#}\n", serde_json::Value::from(all)));
    }
    prose::print(&table())
}

fn as_json(row: &Row) -> serde_json::Value {
    let roles: Vec<_> = row
        .roles
        .iter()
        .map(|role| json!({ "name": role.name, "does": role.does }))
        .collect();
    json!({
        "name": row.name,
        "summary": row.summary,
        "wire": row.wire,
        "on_peer_death": row.on_peer_death.text(),
        "missing": row.missing(),
        "roles": roles,
    })
}

/// The chapters and their roles: a line each, where they all fit.
fn table() -> String {
    let width = prose::width();
    let names = |row: &Row| {
        let roles: Vec<_> = row.roles.iter().map(|role| role.name).collect();
        roles.join(", ")
    };
    let one_line = |row: &Row| {
        format!("  {:<9} {:<58} {}\n", row.name, row.summary, names(row))
    };
    let rows = rows();
    if rows.iter().all(|row| one_line(row).trim_end().chars().count() <= width) {
        return rows.iter().map(one_line).collect();
    }
    let mut text = String::new();
    let rest = " ".repeat(12);
    for row in rows {
        let first = format!("  {:<9} ", row.name);
        text += &prose::paragraph(width, &first, &rest, row.summary);
        text += &prose::paragraph(width, &rest, &rest, &names(row));
    }
    text
}

/// What can be done with a chapter, beside playing its roles: only what there is.
fn closer(row: &Row) -> Vec<(String, String)> {
    let name = row.name;
    let mut all = vec![(
        format!("ipclab bare {name}"),
        "the shortest whole program, in Rust (--lang c, --lang python)".into(),
    )];
    if row.meets != Meets::World {
        all.push((
            format!("ipclab trace {name}"),
            "the system calls of all roles, side by side".into(),
        ));
    }
    all.push((
        format!("ipclab map {name}"),
        "while they run: who holds which end, and who sleeps on it".into(),
    ));
    let experiments = experiments::of(name).len();
    if experiments > 0 {
        all.push((
            format!("ipclab experiment {name}"),
            format!(
                "{experiments} pitfalls as questions: guess, and the kernel answers"
            ),
        ));
    }
    if bench::with_figures().contains(&name) {
        all.push((
            format!("ipclab bench {name}"),
            "how fast it is, in multiples of the machine's best".into(),
        ));
    }
    all.push((
        format!("ipclab help {name} {}", row.roles[0].name),
        "all options of a role".into(),
    ));
    all
}

/// `ipclab` alone: the table, and where to begin.
///
/// # Errors
/// From writing standard output.
pub fn overview() -> Result<()> {
    let width = prose::width();
    let begin = [
        ("ipclab demo", "both roles of every chapter, checked"),
        ("ipclab bare fifo", "the shortest whole program of a mechanism"),
        ("ipclab fifo", "a chapter: its roles, its wire, the commands"),
        ("ipclab fifo receiver", "one of its roles, and in another terminal:"),
        ("ipclab fifo sender hello", "the other"),
        ("ipclab trace fifo", "the system calls of both, side by side"),
        ("ipclab map", "who holds which object now, and who sleeps on it"),
        (
            "ipclab experiment",
            "pitfalls as questions: guess, and the kernel answers",
        ),
        ("ipclab exercise", "programs to write and to mend, checked step by step"),
        (
            "ipclab bench --quick",
            "how fast each is, in multiples of the machine's best",
        ),
        ("ipclab next", "your path: what is done, and the command to type now"),
        ("ipclab doctor", "what this machine offers, and what it lacks"),
        ("ipclab help", "all verbs; help CHAPTER ROLE has all options"),
    ];
    prose::print(&format!(
        "ipclab: learn inter-process communication by running it.\n\n{}\n\
         Begin with these; fifo stands for any chapter:\n{}\n{}\n{}",
        table(),
        prose::pairs(width, &begin),
        prose::paragraph(width, "", "", BOOK),
        next::line(),
    ))
}

/// Where the pages are.
const BOOK: &str = "The book has a page for each chapter: `mdbook serve --open` in the source, or \
                    chapters/CHAPTER.md.";

/// `ipclab CHAPTER` alone: its roles, what is on the wire, and the commands.
///
/// # Errors
/// From writing standard output.
pub fn chapter(name: &str) -> Result<()> {
    let Some(row) = find(name) else { return Ok(()) };
    let width = prose::width();
    let prose = |text: &str| prose::paragraph(width, "", "  ", text);
    let mut text = prose(&format!("{}: {}", row.name, row.summary));
    let roles: Vec<_> =
        row.roles.iter().map(|role| (role.name, role.does)).collect();
    let _ = write!(text, "\nRoles:\n{}\n", prose::pairs(width, &roles));
    text += &prose(&format!("On the wire: {}.", row.wire));
    text +=
        &prose(&format!("When the peer is killed: {}.", row.on_peer_death.text()));
    text.push('\n');
    if let Some(missing) = row.missing() {
        text += &prose(&format!("Not here: {missing}."));
        text.push('\n');
    }
    text += &prose(match row.meets {
        Meets::Nowhere => "Run it:",
        Meets::World => "Run it, all ranks of a role at once:",
        _ => "Run it, each in a terminal of its own, in either order:",
    });
    let (forks, alone): (Vec<&Role>, Vec<&Role>) =
        row.roles.iter().partition(|role| role.name == "fork");
    let first = alone.iter().filter_map(|role| role.command_lines().next());
    let most = if row.meets == Meets::Nowhere { 1 } else { row.roles.len() };
    for example in first.take(most) {
        let _ = writeln!(text, "  {}", example.bold());
    }
    for example in forks.iter().filter_map(|role| role.command_lines().next()) {
        let _ = writeln!(text, "Or all in one program:");
        let _ = writeln!(text, "  {}", example.bold());
    }
    let closer = closer(&row);
    let closer: Vec<_> =
        closer.iter().map(|(command, does)| (command, does.as_str())).collect();
    let _ = write!(text, "\nLook closer:\n{}\n", prose::pairs(width, &closer));
    text += &prose(
        &BOOK
            .replace("CHAPTER", row.name)
            .replace("a page for each chapter", "a page for it"),
    );
    prose::print(&text)
}
