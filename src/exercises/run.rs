//! One stage, played by real processes: the learner's program against the partner.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sys::resource::Resource;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, pipe2};
use rustix::event::{PollFd, PollFlags};
use rustix::process::set_child_subreaper;

use lab::holders::map_of;
use lab::interrupts::Interrupts;
use lab::scratch::Scratch;
use os::calls::poll_until;
use os::proc::{Activity, activity, children};
use os::spawn::{lead_session, limit};
use process::{Input, Outcome, Output, RoleProcess};
use wire::dirs::LIST;
use wire::say::count;

use super::folder::Started;
use super::judge::judge;
use super::pace::Pace;
use super::partner::{MARK, USED, VERB, left_running, processes_of};
use super::row::{Ends, Exercise, PARTNER, Player, ROOM, Stage};
use super::scene::Scene;
use super::sleep::{IDLE, Sleep, ended_early, restless};
use super::verdict::{Report, Verdict};

/// How often a run is looked at that does not end.
pub(super) const LOOK: Duration = Duration::from_millis(20);

/// More than any stage prints.
pub(super) const MOST_PRINTED: usize = 64 << 20;

/// Programs that would do the learner's work: in their place, in PATH, stands one that tells.
const NOT_THEIRS: [&str; 4] = ["ipclab", "socat", "nc", "ncat"];

/// Where those programs are, and what is not the learner's besides.
const BIN: &str = ".bin";

/// Why a wait was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// All have ended.
    Ended,
    /// All that live sleep, and nothing will wake them.
    Quiet,
    /// One has failed that should not, and the others would wait for it.
    Failed,
    /// The deadline has passed.
    Late,
    /// Too much was printed.
    Flood,
    /// A signal for the check itself.
    Interrupted,
}

/// Plays `stage`.
///
/// # Errors
/// When this machine refuses a directory or a process.
pub(super) fn play(
    exercise: &Exercise,
    id: &str,
    stage: &Stage,
    started: &Started,
    (seed, pace): (u64, Pace),
    stop: &mut Interrupts,
) -> Result<Report> {
    set_child_subreaper(rustix::process::Pid::from_raw(1)).context("prctl")?;
    let scratch = Scratch::make()?;
    stand_in(scratch.path())?;
    let scene = Scene::new(exercise, stage, scratch.path(), seed);
    // What a name may be for others does not depend on who checks it.
    umask(Mode::S_IWGRP | Mode::S_IWOTH);
    let mut players = (stage.players)(&scene);
    number_alike(&mut players);
    let began = Instant::now();
    // What follows does not lose the time that a start has taken.
    let deadline = || Instant::now() + pace.deadline();
    let mut report = Report::well();
    let mut running: Vec<RoleProcess> = Vec::new();
    let mut link = None;
    let mut over = Over::Ended;
    for (index, player) in players.iter().enumerate() {
        let command = match (player.learners, player.ranks, &player.lent) {
            (true, 0, Some(lent)) => started.command_with(lent)?,
            (true, 0, _) if player.room < ROOM => started.command_without_sigxfsz(),
            (true, 0, _) => started.command(),
            (true, ranks, _) => started.world(ranks, &scratch.path().join(BIN)),
            (false, ..) => partner(player, id, stage, seed)?,
        };
        let output = match player.piped {
            true => {
                let (reading, writing) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
                (Output::To(writing), Some(reading))
            }
            false => (Output::Kept, None),
        };
        let input = match link.take() {
            Some(link) => Input::From(link),
            None if !player.learners => Input::Open,
            None if player.stdin.is_empty() => Input::Nothing,
            None => Input::Bytes(player.stdin.clone()),
        };
        link = output.1;
        running.push(start(player, command, &scene, input, output.0)?);
        if index + 1 == players.len() {
            break;
        }
        let waits = (pace.settled(), BUSY_TICKS);
        over = settle(&mut running, stop, deadline(), waits)?;
        if matches!(over, Over::Flood | Over::Interrupted) {
            break;
        }
        if player.idles
            && let Some(fault) = idle(&mut running[index], stop)?
        {
            report.fault(Verdict::Wrong, fault);
            over = Over::Failed;
            break;
        }
        // The next one would wait for a peer that is gone.
        if player.ends == Ends::Well && running[index].has_failed() {
            break;
        }
    }
    drop(link);
    if !matches!(over, Over::Flood | Over::Failed | Over::Interrupted) {
        let early = Early { players: &players, quiet: pace.quiet() };
        over = wait(&mut running, stop, deadline(), Some(early))?;
    }
    let asleep = match over {
        Over::Quiet | Over::Late => {
            let living = running
                .iter_mut()
                .filter_map(|process| (!process.has_ended()).then(|| process.pid()));
            map_of(&living.collect::<Vec<_>>())
        }
        _ => String::new(),
    };
    let strangers = strangers(scratch.path());
    let unended: Vec<bool> =
        running.iter_mut().map(|process| !process.has_ended()).collect();
    let left_over =
        if over == Over::Ended { left_running(scratch.path()) } else { 0 };
    let outcomes = end(running, scratch.path())?;
    report.took = began.elapsed();
    if over == Over::Interrupted {
        return Ok(report);
    }
    judge(&mut report, &players, &outcomes, &unended, over);
    if !asleep.is_empty() {
        report.story.insert(0, ("Who sleeps where".into(), asleep));
    }
    for name in strangers {
        report.fault(
            Verdict::Wrong,
            format!("{name} did the work, and not your program."),
        );
    }
    let judged = players.iter().all(|player| {
        !player.learners || matches!(player.ends, Ends::Well | Ends::Failing)
    });
    // What a program leaves that has failed follows from that.
    if over == Over::Ended && judged && report.verdict == Verdict::Passed {
        for left in leftovers(&scratch, &scene)? {
            report.fault(Verdict::Wrong, format!("When all had ended, {left}."));
        }
        if left_over > 0 {
            let fault = format!(
                "When all had ended, {} of yours still ran.",
                count(left_over as u64, "process")
            );
            report.fault(Verdict::Wrong, fault);
        }
    } else {
        let _ = scene.remove_leftovers();
    }
    Ok(report)
}

