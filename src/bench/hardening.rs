//! What hardening costs: a bare program and the chapter's role at the same work, as whole
//! processes.
//!
//! The bare programs know nothing of the bench, so both are timed from outside: from the first
//! byte that the receiving role prints to the end of its output. Their starts are not in it.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::fcntl::OFlag;
use nix::unistd::{pipe2, read};
use rustix::event::{PollFd, PollFlags};

use bare::{Language, Program};
use lab::bare::{MeetingPlaces, command, row};
use lab::interrupts::{Interrupts, wait_until_asleep};
use lab::scratch::Scratch;
use os::calls::poll_until;
use process::{Input, Output, RoleProcess};
use wire::errors::line;
use wire::meet::Meets;

use super::model::{Outcome, Placement, Row, Unit, What};
use super::pair::NotMeasured;
use super::placement::Cpus;
use super::role::{DEADLINE, start};
use super::spread::{figure, ratio, there_and_back};

/// The programs that are timed, and how many messages each carries at once: a bare client sends
/// all before it reads an answer. (A queue of signals has room for too few to be timed.)
const SUBJECTS: &[(&str, usize)] = &[
    ("pipe", 20_000),
    ("fifo", 20_000),
    ("unix", 1_000),
    ("unix_seqpacket", 100),
    ("tcp", 1_000),
    ("posixmq", 20_000),
    ("sysvmq", 20_000),
];

/// The bytes of a message; its receiver prints a newline behind it.
const SIZE: usize = 64;

/// How the rows of a bare program are called in reports.
pub(super) const BARE: &str = "bare";

/// Who does the work.
const PLAYERS: [&str; 2] = [BARE, "ipclab"];

/// The programs of these chapters; of all, if none is named.
fn subjects(chapters: &[String]) -> impl Iterator<Item = (&'static Program, usize)> {
    let named = |name: &str| {
        chapters.is_empty() || chapters.iter().any(|chapter| chapter == name)
    };
    let all = SUBJECTS
        .iter()
        .filter_map(|(name, count)| Some((Program::find(name)?, *count)));
    all.filter(move |(program, _)| named(program.chapter()))
}

/// How many steps [`run`] has.
pub(super) fn steps(chapters: &[String]) -> usize {
    subjects(chapters).count()
}

/// Times the bare programs and the roles of these chapters; `each` is called with each row.
///
/// # Errors
/// [`NotMeasured::Interrupted`]; errors that no single program has caused.
pub(super) fn run(
    chapters: &[String],
    quick: bool,
    stop: &mut Interrupts,
    each: &mut impl FnMut(Row),
    progress: &mut impl FnMut(&str),
) -> Result<()> {
    let cpu = Cpus::choose()?.first;
    let rounds = if quick { 5 } else { 15 };
    for (program, count) in subjects(chapters) {
        progress(&format!("{}, bare and hardened", program.name));
        let mut times = [Vec::new(), Vec::new()];
        let mut failure = None;
        for player in there_and_back(PLAYERS.len(), rounds) {
            match time(program, PLAYERS[player], count, cpu, stop) {
                Ok(time) => {
                    times[player].push(time.as_nanos() as f64 / (count - 1) as f64)
                }
                Err(error) if error.is::<NotMeasured>() => return Err(error),
                Err(error) => failure = Some(line(&error)),
            }
        }
        for (player, name) in PLAYERS.into_iter().enumerate() {
            let outcome = match &failure {
                Some(why) => Outcome::Invalid(why.clone()),
                None => {
                    let mut figure = figure(Unit::Nanoseconds, &times[player]);
                    let compared = name != BARE;
                    figure
                        .ratios
                        .extend(compared.then(|| ratio(BARE, &times[1], &times[0])));
                    Outcome::Measured(figure)
                }
            };
            each(Row {
                chapter: program.chapter().to_owned(),
                subject: format!("{}, a message of {SIZE} B printed", program.name),
                what: What::Operation,
                program: name.to_owned(),
                placement: Some(Placement::Same),
                size: None,
                clients: None,
                idle: None,
                outcome,
            });
        }
    }
    Ok(())
}

