//! `ipclab trace`: what two processes ask of the kernel, side by side.
//!
//! - `run`, `start`, `tracer`: programs under ptrace(2), every stop of theirs.
//! - `decode`, `memory`, `named`, `objects`, `duplicate`, `asked`, `socket`, `world`: what a stop
//!   means.
//! - `event`: what was seen; `pair`: which call woke or fed which; `noise`: what of it is
//!   shown.
//! - `play`: a scene of processes that is traced for its numbers of calls.
//! - `cell`, `text`, `rows`, `draw`, `svg`, `json`: how it is shown.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::builder::PossibleValuesParser;

use bare::Program;
use chapters::find;
use lab::{progress, prose};
use os::process_identity::ProcessIdentity;
use wire::errors::usage;
use wire::meet::Meets;
use wire::say::tell;

mod asked;
mod cell;
mod decode;
#[cfg(any(test, fuzzing))]
#[path = "../../tests/fuzz/targets/decode.rs"]
mod decode_fuzz;
mod draw;
mod duplicate;
mod event;
#[cfg(any(test, fuzzing))]
#[path = "../../tests/fuzz/trace.rs"]
pub mod fuzz;
mod json;
mod memory;
mod named;
mod noise;
mod objects;
mod pair;
pub mod play;
mod rows;
mod run;
mod socket;
mod start;
mod svg;
mod text;
mod tracer;
mod world;

/// The options of `ipclab trace`.
#[derive(Debug, clap::Args)]
#[command(after_help = prose::examples(&[
    ("trace fifo", "both roles of a chapter, side by side"),
    ("trace fifo --bare", "its bare program: every call that it makes"),
    ("trace fifo --all", "every call, the loader's too"),
    ("trace tcp --svg tcp.svg", "also as a picture"),
    ("trace tcp --json | jq .call", "an event a line"),
    ("trace -- ./send ::: ./receive", "two programs of your own, in any language"),
]) + "
What the programs print is not mixed in: a chapter's is checked and left out, your own \
programs' goes to standard error. They have the terminal as they would without trace, the first \
has standard input: Ctrl-C, Ctrl-Z and passwords are theirs. Ctrl-\\ ends them all, and draws \
what was seen.")]
pub struct Options {
    /// The chapter whose roles are traced
    #[arg(value_name = "CHAPTER", conflicts_with = "commands")]
    #[arg(value_parser = PossibleValuesParser::new(lab::bare::names()))]
    #[arg(hide_possible_values = true)]
    chapter: Option<String>,

    /// The chapter's bare program plays all roles (`ipclab bare`)
    #[arg(long, requires = "chapter")]
    bare: bool,

    /// Show every system call, from execve on
    #[arg(long)]
    all: bool,

    /// One JSON object a line, an event each: the book's page "Trace" tells the fields
    #[arg(long)]
    json: bool,

    /// Also draw it as a picture, into FILE
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    /// How many columns the drawing may have; the terminal's, or 80
    #[arg(long, value_name = "COLUMNS", value_parser = clap::value_parser!(u16).range(60..=400))]
    width: Option<u16>,

    /// Programs of your own, with `:::` between them
    #[arg(last = true, value_name = "COMMAND")]
    commands: Vec<OsString>,
}

/// `ipclab trace`.
///
/// # Errors
/// When a program cannot be traced, or what a chapter printed is not what it should.
pub fn run(options: &Options, coloured: bool) -> Result<()> {
    let subject = match &options.chapter {
        Some(name) => {
            let program = Program::find(name).filter(|_| options.bare);
            let row = match (program, find(name)) {
                (Some(program), _) => lab::bare::row(program)?,
                (None, Some(row)) => row,
                (None, None) => return Err(usage(lab::bare::add_option(name))),
            };
            if row.meets == Meets::World {
                bail!(
                    "trace {name}: mpiexec starts its ranks, and MPI's own threads move their \
                     bytes; ipclab demo {name} shows the calls of MPI"
                );
            }
            match program {
                Some(program) => run::Subject::Bare(program, row),
                None => run::Subject::Chapter(row),
            }
        }
        None => run::Subject::Commands(split(&options.commands)?),
    };
    // What a call means is read from /proc: a /proc of other processes would show nothing.
    ProcessIdentity::own().context("readlink /proc/self")?;
    let mut watch =
        start::Watch::begin(matches!(subject, run::Subject::Commands(_)))?;
    let run::Ran { mut trace, failure } = run::run(&subject, &mut watch)?;
    if watch.caught.is_some() && rustix::stdio::stderr().is_terminal() {
        // The terminal has written ^C where our first line will stand.
        tell("\n");
    }
    let arrows = pair::arrows(&mut trace);
    // The library zbus makes calls of its own, many of them.
    let is_library =
        matches!(subject, run::Subject::Bare(program, _) if program.name == "dbus");
    let shown = match options.bare && !options.all && !is_library {
        true => noise::after_the_start(&trace),
        false => noise::choose(&trace, &arrows, options.all),
    };
    if options.json {
        prose::print(&json::lines(&trace, &shown, &arrows))?;
    } else {
        let drawing =
            rows::layout(&trace, &shown, &arrows, options.all, subject.row());
        prose::print(&draw::text(&trace, &drawing, options.width, coloured))?;
    }
    if let Some(path) = &options.svg {
        let drawing =
            rows::layout(&trace, &shown, &arrows, options.all, subject.row());
        let picture = svg::picture(&trace, &drawing, &subject.title());
        lab::whole::write(path, &picture)?;
    }
    if let Some(signal) = watch.caught {
        return watch.end_by(signal);
    }
    if let Some(failure) = failure {
        bail!(failure);
    }
    if let run::Subject::Bare(program, _) = subject {
        progress::done("trace", [program.name], false);
    }
    Ok(())
}

/// The commands between the `:::`.
fn split(words: &[OsString]) -> Result<Vec<Vec<OsString>>> {
    if words.is_empty() {
        return Err(usage(
            "trace what? ipclab trace fifo, or ipclab trace -- COMMAND ::: COMMAND",
        ));
    }
    let commands: Vec<_> =
        words.split(|word| word == ":::").map(<[_]>::to_vec).collect();
    if commands.iter().any(Vec::is_empty) {
        return Err(usage("a command is missing beside ':::'"));
    }
    Ok(commands)
}