/// Puts programs into the stage's directory that are found before those of their names.
fn stand_in(dir: &Path) -> Result<()> {
    let bin = dir.join(BIN);
    DirBuilder::new().mode(0o700).create(&bin).context("mkdir in TMPDIR")?;
    for name in NOT_THEIRS {
        let script =
            format!("#!/bin/sh\necho {name} >> {}/{USED}\nexit 1\n", dir.display());
        let path = bin.join(name);
        std::fs::write(&path, script).context("write in TMPDIR")?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o700))
            .context("chmod")?;
    }
    Ok(())
}

/// The command that plays the partner.
pub(super) fn partner(
    player: &Player,
    id: &str,
    stage: &Stage,
    seed: u64,
) -> Result<Command> {
    if let Some((words, dir)) = &player.command {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(dir);
        return Ok(command);
    }
    let mut command = Command::new(std::env::current_exe().context("readlink")?);
    command.arg(VERB).arg(id).arg(stage.name).arg(format!("{seed:x}"));
    Ok(command)
}

fn start(
    player: &Player,
    mut command: Command,
    scene: &Scene,
    input: Input,
    output: Output,
) -> Result<RoleProcess> {
    prepared(&mut command, player, scene);
    lead_session(&mut command);
    if player.learners {
        let mut path = OsString::from(scene.dir.join(BIN));
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        command.env("PATH", path);
        LIMITS
            .iter()
            .for_each(|(what, most)| limit(&mut command, *what, *most, *most));
        limit(&mut command, Resource::RLIMIT_FSIZE, player.room, player.room);
    }
    RoleProcess::start_with(&player.name, command, input, output, None)
}

/// What bounds a program that has gone wrong. RLIMIT_NPROC would count all of the user's processes.
const LIMITS: [(Resource, u64); 3] = [
    (Resource::RLIMIT_CORE, 0),
    (Resource::RLIMIT_CPU, 60),
    (Resource::RLIMIT_AS, 16 << 30),
];

/// Gives a player's command its arguments, and the stage's mark.
pub(super) fn prepared(command: &mut Command, player: &Player, scene: &Scene) {
    command.args(&player.args).env(MARK, &scene.dir);
}

/// What ends a wait early.
pub(super) struct Early<'a> {
    /// The players, who are all there.
    players: &'a [Player],
    /// That none has done anything for so long.
    quiet: Duration,
}