/// Has `player` carry so many messages; returns how long that took, from the first that is
/// printed to the last.
fn time(
    program: &Program,
    player: &str,
    count: usize,
    cpu: usize,
    stop: &mut Interrupts,
) -> Result<Duration> {
    let scratch = Scratch::make()?;
    let places = MeetingPlaces::within(scratch.path(), program);
    let took = carry(program, player, count, cpu, scratch.path(), stop);
    let left = places.remove_leftovers();
    let took = took?;
    left.map_or(Ok(took), |left| bail!(left))
}

fn carry(
    program: &Program,
    player: &str,
    count: usize,
    cpu: usize,
    dir: &Path,
    stop: &mut Interrupts,
) -> Result<Duration> {
    let places = MeetingPlaces::within(dir, program);
    let piped = row(program)?.meets == Meets::Nowhere;
    let message = "m".repeat(SIZE);
    let (printed, mut write_end) = {
        let (reading, writing) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
        (reading, Some(writing))
    };
    let mut link: Option<OwnedFd> = None;
    let mut running = Vec::new();
    for part in program.parts {
        let messages = if part.args.is_empty() { 0 } else { count };
        let mut words = match player {
            BARE => [&[part.role.to_owned()], &places.arguments(part)[..]].concat(),
            _ => {
                let mut words = places.role_words(program, part);
                words.truncate(words.len() - part.args.len());
                words.push("-q".to_owned());
                words
            }
        };
        words.extend(std::iter::repeat_n(message.clone(), messages));
        let mut command = match player {
            BARE => command(program, Language::Rust)?,
            _ => Command::new(std::env::current_exe().context("readlink")?),
        };
        command.args(words).env("IPCLAB_DIR", dir);
        let input = link.take().map_or(Input::Nothing, Input::From);
        let output = if part.role == program.prints {
            write_end.take().map_or(Output::Kept, Output::To)
        } else if piped {
            let (reading, writing) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
            link = Some(reading);
            Output::To(writing)
        } else {
            Output::Kept
        };
        let process = start(program.name, command, input, output, cpu)?;
        let until = Instant::now() + DEADLINE;
        if !piped {
            wait_until_asleep(process.pid(), stop, until)?;
        }
        running.push(process);
    }
    drop(write_end);
    let took = follow(&printed, count * (SIZE + 1), stop);
    let ended = running.into_iter().try_for_each(end);
    took.and_then(|took| ended.map(|()| took))
}

/// The time from the first byte to the end of what is printed, which has so many bytes.
fn follow(
    printed: &OwnedFd,
    bytes: usize,
    stop: &mut Interrupts,
) -> Result<Duration> {
    let mut buffer = vec![0; 1 << 16];
    let (mut began, mut seen) = (None, 0);
    let mut until = Instant::now() + DEADLINE;
    loop {
        let mut fds = [
            PollFd::new(printed, PollFlags::IN),
            PollFd::new(&stop.signals, PollFlags::IN),
        ];
        let left = until.saturating_duration_since(Instant::now());
        poll_until(&mut fds, Some(left)).context("poll")?;
        let readable = !fds[0].revents().is_empty();
        if stop.pending()? {
            return Err(NotMeasured::Interrupted.into());
        }
        if !readable && left.is_zero() {
            let seconds = DEADLINE.as_secs();
            bail!("{seen} of {bytes} bytes were printed within {seconds} s");
        }
        if !readable {
            continue;
        }
        until = Instant::now() + DEADLINE;
        let n = read(printed, &mut buffer).context("read")?;
        let began = *began.get_or_insert_with(Instant::now);
        if n == 0 && seen == bytes {
            return Ok(began.elapsed());
        }
        if n == 0 {
            bail!("{seen} bytes were printed instead of {bytes}");
        }
        seen += n;
    }
}

/// Waits for the end of a process, which is to be a good one.
fn end(process: RoleProcess) -> Result<()> {
    let name = process.name.clone();
    let outcome = process.wait(Instant::now() + DEADLINE)?;
    match outcome.status.success() {
        true => Ok(()),
        false => bail!(
            "{name} ended with {}: {}",
            outcome.status,
            outcome.stderr.trim_end()
        ),
    }
}
