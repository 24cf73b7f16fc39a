//! `ipclab demo`: the roles of a chapter as real processes, in one terminal.

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
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::stdio::{stderr, stdout};
use textwrap::core::display_width;

use chapters::{find, rows};
use process::{Input, Output, RoleProcess, thread};
use wire::chapter::{Part, Row};
use wire::launcher;
use wire::meet::Meets;
use wire::say::{columns, hanging, tell};

use super::interrupts::{Interrupts, WaitOutcome, wait_for_all};
use super::prose;
use super::scratch::Scratch;

/// The options of `ipclab demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = prose::examples(&[
    ("demo", "a tour of all chapters"),
    ("demo fifo tcp", "two of them"),
    ("demo -q", "the closing table alone"),
]))]
pub struct Options {
    /// The chapters; without any, a tour of all
    #[arg(value_name = "CHAPTER")]
    #[arg(value_parser = PossibleValuesParser::new(rows().iter().map(|row| row.name)))]
    chapters: Vec<String>,
}

/// How long one chapter may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// One chapter's run.
struct Shown {
    row: Row,
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
    let chosen: Vec<Row> = match options.chapters.as_slice() {
        [] => rows().to_vec(),
        names => names.iter().filter_map(|name| find(name)).collect(),
    };
    let mut stop = Interrupts::watch()?;
    let mut shown = Vec::new();
    for row in chosen {
        if !quiet {
            for line in fold(&format!("── {}: {}", row.name, row.summary), 3).lines()
            {
                tell(&format!("{}\n", line.bold()));
            }
        }
        let began = Instant::now();
        let verdict = match row.missing() {
            Some(missing) => Verdict::Skipped(missing),
            None => match play(&row, &mut stop, quiet) {
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
        shown.push(Shown { row, took: began.elapsed(), verdict });
    }
    prose::print(&table(&shown, quiet))?;
    let failed = |run: &&Shown| matches!(run.verdict, Verdict::Failed(_));
    let failed = shown.iter().filter(failed).count();
    if failed > 0 {
        bail!("{failed} of {} chapters failed", shown.len());
    }
    if !quiet {
        let passed = |shown: &&Shown| matches!(shown.verdict, Verdict::Passed);
        let best = shown.iter().find(|shown| shown.row.name == MODEL);
        let model = best.or(shown.first()).into_iter().chain(&shown).find(passed);
        tell(&model.map_or(String::new(), |shown| next(&shown.row)));
    }
    Ok(())
}

/// The chapter that is shown first to a user who has not chosen.
const MODEL: &str = "fifo";

/// What to do after the demo.
fn next(row: &Row) -> String {
    let name = row.name;
    let mut rows = vec![(
        format!("ipclab {name}"),
        "the commands to play the roles yourself, and what is on the wire",
    )];
    if row.meets != Meets::World {
        rows.push((
            format!("ipclab trace {name}"),
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
    for Shown { row, took, verdict } in shown {
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
        let first = format!("{mark} {:<9} {milliseconds:>8.1} ms  ", row.name);
        text += &prose::paragraph(prose::width(), &first, &" ".repeat(25), &verdict);
    }
    text
}

/// Runs one chapter's script in a directory of its own, and checks what it printed.
fn play(row: &Row, stop: &mut Interrupts, quiet: bool) -> Result<()> {
    let scratch = Scratch::make()?;
    let began = Instant::now();
    let (comments, write_end) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
    let screen = thread(move || show(comments, began))?;
    let deadline = began + DEADLINE;
    let running = start_all(row, scratch.path(), quiet, &write_end, stop, deadline);
    drop(write_end); // or the screen would never read the end of the comments
    let mut running = running?;
    let waited = wait_for_all(&mut running, stop, deadline)?;
    let mut ends = Vec::new();
    for role in running {
        let name = role.name.clone();
        // One that has ended does not get the signal any more.
        let end = Instant::now() + DEADLINE;
        ends.push((name, role.stop(Signal::SIGINT, end)?));
    }
    let said = screen.join().unwrap_or_default();
    match waited {
        WaitOutcome::Done => {}
        WaitOutcome::Stopped => bail!("not done within {} s", DEADLINE.as_secs()),
        WaitOutcome::Failed(failed) => {
            let (name, outcome) = &ends[failed];
            bail!("{name} ended with {}: {said}", outcome.status);
        }
    }
    let printed = ends.into_iter().find(|(name, _)| name == row.script.prints);
    let (_, printed) = printed.context("the script's printing role never ran")?;
    if printed.stdout != row.script.expect.as_bytes() {
        let got = String::from_utf8_lossy(&printed.stdout);
        bail!("{got:?} arrived instead of {:?}", row.script.expect);
    }
    scratch.leftovers()?.map_or(Ok(()), |left| bail!(left))
}

/// What plays one part of a script: `ipclab`, and these words.
fn words(row: &Row, part: &Part, quiet: bool) -> Vec<&'static str> {
    let coloured = colored::control::SHOULD_COLORIZE.should_colorize();
    let colour = if coloured { "always" } else { "never" };
    let mut words = vec![row.name, part.role, "--color", colour];
    words.extend(part.args);
    words.extend(quiet.then_some("-q"));
    words
}

/// Starts a world in which each part of the script is one rank, in their order.
fn start_world(
    row: &Row,
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
    for (rank, part) in row.script.parts.iter().enumerate() {
        command.args((rank > 0).then_some(":")).args(["-n", "1"]);
        command.args(["sh", "-c", direct]);
        command.arg(&ipclab).args(words(row, part, quiet));
    }
    let stderr = Some(write_end.try_clone().context("dup")?);
    let name = row.script.prints;
    RoleProcess::start_with(name, command, Input::Nothing, Output::Kept, stderr)
}

/// Starts the script's roles, each once the one before it says that peers may come. Their
/// comments share one pipe, so that their order on the screen is the order in which they
/// were written.
fn start_all(
    row: &Row,
    dir: &Path,
    quiet: bool,
    write_end: &OwnedFd,
    stop: &mut Interrupts,
    deadline: Instant,
) -> Result<Vec<RoleProcess>> {
    if row.meets == Meets::World {
        return Ok(vec![start_world(row, dir, quiet, write_end)?]);
    }
    let mut link: Option<OwnedFd> = None;
    let mut running = Vec::new();
    for (index, part) in row.script.parts.iter().enumerate() {
        let mut command = Command::new(std::env::current_exe().context("readlink")?);
        command
            .arg0("ipclab") // what the commentary calls the program
            .args(words(row, part, quiet))
            .env("IPCLAB_DIR", dir)
            .process_group(0); // Ctrl-C comes to the demo alone, or to no process (nohup)
        let input = link.take().map_or(Input::Nothing, Input::From);
        let mut output = Output::Kept;
        // Where the shell would make the link, we are the shell.
        if row.meets == Meets::Nowhere && index + 1 < row.script.parts.len() {
            let (reading, writing) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
            (link, output) = (Some(reading), Output::To(writing));
        }
        let stderr = Some(write_end.try_clone().context("dup")?);
        let (ready, says_so) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
        if row.meets != Meets::Nowhere {
            command.args(["--ready-fd", &says_so.as_raw_fd().to_string()]);
            fcntl_setfd(&says_so, FdFlags::empty()).context("fcntl(F_SETFD)")?;
        }
        running.push(RoleProcess::start_with(
            part.role, command, input, output, stderr,
        )?);
        drop(says_so);
        wait_until_ready(&ready, stop, deadline)?;
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
    let timeout = Timespec::try_from(left).context("a deadline too far off")?;
    let mut fds = [
        PollFd::new(ready, PollFlags::IN),
        PollFd::new(&stop.signals, PollFlags::IN),
    ];
    match poll(&mut fds, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error).context("poll"),
    }
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