/// How long the others may sleep when one has failed: they see its end, and say so.
const AFTERWARDS: Duration = Duration::from_millis(300);

/// How long they may go on then, at most.
const TO_END: Duration = Duration::from_secs(3);

/// Waits until all have ended, or there is nothing more to wait for.
pub(super) fn wait(
    running: &mut [RoleProcess],
    stop: &mut Interrupts,
    mut deadline: Instant,
    early: Option<Early<'_>>,
) -> Result<Over> {
    let mut last = HashMap::new();
    let mut since = Instant::now();
    let mut late = Over::Late;
    let mut quiet = early.as_ref().map_or(Duration::MAX, |early| early.quiet);
    loop {
        if running.iter_mut().all(RoleProcess::has_ended) {
            return Ok(Over::Ended);
        }
        if let Some(Early { players, .. }) = early {
            tell_partners(running);
            let mut all = running.iter_mut().zip(players);
            // The partner, too: the learner's program would wait for it.
            let vital = |player: &Player| player.ends == Ends::Well;
            if late != Over::Failed
                && all.any(|(process, player)| vital(player) && process.has_failed())
            {
                (late, quiet, since) = (Over::Failed, AFTERWARDS, Instant::now());
                deadline = deadline.min(since + TO_END);
            }
        }
        if running.iter().map(RoleProcess::output_length).sum::<usize>()
            > MOST_PRINTED
        {
            return Ok(Over::Flood);
        }
        let now = Instant::now();
        if now >= deadline {
            return Ok(late);
        }
        let mut living: Vec<&RoleProcess> = Vec::new();
        for process in &mut *running {
            if !process.has_ended() {
                living.push(process);
            }
        }
        if early.is_some() {
            let newest: HashMap<_, _> = living
                .iter()
                .map(|process| (process.pid(), Sleep::of(process.pid())))
                .collect();
            if newest != last || newest.values().any(|sleep| !sleep.sound) {
                (last, since) = (newest, now);
            } else if since.elapsed() > quiet {
                return Ok(if late == Over::Failed { late } else { Over::Quiet });
            }
        }
        let mut fds: Vec<_> = living
            .iter()
            .map(|process| PollFd::new(process.pidfd(), PollFlags::IN))
            .collect();
        fds.push(PollFd::new(&stop.signals, PollFlags::IN));
        poll_until(&mut fds, Some(LOOK.min(deadline - now))).context("poll")?;
        if stop.pending()? {
            return Ok(Over::Interrupted);
        }
    }
}

/// Waits until the last one that was started has slept for so long, has ended, or has computed more
/// than a program does that is to wait: so many clock ticks of 10 ms.
pub(super) fn settle(
    running: &mut [RoleProcess],
    stop: &mut Interrupts,
    deadline: Instant,
    (asleep, ticks): (Duration, u64),
) -> Result<Over> {
    let Some(pid) = running.last().map(RoleProcess::pid) else {
        return Ok(Over::Ended);
    };
    let (mut last, mut since) = (Sleep::of(pid), Instant::now());
    loop {
        let over = wait(running, stop, Instant::now() + LOOK / 10, None)?;
        let now = Sleep::of(pid);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        let settled = now.sound && since.elapsed() > asleep;
        let ended = activity(pid) == Activity::Ended;
        let late = Instant::now() > deadline;
        if over != Over::Late || settled || ended || now.ticks > ticks || late {
            return Ok(over);
        }
    }
}

/// More clock ticks than a program computes before it waits for another.
const BUSY_TICKS: u64 = 150;

/// Closes the partner's standard input once all of the learner's processes have ended.
fn tell_partners(running: &mut [RoleProcess]) {
    let is_partner = |process: &RoleProcess| process.name == PARTNER;
    if running.iter_mut().all(|process| is_partner(process) || process.has_ended()) {
        running
            .iter_mut()
            .filter(|process| is_partner(process))
            .for_each(RoleProcess::close_stdin);
    }
}

/// What a process does that should sleep.
fn idle(process: &mut RoleProcess, stop: &mut Interrupts) -> Result<Option<String>> {
    let pid = process.pid();
    let before = Sleep::of(pid);
    let over =
        wait(std::slice::from_mut(process), stop, Instant::now() + IDLE, None)?;
    if over != Over::Late {
        // How one ended that has failed is judged.
        let early = over == Over::Ended && !process.has_failed();
        return Ok(early.then(|| ended_early(&process.name)));
    }
    Ok(restless(&process.name, before, Sleep::of(pid)))
}

