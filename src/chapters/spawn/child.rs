//! The child: what it has inherited, and an echo.

use std::ffi::OsString;
use std::fs::{File, read_dir, read_link};
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::prctl::set_name;
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::{Pid, getcwd, getpgrp, getpid, getppid, getsid};
use rustix::termios::tcgetpgrp;

use crate::signal::number::Number;
use os::inheritance::{blocked_at_start, ignored_at_start, umask_at_start};
use wire::payload::{Payload, Printed, Style};
use wire::roles::Lines;
use wire::say;
use wire::standard::Input;

/// The options of `spawn child`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// What is asked; without it, each line of standard input is a question: descriptors, files,
    /// blocked, ignored, umask, directory, parent, group, session, terminal, limit, environment,
    /// all
    #[arg(value_name = "QUESTION")]
    questions: Vec<OsString>,
}

/// The longest line, in bytes.
const LONGEST: usize = 1 << 20;

// ANCHOR: answers
/// What answers a question.
type Ask = fn() -> Result<String>;

/// Each question, and what answers it.
const QUESTIONS: [(&str, Ask); 12] = [
    ("descriptors", || Ok(descriptors()?.join(" "))),
    ("files", files),
    ("blocked", || Ok(signals(&blocked_at_start()))),
    ("ignored", || Ok(signals(&ignored_at_start()))),
    ("umask", || Ok(format!("{:04o}", umask_at_start()))),
    ("directory", || Ok(getcwd().context("getcwd")?.display().to_string())),
    ("parent", || Ok(getppid().to_string())),
    ("group", || Ok(led(getpgrp()))),
    ("session", || Ok(led(getsid(None).context("getsid")?))),
    ("terminal", terminal),
    ("limit", limit),
    ("environment", || {
        Ok(say::count(std::env::vars_os().count() as u64, "variable"))
    }),
];

/// The answer to a question, or the line itself.
fn answer(line: &[u8]) -> Result<Vec<u8>> {
    if line == b"all" {
        let all = QUESTIONS.map(|(name, ask)| Ok(format!("{name:<11} {}", ask()?)));
        let all: Result<Vec<_>> = all.into_iter().collect();
        return Ok(all?.join("\n").into_bytes());
    }
    match QUESTIONS.iter().find(|(name, _)| name.as_bytes() == line) {
        Some((_, ask)) => Ok(ask()?.into_bytes()),
        None => Ok(line.to_owned()),
    }
}
// ANCHOR_END: answers

/// Plays the child.
///
/// # Errors
/// A line of over 1 MiB; standard input or output.
pub fn play(options: &Options) -> Result<()> {
    // What ps(1) shows: started as /proc/self/exe, it would be `exe`.
    let _ = set_name(c"ipclab");
    let mut payload = Payload::new(Style::Lines)?;
    for question in &options.questions {
        if payload.print(&answer(question.as_bytes())?)? == Printed::NoReader {
            return Ok(());
        }
    }
    if !options.questions.is_empty() {
        return Ok(());
    }
    let mut lines = Lines::new(Input::buffered()?);
    say!("a copy of process {} has become this program", getppid());
    if say::somebody_types() {
        let names = QUESTIONS.map(|(name, _)| name).join(", ");
        say!("a line that is a question gets an answer: {names}, all");
    }
    say::typing(true);
    let mut line = Vec::new();
    while lines.next(&mut line, LONGEST)? {
        if payload.print(&answer(&line)?)? == Printed::NoReader {
            return Ok(());
        }
    }
    say!("read() = 0: the parent has closed the pipe");
    Ok(())
}

/// The numbers of the open descriptors.
fn descriptors() -> Result<Vec<String>> {
    const OWN: &str = "/proc/self/fd";
    let names = read_dir(OWN).context("open /proc/self/fd")?.flatten();
    let mut names: Vec<String> =
        names.map(|name| name.file_name().to_string_lossy().into_owned()).collect();
    // By now the descriptor by which we have read them is closed.
    names.retain(|name| read_link(format!("{OWN}/{name}")).is_ok());
    names.sort_by_key(|name| name.parse::<u32>().ok());
    Ok(names)
}

fn files() -> Result<String> {
    let of = |name: &String| {
        let link = read_link(format!("/proc/self/fd/{name}"));
        format!("{name} {}", link.unwrap_or_default().display())
    };
    Ok(descriptors()?.iter().map(of).collect::<Vec<_>>().join(", "))
}

fn led(by: Pid) -> String {
    match by == getpid() {
        true => format!("{by}, which this process leads"),
        false => by.to_string(),
    }
}

fn terminal() -> Result<String> {
    let terminal = match File::options().read(true).write(true).open("/dev/tty") {
        Err(error) if error.raw_os_error() == Some(Errno::ENXIO as i32) => {
            return Ok("none".into());
        }
        terminal => terminal.context("open /dev/tty")?,
    };
    let group = tcgetpgrp(&terminal).context("tcgetpgrp")?;
    let place =
        if group.as_raw_pid() == getpgrp().as_raw() { "fore" } else { "back" };
    Ok(format!("one; this process is in its {place}ground"))
}

fn limit() -> Result<String> {
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).context("getrlimit")?;
    Ok(format!("{} open files", say::grouped(soft)))
}

fn signals(numbers: &[i32]) -> String {
    if numbers.is_empty() {
        return "none".into();
    }
    // Two are the C library's own, and have no name.
    let name = |number: &i32| {
        let number = number.to_string();
        number.parse().map_or(number, |known: Number| known.to_string())
    };
    numbers.iter().map(name).collect::<Vec<_>>().join(" ")
}
