//! What is traced: a chapter's script, stepped as the demo steps it, or any commands.

use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, pipe2};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::stdio::{stderr, stdin};

use super::decode::FOREIGN;
use super::decode::signal_names::signal_name;
use super::event::{End, Event, EventKind, Trace};
use super::start::{Pause, Until, Watch, end_all, follow, start};
use super::tracer::{MOST, Tracer};
use bare::{Language, Program};
use lab::bare::{MeetingPlaces, command};
use lab::holders::map_of;
use lab::scratch::Scratch;
use os::inheritance::{hand_on, start_afresh};
use os::spawn::leave_open;
use wire::chapter::Row;
use wire::meet::Meets;
use wire::say::tell;
use wire::visible;

/// How long a chapter may take.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// What is traced.
#[derive(Debug)]
pub(super) enum Subject {
    /// A chapter's script.
    Chapter(Row),
    /// A bare program of a chapter.
    Bare(&'static Program, Row),
    /// Commands, all at once.
    Commands(Vec<Vec<OsString>>),
}

impl Subject {
    /// The chapter whose roles are played.
    pub(super) fn row(&self) -> Option<&Row> {
        match self {
            Subject::Chapter(row) | Subject::Bare(_, row) => Some(row),
            Subject::Commands(_) => None,
        }
    }

