//! A scene of processes, each of which starts once the one before it sleeps: drawn, and with the
//! numbers of their calls.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::unistd::Pid;
use os::inheritance::start_afresh;
use os::proc::{Activity, activity};
use wire::chapter::Row;

use super::event::{EventKind, Outcome, Trace};
use super::run::{DEADLINE, finish, inode, pipe, trace};
use super::start::{Pause, Until, Watch, follow, start};
use super::tracer::Tracer;
use super::{draw, noise, pair, rows};

/// How long a process must have slept that waits for the next one.
const SETTLED: Duration = Duration::from_millis(30);

/// One process of a scene.
#[derive(Debug)]
pub struct Part {
    /// What its lane is called.
    pub name: String,
    /// What starts it.
    pub command: Command,
    /// What it reads from standard input; `None` is an end of file that comes once the others
    /// have ended.
    pub input: Option<Vec<u8>>,
    /// Whether its standard output is the next one's standard input.
    pub piped: bool,
}

/// How often a process has made a call.
#[derive(Debug, Clone, Copy, Default)]
pub struct Calls {
    /// How often.
    pub times: u64,
    /// The sum of what the calls returned that move bytes.
    pub bytes: u64,
    /// How often the process has slept in it.
    pub slept: u64,
}

/// A scene that is over.
#[derive(Debug)]
pub struct Seen {
    /// The lanes with their arrows.
    pub drawing: String,
    /// By the process's name and the call's: what `ipclab trace` shows, without the program's
    /// start and end.
    pub calls: BTreeMap<(String, String), Calls>,
}

/// Runs the parts under the tracer; those that are named as roles of `chapter` have their sides.
///
/// # Errors
/// When a program cannot be started or traced.
///
/// # Panics
/// When this process has a second thread.
pub fn play(
    parts: Vec<Part>,
    chapter: Option<&Row>,
    coloured: bool,
) -> Result<Seen> {
    let mut watch = Watch::begin(false)?;
    let mut tracer = Tracer::new(None);
    let deadline = Instant::now() + DEADLINE;
    let (mut pids, mut open): (Vec<_>, Vec<OwnedFd>) = (Vec::new(), Vec::new());
    let (mut link, mut pause) = (None, Pause::Ready);
    let mut waits_for_others = Vec::new();
    for Part { name, mut command, input, piped } in parts {
        let stdin = match (link.take(), &input) {
            (Some(link), _) => Stdio::from(link),
            (None, Some(bytes)) => Stdio::from(file_of(bytes)?),
            (None, None) => {
                let (reading, writing) = pipe()?;
                tracer.world.outside.insert(inode(&reading)?);
                open.push(writing);
                Stdio::from(reading)
            }
        };
        command.stdin(stdin);
        let mut kept = || -> Result<OwnedFd> {
            let (reading, writing) = pipe()?;
            watch.keep(reading, &name);
            Ok(writing)
        };
        // What it says is no part of the scene; what it prints is.
        let stderr = kept()?;
        tracer.world.outside.insert(inode(&stderr)?);
        command.stderr(stderr);
        if piped {
            let (reading, writing) = pipe()?;
            link = Some(reading);
            command.stdout(writing);
        } else {
            command.stdout(kept()?);
        }
        start_afresh(&mut command);
        let pid = start(&mut tracer, &mut watch, &name, command)?;
        if input.is_some() {
            pids.push(pid);
        } else {
            waits_for_others.push(pid);
        }
        pause = until_asleep(&mut tracer, &mut watch, pid, deadline)?;
        if pause != Pause::Ready {
            break;
        }
    }
    drop(link);
    for pid in pids {
        if pause == Pause::Ready {
            let gone = Some(Until::Gone(pid));
            pause = follow(&mut tracer, &mut watch, gone, Some(deadline))?;
        }
    }
    drop(open);
    if pause == Pause::Ready {
        pause = follow(&mut tracer, &mut watch, None, Some(deadline))?;
    }
    finish(&mut tracer, &mut watch, pause)?;
    if let Some(signal) = watch.caught {
        watch.end_by(signal)?;
    }
    let mut trace = trace(tracer);
    let arrows = pair::arrows(&mut trace);
    let shown = noise::choose(&trace, &arrows, false);
    let drawing = rows::layout(&trace, &shown, &arrows, false, chapter);
    let drawing = draw::text(&trace, &drawing, None, coloured);
    Ok(Seen { drawing, calls: calls(&trace, &shown) })
}

/// Waits until the process sleeps and goes on sleeping, or has ended: at its start it may sleep, too.
fn until_asleep(
    tracer: &mut Tracer,
    watch: &mut Watch,
    pid: Pid,
    deadline: Instant,
) -> Result<Pause> {
    loop {
        let asleep = Some(Until::Asleep(pid));
        let pause = follow(tracer, watch, asleep, Some(deadline))?;
        if pause != Pause::Ready {
            return Ok(pause);
        }
        let settled = deadline.min(Instant::now() + SETTLED);
        match follow(tracer, watch, None, Some(settled))? {
            // What has ended is waited for as the others are.
            Pause::Ended => return Ok(Pause::Ready),
            Pause::Late if activity(pid) == Activity::Other => {}
            Pause::Late => return Ok(Pause::Ready),
            other => return Ok(other),
        }
    }
}

fn calls(trace: &Trace, shown: &[usize]) -> BTreeMap<(String, String), Calls> {
    let mut all: BTreeMap<_, Calls> = BTreeMap::new();
    for event in shown.iter().map(|index| &trace.events[*index]) {
        let EventKind::Call(call) = &event.what else { continue };
        let process = trace.processes[event.process].name.clone();
        let count = all.entry((process, (*call.name).to_owned())).or_default();
        count.times += 1;
        count.slept += u64::from(event.slept);
        if let Outcome::Value(value, ..) = &call.result
            && moves_bytes(&call.name)
        {
            count.bytes += u64::try_from(*value).unwrap_or(0);
        }
    }
    all
}

/// Whether the call returns a number of bytes.
fn moves_bytes(name: &str) -> bool {
    const MOVE: [&str; 8] =
        ["read", "write", "pread", "pwrite", "recv", "send", "splice", "msgrcv"];
    MOVE.iter().any(|begin| name.starts_with(begin)) && !name.ends_with("mmsg")
}

/// A file without a name that holds `bytes`.
fn file_of(bytes: &[u8]) -> Result<File> {
    let mut file = tempfile::tempfile().context("open in TMPDIR")?;
    file.write_all(bytes).and_then(|()| file.rewind()).context("write in TMPDIR")?;
    Ok(file)
}
