//! `ipclab demo`: the roles of a chapter as real processes, in one terminal.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::builder::PossibleValuesParser;
use colored::Colorize;
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::unistd::pipe2;
use rustix::event::{PollFd, PollFlags};
use rustix::stdio::{stderr, stdout};
use textwrap::core::display_width;

use ::bare as bare_programs;
use bare_programs::{Language, PROGRAMS, Program};
use chapters::{find, rows};
use os::calls::poll_until;
use os::spawn::leave_open;
use process::{Input, Output, RoleProcess, thread};
use wire::chapter::{Part, Row};
use wire::errors::usage;
use wire::launcher;
use wire::meet::{Meets, quoted};
use wire::say::{columns, hanging, tell};
use wire::transfer::write_all;

use super::bare::{self, MeetingPlaces};
use super::holders::map_of;
use super::interrupts::{Interrupts, WaitOutcome, wait_for_all, wait_until_asleep};
use super::prose;
use super::scratch::Scratch;

/// The options of `ipclab demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = prose::examples(&[
    ("demo", "a tour of all chapters"),
    ("demo fifo tcp", "two of them"),
    ("demo -q", "the closing table alone"),
    ("demo fifo --bare", "its bare program plays both roles"),
]))]
pub struct Options {
    /// The chapters; without any, a tour of all
    #[arg(value_name = "CHAPTER")]
    #[arg(value_parser = PossibleValuesParser::new(bare::names()), hide_possible_values = true)]
    chapters: Vec<String>,

    /// Play the bare programs: those of the chapters (`ipclab bare`), or all
    #[arg(long)]
    bare: bool,
}

/// How long one chapter may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// What is run.
#[derive(Clone, Copy)]
enum Subject {
    /// The roles of a chapter.
    Roles(Row),
    /// A bare program.
    Bare(&'static Program, Row),
}

impl Subject {
    fn row(&self) -> &Row {
        match self {
            Subject::Roles(row) | Subject::Bare(_, row) => row,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Subject::Roles(row) => row.name,
            Subject::Bare(program, _) => program.name,
        }
    }

    /// The role whose standard output is checked, and what it must be.
    fn expected(&self) -> (&'static str, &'static str) {
        match self {
            Subject::Roles(Row { script, .. }) => (script.prints, script.expect),
            Subject::Bare(program, _) => (program.prints, program.expect),
        }
    }