/// Ends what still runs, and all that it has started; how each ended, and what it wrote.
fn end(running: Vec<RoleProcess>, dir: &Path) -> Result<Vec<(String, Outcome)>> {
    // None of them is to see the others go.
    for process in &running {
        let _ = process.signal(Signal::SIGSTOP);
    }
    for process in &running {
        let _ = nix::sys::signal::killpg(process.pid(), Signal::SIGKILL);
    }
    let ours: Vec<Pid> = running.iter().map(RoleProcess::pid).collect();
    end_families(&ours, dir);
    let mut outcomes = Vec::new();
    for process in running {
        let name = process.name.clone();
        outcomes.push((
            name,
            process.stop(Signal::SIGKILL, Instant::now() + LOOK * 500)?,
        ));
    }
    Ok(outcomes)
}

/// Ends what the learner's processes have started: it may hold the pipes that we read to their
/// end. What has no parent any longer is our child.
fn end_families(ours: &[Pid], dir: &Path) {
    let deadline = Instant::now() + LOOK * 500;
    // A process may start another before it is ended.
    while Instant::now() < deadline {
        let mut all = processes_of(dir);
        all.extend(children(Pid::this()));
        all.retain(|pid| !ours.contains(pid));
        if all.is_empty() {
            return;
        }
        for pid in all {
            let _ = kill(pid, Signal::SIGKILL);
            let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
        }
    }
}

/// Which of the programs that are not to do the work have done it.
fn strangers(dir: &Path) -> Vec<String> {
    let told = std::fs::read_to_string(dir.join(USED)).unwrap_or_default();
    let mut names: Vec<String> = told.lines().map(str::to_owned).collect();
    for pid in processes_of(dir) {
        let name = std::fs::read_link(format!("/proc/{pid}/exe")).ok();
        let name =
            name.and_then(|path| Some(path.file_name()?.to_str()?.to_owned()));
        names.extend(name.filter(|name| NOT_THEIRS.contains(&name.as_str())));
    }
    names.sort();
    names.dedup();
    names
}

/// What the stage has left, in its directory and in the kernel, and what should have been done.
fn leftovers(scratch: &Scratch, scene: &Scene) -> Result<Vec<String>> {
    let _ = std::fs::remove_dir_all(scratch.path().join(BIN));
    let _ = std::fs::remove_file(scratch.path().join(USED));
    let mut left = Vec::new();
    for entry in scratch.path().read_dir().context("readdir")? {
        let entry = entry.context("readdir")?;
        if entry.file_name() == LIST {
            continue;
        }
        let kind = match entry.file_type().context("lstat")? {
            kind if kind.is_fifo() => "the FIFO",
            kind if kind.is_socket() => "the socket's name",
            kind if kind.is_dir() => "the directory",
            kind if kind.is_symlink() => "the symbolic link",
            _ => "the file",
        };
        let path = entry.path().display().to_string();
        let name = match path == scene.place() {
            true => "PLACE".to_owned(),
            false => entry.file_name().to_string_lossy().into_owned(),
        };
        left.push(format!(
            "{kind} {name} was still there: your program must remove it, by unlink(2)"
        ));
    }
    left.extend(scene.remove_leftovers().map(|left| {
        let left = left.replacen("left behind: ", "", 1);
        format!("{left} was still there: your program must remove it")
    }));
    Ok(left)
}

/// Tells players of one role apart: `first receiver`, `second receiver`.
fn number_alike(players: &mut [Player]) {
    const NUMBERS: [&str; 4] = ["first", "second", "third", "fourth"];
    let names: Vec<String> =
        players.iter().map(|player| player.name.clone()).collect();
    for (index, player) in players.iter_mut().enumerate() {
        let alike = |other: &&String| **other == names[index];
        let before = names[..index].iter().filter(alike).count();
        if player.learners
            && names.iter().filter(alike).count() > 1
            && let Some(number) = NUMBERS.get(before)
        {
            player.name = format!("{number} {}", names[index]);
        }
    }
}