    /// What it is, in a line.
    pub(super) fn title(&self) -> String {
        match self {
            Subject::Chapter(row) => format!("ipclab trace {}", row.name),
            Subject::Bare(program, _) => {
                format!("ipclab trace {} --bare", program.name)
            }
            Subject::Commands(commands) => {
                let words = commands.iter().map(|words| {
                    let words: Vec<_> =
                        words.iter().map(|w| visible::text(w.as_bytes())).collect();
                    words.join(" ")
                });
                format!(
                    "ipclab trace -- {}",
                    words.collect::<Vec<_>>().join(" ::: ")
                )
            }
        }
    }
}

/// A run that is over.
#[derive(Debug)]
pub(super) struct Ran {
    /// What was seen.
    pub(super) trace: Trace,
    /// What was not as it should be.
    pub(super) failure: Option<String>,
}

/// Runs `subject` under the tracer to its end.
///
/// # Errors
/// When a program cannot be started or traced.
pub(super) fn run(subject: &Subject, watch: &mut Watch) -> Result<Ran> {
    match subject {
        Subject::Chapter(row) => scripted(row, None, watch),
        Subject::Bare(program, row) => scripted(row, Some(program), watch),
        Subject::Commands(commands) => programs(commands, watch),
    }
}

/// The parts of a run in `dir`, in the order in which they start: what each is called, and the
/// command that plays it.
fn parts(
    row: &Row,
    bare: Option<&Program>,
    dir: &Path,
) -> Result<Vec<(&'static str, Command)>> {
    let mut all = Vec::new();
    let Some(program) = bare else {
        for part in row.script.parts {
            let mut command =
                Command::new(std::env::current_exe().context("readlink")?);
            command.arg0("ipclab").args([row.name, part.role]).args(part.args);
            command.arg("-q").env("IPCLAB_DIR", dir);
            all.push((part.role, command));
        }
        return Ok(all);
    };
    let places = MeetingPlaces::within(dir, program);
    for part in program.parts {
        let mut command = command(program, Language::Rust)?;
        command.arg(part.role).args(places.arguments(part)).args(part.args);
        all.push((part.role, command));
    }
    Ok(all)
}

/// Runs the script of a chapter, or of its bare program, in a directory of its own: each part
/// starts once peers of the one before it may come. It announces that on a descriptor; a bare
/// program does it by falling asleep. Checks what was printed.
fn scripted(row: &Row, bare: Option<&Program>, watch: &mut Watch) -> Result<Ran> {
    let scratch = Scratch::make()?;
    let mut tracer = Tracer::new(Some(scratch.path().display().to_string()));
    let mut started = Vec::new();
    let (heard, write_end) = pipe()?;
    tracer.world.outside.insert(inode(&write_end)?);
    watch.keep(heard, "errors");
    let deadline = Instant::now() + DEADLINE;
    let mut link = None;
    let mut pause = Pause::Ready;
    let mut parts = parts(row, bare, scratch.path())?.into_iter().peekable();
    while let Some((role, mut command)) = parts.next() {
        command.stderr(write_end.try_clone().context("dup")?);
        command.stdin(link.take().map_or_else(Stdio::null, Stdio::from));
        start_afresh(&mut command);
        // Where the shell would make the link, we are the shell.
        if row.meets == Meets::Nowhere && parts.peek().is_some() {
            let (reading, writing) = pipe()?;
            link = Some(reading);
            command.stdout(writing);
        } else {
            let (reading, writing) = pipe()?;
            tracer.world.outside.insert(inode(&writing)?);
            watch.keep(reading, role);
            command.stdout(writing);
        }
        let (ready, low) = pipe()?;
        // Out of the way of the descriptors that the role will open.
        let says_so = fcntl_dupfd_cloexec(&low, 100).context("fcntl(F_DUPFD)")?;
        drop(low);
        tracer.world.outside.insert(inode(&says_so)?);
        let mut until_started = None;
        if bare.is_none() && row.meets != Meets::Nowhere {
            command.args(["--ready-fd", &says_so.as_raw_fd().to_string()]);
            leave_open(&mut command, says_so);
        } else {
            until_started = Some(says_so); // close-on-exec
        }
        let pid = start(&mut tracer, watch, role, command)?;
        started.push((role, pid));
        tracer.vital.push(pid.as_raw());
        drop(until_started);
        let until = match bare {
            Some(_) if row.meets != Meets::Nowhere => Until::Asleep(pid),
            _ => Until::Readable(&ready),
        };
        pause = follow(&mut tracer, watch, Some(until), Some(deadline))?;
        if pause != Pause::Ready {
            break;
        }
    }
    drop((write_end, link));
    if pause == Pause::Ready {
        pause = follow(&mut tracer, watch, None, Some(deadline))?;
    }
    let ends = |tracer: &Tracer| {
        started.iter().find_map(|(name, pid)| bad_end(name, *pid, tracer))
    };
    // Before the others are ended, none of which has failed.
    let failed = ends(&tracer);
    finish(&mut tracer, watch, pause)?;
    let failed = failed.or_else(|| ends(&tracer));
    let expected = match bare {
        Some(program) => (program.prints, program.expect),
        None => (row.script.prints, row.script.expect),
    };
    let left = bare.and_then(|program| {
        MeetingPlaces::within(scratch.path(), program).remove_leftovers()
    });
    let failure = verdict(expected, failed, watch, pause, &scratch).or(left);
    Ok(Ran { trace: trace(tracer), failure })
}

fn programs(commands: &[Vec<OsString>], watch: &mut Watch) -> Result<Ran> {
    let mut tracer = Tracer::new(None);
    for standard in [stdin(), stderr()] {
        // One that is closed leads nowhere.
        let inode =
            standard.try_clone_to_owned().ok().and_then(|fd| inode(&fd).ok());
        tracer.world.outside.extend(inode);
    }
    let mut started: Vec<(String, Pid)> = Vec::new();
    let mut outcome = Ok(());
    for words in commands {
        let name = Path::new(&words[0]).file_name().unwrap_or(&words[0]);
        let name = visible::text(name.as_bytes());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        // Standard input is the first one's: two readers would take each other's lines.
        if !started.is_empty() {
            command.stdin(Stdio::null());
        }
        // The trace has standard output to itself.
        let out = stderr().try_clone_to_owned().context("dup")?;
        command.stdout(out);
        hand_on(&mut command);
        match start(&mut tracer, watch, &name, command) {
            Ok(pid) => started.push((name, pid)),
            Err(error) => {
                outcome = Err(error);
                break;
            }
        }
    }
    if outcome.is_err() {
        end_all(&mut tracer, watch, Signal::SIGKILL)?;
    }
    outcome?;
    let pause = follow(&mut tracer, watch, None, None)?;
    finish(&mut tracer, watch, pause)?;
    let failure =
        started.iter().find_map(|(name, pid)| bad_end(name, *pid, &tracer));
    Ok(Ran { trace: trace(tracer), failure })
}

/// Ends what did not end by itself, and reports it.
pub(super) fn finish(
    tracer: &mut Tracer,
    watch: &mut Watch,
    pause: Pause,
) -> Result<()> {
    tracer.vital.clear();
    match pause {
        Pause::Ended | Pause::Ready => {}
        Pause::Failed => end_all(tracer, watch, Signal::SIGINT)?,
        Pause::Interrupted => {
            tracer.notes.push("Interrupted: what was seen until then.".to_owned());
            end_all(tracer, watch, watch.caught.unwrap_or(Signal::SIGINT))?;
        }
        Pause::Late => {
            let pids: Vec<_> =
                tracer.pids().into_iter().map(Pid::from_raw).collect();
            tell(&map_of(&pids));
            let seconds = DEADLINE.as_secs();
            tracer.notes.push(format!(
                "Not done within {seconds} s: what was seen until then."
            ));
            end_all(tracer, watch, Signal::SIGINT)?;
        }
    }
    watch.drain();
    Ok(())
}

fn bad_end(name: &str, pid: Pid, tracer: &Tracer) -> Option<String> {
    match tracer.ends.get(&pid.as_raw())? {
        End::Status(0) => None,
        End::Status(status) => {
            Some(format!("{name} ended with exit status {status}"))
        }
        End::Signal(signal) => {
            Some(format!("{name} was killed by {}", signal_name(*signal)))
        }
    }
}

fn verdict(
    (prints, expect): (&str, &str),
    failed: Option<String>,
    watch: &mut Watch,
    pause: Pause,
    scratch: &Scratch,
) -> Option<String> {
    if pause == Pause::Late {
        return Some(format!("not done within {} s", DEADLINE.as_secs()));
    }
    if let Some(failure) = failed {
        let said = watch.kept("errors");
        let said = String::from_utf8_lossy(&said).trim_end().replace('\n', "; ");
        return Some(format!("{failure}: {said}"));
    }
    let printed = watch.kept(prints);
    if printed != expect.as_bytes() {
        let got = String::from_utf8_lossy(&printed);
        return Some(format!("{got:?} arrived instead of {expect:?}"));
    }
    scratch.leftovers().ok()?
}

pub(super) fn trace(tracer: Tracer) -> Trace {
    let Tracer { world, mut events, mut notes, .. } = tracer;
    events.sort_by_key(|event| event.begin);
    if events.len() >= MOST {
        notes.push(format!(
            "Cut after {} events: from there on the programs ran untraced.",
            wire::say::grouped(MOST as u64)
        ));
    }
    let foreign = |event: &Event| matches!(&event.what, EventKind::Call(call) if call.name.starts_with(FOREIGN));
    if events.iter().any(foreign) {
        notes.push(
            "Calls of another architecture (a 32-bit program's) are shown raw: by number."
                .to_owned(),
        );
    }
    Trace {
        processes: world.processes,
        events,
        objects: world.objects,
        outside: world.outside,
        notes,
    }
}

pub(super) fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    pipe2(OFlag::O_CLOEXEC).context("pipe")
}

pub(super) fn inode(fd: &OwnedFd) -> Result<u64> {
    let file = std::fs::File::from(fd.try_clone().context("dup")?);
    Ok(file.metadata().context("fstat")?.ino())
}