    /// What was asked for.
    fn chosen(options: &Options) -> Result<Vec<Subject>> {
        let named = |name: &str| {
            options.chapters.is_empty()
                || options.chapters.iter().any(|one| one == name)
        };
        if !options.bare {
            if let Some(name) =
                options.chapters.iter().find(|name| find(name).is_none())
            {
                return Err(usage(bare::add_option(name)));
            }
            let rows = match options.chapters.as_slice() {
                [] => rows().to_vec(),
                names => names.iter().filter_map(|name| find(name)).collect(),
            };
            return Ok(rows.into_iter().map(Subject::Roles).collect());
        }
        let programs = PROGRAMS.iter().filter(|program| named(program.name));
        programs
            .map(|program| Ok(Subject::Bare(program, bare::row(program)?)))
            .collect()
    }
}

/// One run.
struct Shown {
    subject: Subject,
    took: Duration,
    verdict: Verdict,
}

/// What became of it.
enum Verdict {
    Passed,
    /// This build or machine cannot run it.
    Skipped(String),
    Failed(String),
}

/// `ipclab demo`.
///
/// # Errors
/// When what arrived in some chapter is not what was sent.
pub fn run(options: &Options, quiet: bool) -> Result<()> {
    let chosen = Subject::chosen(options)?;
    let mut stop = Interrupts::watch()?;
    let mut shown = Vec::new();
    for subject in chosen {
        let row = subject.row();
        if !quiet {
            let head = format!("── {}: {}", subject.name(), row.summary);
            for line in fold(&head, 3).lines() {
                tell(&format!("{}\n", line.bold()));
            }
        }
        let began = Instant::now();
        let verdict = match row.missing() {
            Some(missing) => Verdict::Skipped(missing),
            None => match play(&subject, &mut stop, quiet) {
                Ok(()) => Verdict::Passed,
                Err(error) => Verdict::Failed(wire::errors::line(&error)),
            },
        };
        if let Some(signal) = stop.caught {
            // The roles and their directory are gone; now end by the signal.
            stop.end_by(signal)?;
        }
        if !quiet {
            match &verdict {
                Verdict::Passed => {}
                Verdict::Skipped(missing) => {
                    folded("", 0, &format!("skipped: {missing}"));
                }
                Verdict::Failed(failure) => {
                    folded(&format!("{} ", "✗".red()), 2, failure);
                }
            }
            tell("\n");
        }
        shown.push(Shown { subject, took: began.elapsed(), verdict });
    }
    prose::print(&table(&shown, quiet))?;
    let failed = |run: &&Shown| matches!(run.verdict, Verdict::Failed(_));
    let failed = shown.iter().filter(failed).count();
    if failed > 0 {
        bail!("{failed} of {} chapters failed", shown.len());
    }
    if !quiet {
        let passed = |shown: &&Shown| matches!(shown.verdict, Verdict::Passed);
        let best = shown.iter().find(|shown| shown.subject.name() == MODEL);
        let model = best.or(shown.first()).into_iter().chain(&shown).find(passed);
        tell(&model.map_or(String::new(), |shown| next(&shown.subject)));
    }
    Ok(())
}

/// The chapter that is shown first to a user who has not chosen.
const MODEL: &str = "fifo";

/// What to do after the demo.
fn next(subject: &Subject) -> String {
    let name = subject.name();
    let (mut rows, option) = match subject {
        Subject::Roles(_) => (
            vec![(
                format!("ipclab {name}"),
                "the commands to play the roles yourself, and what is on the wire",
            )],
            "",
        ),
        Subject::Bare(..) => {
            (vec![(format!("ipclab bare {name}"), "the program, whole")], " --bare")
        }
    };
    if subject.row().meets != Meets::World {
        rows.push((
            format!("ipclab trace {name}{option}"),
            "the system calls of its roles, side by side",
        ));
    }
    let width = columns(stderr()).unwrap_or(usize::from(u16::MAX));
    format!("\nNext:\n{}", prose::pairs(width, &rows))
}

/// `text` as it is written to standard error, all but the first line `indent` columns in.
fn fold(text: &str, indent: usize) -> String {
    match columns(stderr()) {
        Some(width) => hanging(text, indent, indent, width),
        None => text.to_owned(),
    }
}

/// Prints `text` behind a `prefix` of `indent` columns, and folded there.
fn folded(prefix: &str, indent: usize, text: &str) {
    tell(&format!("{prefix}{}\n", fold(text, indent)));
}

fn table(shown: &[Shown], quiet: bool) -> String {
    let colours = stdout().is_terminal();
    let mut text = String::new();
    let wide = shown.iter().map(|shown| shown.subject.name().len()).max();
    let wide = wide.unwrap_or(0).max(9);
    for Shown { subject, took, verdict } in shown {
        let milliseconds = took.as_secs_f64() * 1000.0;
        let (mark, verdict) = match verdict {
            Verdict::Passed => ("✓".green(), "what arrived is what was sent".into()),
            Verdict::Skipped(missing) => {
                // The way out stands above, unless that is silent.
                let why = missing.split(';').next().filter(|_| !quiet);
                ("–".yellow(), format!("skipped: {}", why.unwrap_or(missing)))
            }
            Verdict::Failed(failure) => ("✗".red(), failure.clone()),
        };
        let mark = if colours { mark } else { mark.clear() };
        let first =
            format!("{mark} {:<wide$} {milliseconds:>8.1} ms  ", subject.name());
        text += &prose::paragraph(
            prose::width(),
            &first,
            &" ".repeat(wide + 16),
            &verdict,
        );
    }
    text
}

/// Runs all roles of `subject` in a directory of their own, and checks what was printed.
fn play(subject: &Subject, stop: &mut Interrupts, quiet: bool) -> Result<()> {
    let scratch = Scratch::make()?;
    let began = Instant::now();
    let (comments, write_end) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
    let screen = thread(move || show(comments, began))?;
    let deadline = began + DEADLINE;
    let running =
        start_all(subject, scratch.path(), quiet, &write_end, stop, deadline);
    drop(write_end); // or the screen would never read the end of the comments
    let mut running = running?;
    let waited = wait_for_all(&mut running, stop, deadline)?;
    if waited == WaitOutcome::Stopped && stop.caught.is_none() {
        let processes: Vec<_> = running.iter().map(RoleProcess::pid).collect();
        tell(&map_of(&processes));
    }
    let mut ends = Vec::new();
    for role in running {
        let name = role.name.clone();
        // One that has ended does not get the signal any more.
        let end = Instant::now() + DEADLINE;
        ends.push((name, role.stop(Signal::SIGINT, end)?));
    }
    let said = screen.join().unwrap_or_default();
    let left = match subject {
        Subject::Roles(_) => None,
        Subject::Bare(program, _) => {
            MeetingPlaces::within(scratch.path(), program).remove_leftovers()
        }
    };
    match waited {
        WaitOutcome::Done => {}
        WaitOutcome::Stopped => bail!("not done within {} s", DEADLINE.as_secs()),
        WaitOutcome::Failed(failed) => {
            let (name, outcome) = &ends[failed];
            bail!("{name} ended with {}: {said}", outcome.status);
        }
    }
    let (prints, expect) = subject.expected();
    let printed = ends.into_iter().find(|(name, _)| name == prints);
    let (_, printed) = printed.context("the script's printing role never ran")?;
    if printed.stdout != expect.as_bytes() {
        let got = String::from_utf8_lossy(&printed.stdout);
        bail!("{got:?} arrived instead of {expect:?}");
    }
    if matches!(subject, Subject::Bare(..)) && !quiet {
        for line in expect.lines() {
            folded(&format!("{:>11}  {prints} printed: ", ""), 13, line);
        }
    }
    left.or(scratch.leftovers()?).map_or(Ok(()), |left| bail!(left))
}

/// The words behind `ipclab` that play one part of a script.
fn words(row: &Row, part: &Part, quiet: bool) -> Vec<&'static str> {
    let coloured = colored::control::SHOULD_COLORIZE.should_colorize();
    let colour = if coloured { "always" } else { "never" };
    let mut words = vec![row.name, part.role, "--color", colour];
    words.extend(part.args);
    words.extend(quiet.then_some("-q"));
    words
}

