//! `ipclab map`: which process holds which object, and who sleeps on it.
//!
//! - `look`: one look, by the gatherers: `processes`, `descriptors`, `mappings`, `locks`, `sysv`, `epolls`,
//!   `diag` and `sockets`, `fill` with `duplicate`, `sleepers` with `calls`; `again`: what moved.
//! - `model`: what was found; `select`, `descendants`: what of it is drawn.
//! - `cycles`: who waits for whom in a circle; `mistakes`: sentences.
//! - `commands`: programs of the user's, until they sleep; `watch`: one look after another;
//!   `facts`: in what two looks differ.
//! - `plain`: numbers that do not differ from run to run.
//! - `label`, `text`, `json`, `svg` with `shapes`: how it is shown.
//!
//! It changes nothing that it looks at: no pipe, FIFO or terminal of another process is opened.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::stdio::stdout;

use lab::prose;
use os::process_identity::ProcessIdentity;
use wire::errors::usage;

mod again;
mod calls;
mod commands;
mod cycles;
mod descendants;
mod descriptors;
mod diag;
mod duplicate;
mod epolls;
mod facts;
mod fill;
mod json;
mod label;
mod locks;
mod look;
mod mappings;
mod mistakes;
mod model;
mod plain;
mod processes;
mod select;
mod shapes;
mod sleepers;
mod sockets;
mod svg;
mod sysv;
mod text;
mod watch;

use select::Selection;

/// The options of `ipclab map`.
#[derive(Debug, clap::Args)]
#[command(after_help = prose::examples(&[
    ("map", "ipclab's processes, and those of this terminal"),
    ("map fifo", "a chapter's roles, and who has its FIFO open"),
    ("map 4211 4212", "two processes, and who shares an object with them"),
    ("map --watch fifo", "and then what comes and goes, every second"),
    ("map -- ./send ::: ./receive", "two programs of your own, once they sleep"),
    ("map fifo --svg fifo.svg", "also as a picture"),
    ("map fifo --diff before.json", "what has changed since --json printed that"),
    ("map --all --json | jq .cycles", "the whole machine, for a program"),
]) + "
Commands are started, drawn once all of them sleep or Ctrl-C comes, and ended. Their output goes \
to standard error; standard input is the first one's, unless it is a terminal.

It opens no pipe and no FIFO anew, so no reader or writer comes into being. What it may not look \
into, such as another user's processes, it lists.")]
pub struct Options {
    /// A chapter, or the ids of processes; without any, ipclab's and this terminal's
    #[arg(value_name = "CHAPTER|PID", conflicts_with_all = ["commands", "all"])]
    what: Vec<String>,

    /// All processes of this machine
    #[arg(long)]
    all: bool,

    /// One JSON object: the book's page "Who holds it" tells the fields
    #[arg(long)]
    json: bool,

    /// Look again every second, and tell what came (+) and went (-), until Ctrl-C
    #[arg(long, conflicts_with = "commands")]
    watch: bool,

    /// Tell what came (+) and went (-) since a map that --json has printed into FILE
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "watch", "plain_ids"])]
    diff: Option<PathBuf>,

    /// Also draw it as a picture, into FILE
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    /// Draw objects of these kinds alone, with commas between them
    #[arg(
        long,
        value_name = "KIND",
        value_delimiter = ',',
        hide_possible_values = true
    )]
    only: Vec<model::Kind>,

    /// Draw those objects alone whose name, or the last part of whose path, is NAME
    #[arg(long, value_name = "NAME", conflicts_with = "watch")]
    named: Option<String>,

    /// Count processes, inodes and chosen ports, and leave out times and what may not be looked
    /// into: two maps of one scene are equal then
    #[arg(long, conflicts_with = "watch")]
    plain_ids: bool,

    /// How many columns the drawing may have; the terminal's, or 80
    #[arg(long, value_name = "COLUMNS", value_parser = clap::value_parser!(u16).range(60..=400))]
    width: Option<u16>,

    /// Leave out the pipes through which this process reads what the others print
    #[arg(long, value_name = "PID", hide = true, requires = "what")]
    printed_to: Option<i32>,

    /// Programs of your own, with `:::` between them
    #[arg(last = true, value_name = "CMD")]
    commands: Vec<OsString>,
}

/// `ipclab map`.
///
/// # Errors
/// When there is no such process, or /proc is not this PID namespace's.
pub fn run(options: &Options) -> Result<()> {
    // A /proc of another namespace would show other processes under our numbers.
    ProcessIdentity::own().context("readlink /proc/self")?;
    if !options.commands.is_empty() {
        return commands::run(&options.commands, &options.only, |map| {
            show(options, map)
        });
    }
    let selection = selection(options)?;
    let mut map = look::look(&selection, &options.only)?;
    show(options, &mut map)?;
    if options.watch {
        watch::watch(&selection, &options.only, &map, options.json)
    } else {
        Ok(())
    }
}

fn show(options: &Options, map: &mut model::Map) -> Result<()> {
    if let Some(name) = &options.named {
        select::named(map, name);
    }
    if options.plain_ids {
        plain::number(map);
    }
    if let Some(path) = &options.svg {
        let picture = svg::picture(map, &title(options));
        lab::whole::write(path, &picture)?;
    }
    if options.json {
        return prose::print(&json::line(map));
    }
    if let Some(path) = &options.diff {
        return difference(path, map);
    }
    let width = options.width.map(usize::from);
    let width = width.or_else(|| wire::say::columns(stdout())).unwrap_or(80);
    prose::print(&text::text(map, width))
}

/// What has changed since a map was saved.
fn difference(path: &Path, map: &model::Map) -> Result<()> {
    let name = path.display();
    let before =
        std::fs::read_to_string(path).with_context(|| format!("read {name}"))?;
    let before = facts::of(&before).with_context(|| name.to_string())?;
    let changes = facts::changes(&before, &facts::of(&json::line(map))?);
    match changes.is_empty() {
        true => prose::print("Nothing has come or gone.\n"),
        false => prose::print(&changes),
    }
}

/// What was asked, as the picture's title.
fn title(options: &Options) -> String {
    let mut words = vec!["ipclab map".to_owned()];
    words.extend(options.all.then(|| "--all".to_owned()));
    let what = options.what.iter();
    let is_plain =
        |word: &&String| !options.plain_ids || word.parse::<i32>().is_err();
    words.extend(what.filter(is_plain).cloned());
    if !options.commands.is_empty() {
        words.push("--".to_owned());
        let commands =
            options.commands.iter().map(|it| it.to_string_lossy().into_owned());
        words.extend(commands);
    }
    words.join(" ")
}

fn selection(options: &Options) -> Result<Selection> {
    if options.all {
        return Ok(Selection::All);
    }
    match &options.what[..] {
        [] => Ok(Selection::Near),
        [name] if chapters::find(name).is_some() => {
            let row = chapters::find(name).context("a chapter")?;
            Ok(Selection::Chapter(row))
        }
        words => {
            let pids = words.iter().map(|word| {
                let pid = word.parse().ok().filter(|pid: &i32| *pid > 0);
                pid.ok_or_else(|| {
                    usage(format!(
                        "'{}' is neither a chapter nor the id of a process",
                        wire::visible::visible(word)
                    ))
                })
            });
            let pids = pids.collect::<Result<_>>()?;
            Ok(Selection::Processes(pids, options.printed_to))
        }
    }
}
