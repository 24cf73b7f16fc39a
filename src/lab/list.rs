//! The listing of chapters, and a chapter's first page in the terminal.

use std::fmt::Write;

use anyhow::Result;
use colored::Colorize;
use serde_json::json;

use crate::chapter::{Role, Row};
use crate::chapters::{find, rows};
use crate::wire::meet::Meets;

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
        return super::print(&format!("{:#}\n", serde_json::Value::from(all)));
    }
    super::print(&table())
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

fn table() -> String {
    let mut text = String::new();
    for row in rows() {
        let roles: Vec<_> = row.roles.iter().map(|role| role.name).collect();
        let name = format!("{:<9}", row.name);
        let _ =
            writeln!(text, "  {} {:<58} {}", name, row.summary, roles.join(", "));
    }
    text
}

/// `ipclab` alone: the table, and where to begin.
///
/// # Errors
/// From writing standard output.
pub fn overview() -> Result<()> {
    super::print(&format!(
        "ipclab: learn inter-process communication by running it.\n\n\
         {}\n\
         Begin with:  ipclab demo            both roles of every chapter, checked\n\
         then, in two terminals:\n  \
         ipclab fifo receiver\n  \
         ipclab fifo sender hello\n\
         A chapter's roles: ipclab CHAPTER. All options: ipclab CHAPTER ROLE --help.\n",
        table()
    ))
}

/// `ipclab CHAPTER` alone: its roles, what is on the wire, and the commands.
///
/// # Errors
/// From writing standard output.
pub fn chapter(name: &str) -> Result<()> {
    let Some(row) = find(name) else { return Ok(()) };
    let mut text = format!("{}: {}\n\nRoles:\n", row.name, row.summary);
    let longest = row.roles.iter().map(|role| role.name.len()).fold(9, usize::max);
    for role in row.roles {
        let _ = writeln!(text, "  {:<longest$} {}", role.name, role.does);
    }
    let _ = writeln!(text, "\nOn the wire: {}.", row.wire);
    let death = row.on_peer_death.text();
    let _ = writeln!(text, "When the peer is killed: {death}.\n");
    if let Some(missing) = row.missing() {
        let _ = writeln!(text, "Not here: {missing}.\n");
    }
    let _ = match row.meets {
        Meets::Nowhere => writeln!(text, "Run it:"),
        Meets::World => writeln!(text, "Run it, all ranks of a role at once:"),
        _ => {
            writeln!(text, "Run it, each in a terminal of its own, in either order:")
        }
    };
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
    super::print(&text)
}