/// The commands that play the parts of `subject`, each with its role's name.
fn commands(
    subject: &Subject,
    dir: &Path,
    quiet: bool,
) -> Result<Vec<(&'static str, Command)>> {
    let ipclab = std::env::current_exe().context("readlink")?;
    let mut all = Vec::new();
    match subject {
        Subject::Roles(row) => {
            for part in row.script.parts {
                let mut command = Command::new(&ipclab);
                // What the commentary calls the program.
                command.arg0("ipclab").args(words(row, part, quiet));
                all.push((part.role, command));
            }
        }
        Subject::Bare(program, _) => {
            let places = MeetingPlaces::within(dir, program);
            for part in program.parts {
                let mut command = bare::command(program, Language::Rust)?;
                command.arg(part.role).args(places.arguments(part)).args(part.args);
                all.push((part.role, command));
            }
        }
    }
    Ok(all)
}

/// Starts a world in which each part of the script is one rank, in their order.
fn start_world(
    subject: &Subject,
    dir: &Path,
    quiet: bool,
    write_end: &OwnedFd,
) -> Result<RoleProcess> {
    let ipclab = std::env::current_exe().context("readlink")?;
    let mut command = launcher::mpiexec();
    command.env("IPCLAB_DIR", dir).process_group(0);
    // The launcher collects its ranks' lines, and may show an answer before its question. Its
    // own standard error is our pipe: each rank opens that, and writes for itself.
    let direct = "exec \"$0\" \"$@\" 2> /proc/$PPID/fd/2";
    let ranks: Vec<Vec<&str>> = match subject {
        Subject::Roles(row) => {
            row.script.parts.iter().map(|part| words(row, part, quiet)).collect()
        }
        Subject::Bare(program, _) => {
            let of = |part: &bare_programs::Part| {
                [&["bare", program.name, part.role], part.args].concat()
            };
            program.parts.iter().map(of).collect()
        }
    };
    for (rank, words) in ranks.into_iter().enumerate() {
        command.args((rank > 0).then_some(":")).args(["-n", "1"]);
        command.args(["sh", "-c", direct]).arg(&ipclab).args(words);
    }
    let stderr = Some(write_end.try_clone().context("dup")?);
    let (name, _) = subject.expected();
    RoleProcess::start_with(name, command, Input::Nothing, Output::Kept, stderr)
}

/// Starts the roles, each once peers of the one before it may come. Their comments share one
/// pipe, so that their order on the screen is the order in which they were written.
fn start_all(
    subject: &Subject,
    dir: &Path,
    quiet: bool,
    write_end: &OwnedFd,
    stop: &mut Interrupts,
    deadline: Instant,
) -> Result<Vec<RoleProcess>> {
    let meets = subject.row().meets;
    if meets == Meets::World {
        return Ok(vec![start_world(subject, dir, quiet, write_end)?]);
    }
    let mut link: Option<OwnedFd> = None;
    let mut running = Vec::new();
    let mut commands = commands(subject, dir, quiet)?.into_iter().peekable();
    while let Some((role, mut command)) = commands.next() {
        command.env("IPCLAB_DIR", dir).process_group(0); // Ctrl-C comes to the demo alone, or to no process (nohup)
        let input = link.take().map_or(Input::Nothing, Input::From);
        let mut output = Output::Kept;
        // Where the shell would make the link, we are the shell.
        if meets == Meets::Nowhere && commands.peek().is_some() {
            let (reading, writing) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
            (link, output) = (Some(reading), Output::To(writing));
        }
        let stderr = Some(write_end.try_clone().context("dup")?);
        let (ready, says_so) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
        let announces =
            matches!(subject, Subject::Roles(_)) && meets != Meets::Nowhere;
        if announces {
            command.args(["--ready-fd", &says_so.as_raw_fd().to_string()]);
            leave_open(&mut command, says_so);
        } else if matches!(subject, Subject::Bare(..)) && !quiet {
            let args = command.get_args().map(OsStr::to_string_lossy);
            let args: Vec<_> = args.map(|arg| quoted(&arg)).collect();
            let line = format!("{role:<9}│ {} {}\n", subject.name(), args.join(" "));
            write_all(write_end, line.as_bytes()).context("write a comment")?;
        }
        running.push(RoleProcess::start_with(role, command, input, output, stderr)?);
        match subject {
            Subject::Bare(..) if meets != Meets::Nowhere => {
                let started = running.last().map(RoleProcess::pid);
                started
                    .map_or(Ok(()), |pid| wait_until_asleep(pid, stop, deadline))?;
            }
            _ => wait_until_ready(&ready, stop, deadline)?,
        }
    }
    Ok(running)
}

/// Waits for a role's line on its `--ready-fd`, or for its end, which closes it.
fn wait_until_ready(
    ready: &OwnedFd,
    stop: &mut Interrupts,
    deadline: Instant,
) -> Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    let mut fds = [
        PollFd::new(ready, PollFlags::IN),
        PollFd::new(&stop.signals, PollFlags::IN),
    ];
    poll_until(&mut fds, Some(left)).context("poll")
}

/// Shows each line of the roles with the time since the start; returns the first error.
fn show(comments: OwnedFd, began: Instant) -> String {
    let mut error = String::new();
    for line in BufReader::new(File::from(comments)).lines().map_while(Result::ok) {
        let milliseconds = began.elapsed().as_secs_f64() * 1000.0;
        // Its bar, behind which the role's own colour ends.
        let bar =
            line.find('│').map(|bar| bar + line[bar..].find(' ').unwrap_or(0) + 1);
        let (role, text) = line.split_at(bar.unwrap_or(0));
        let prefix = format!("{milliseconds:>8.1} ms  {role}");
        folded(&prefix, display_width(&prefix), text);
        if let Some(text) =
            line.strip_prefix("ipclab: ").filter(|_| error.is_empty())
        {
            error = text.to_owned();
        }
    }
    error
}
