//! Programs of the user's: they are started, drawn once all of them sleep, and ended.

use std::ffi::OsString;
use std::fs;
use std::io::IsTerminal;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::WaitPidFlag;
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags};
use rustix::stdio::{stderr, stdin};

use lab::interrupts::Interrupts;
use os::calls::{poll_until, waitpid_any};
use os::inheritance::hand_on;
use os::spawn::die_with_parent;
use wire::errors::usage;
use wire::visible::visible;

use super::calls::{Meaning, of_line};
use super::descendants::descendants;
use super::look::look;
use super::model::{Kind, Map};
use super::processes;
use super::select::Selection;

/// No event reports that a process falls asleep.
const LOOK: Duration = Duration::from_millis(20);
/// How many looks in turn must find them asleep in the same calls; more where one of them
/// waits for nothing but time, as sleep(1) does: it will go on.
const LOOKS: usize = 6;
const LOOKS_AT_SLEEP: usize = 150;
/// How long they have to end by themselves.
const PATIENCE: Duration = Duration::from_secs(2);

/// Starts the commands, gives the map to `show` once they sleep, and ends them.
///
/// # Errors
/// When a command cannot be started, or all have ended before anything was seen.
pub(super) fn run(
    words: &[OsString],
    kinds: &[Kind],
    show: impl FnOnce(&mut Map) -> Result<()>,
) -> Result<()> {
    let commands: Vec<&[OsString]> = words.split(|word| word == ":::").collect();
    if commands.iter().any(|command| command.is_empty()) {
        return Err(usage("a command is missing beside ':::'"));
    }
    let mut stop = Interrupts::watch()?;
    // What they leave behind as they end comes to us, and is drawn and ended as well.
    set_child_subreaper(true).context("prctl(PR_SET_CHILD_SUBREAPER)")?;
    let mut started = Vec::new();
    let outcome = start_all(&commands, &mut started)
        .and_then(|()| until_asleep(&mut stop))
        .and_then(|asleep| {
            let mut map = look(&Selection::Commands, kinds)?;
            if !map.processes.iter().any(|process| process.shown && !process.zombie)
            {
                bail!("all programs have ended: nothing is left to draw");
            }
            show(&mut map)?;
            Ok(asleep)
        });
    end_all(&mut stop)?;
    match (outcome, stop.caught) {
        (Ok(_), Some(signal)) => stop.end_by(signal),
        (outcome, _) => outcome.map(drop),
    }
}

fn start_all(commands: &[&[OsString]], started: &mut Vec<i32>) -> Result<()> {
    for words in commands {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        // Two readers would take each other's lines; in a group of its own, a program that
        // reads the terminal would be stopped.
        if !started.is_empty()
            || stdin().try_clone_to_owned().is_ok_and(|it| it.is_terminal())
        {
            command.stdin(Stdio::null());
        }
        let out = stderr().try_clone_to_owned().context("dup")?;
        command.stdout(out);
        // Ctrl-C comes to us alone: it asks for the map.
        command.process_group(started.first().copied().unwrap_or(0));
        hand_on(&mut command);
        die_with_parent(&mut command);
        let child = command
            .spawn()
            .with_context(|| format!("execve {}", visible(words[0].as_bytes())))?;
        started.push(child.id().cast_signed());
    }
    Ok(())
}

/// Waits until all that we have started sleep, and stay so; `false` if a signal came first.
fn until_asleep(stop: &mut Interrupts) -> Result<bool> {
    let mut before = None;
    let mut same = 0;
    loop {
        let now = calls();
        if now.as_ref().is_some_and(Vec::is_empty) {
            return Ok(true);
        }
        let sleeps = now.iter().flatten().any(|(.., sleeps)| *sleeps);
        let looks = if sleeps { LOOKS_AT_SLEEP } else { LOOKS };
        same = if now.is_some() && now == before { same + 1 } else { 0 };
        if same >= looks {
            return Ok(true);
        }
        before = now;
        poll_until(&mut [PollFd::new(&stop.signals, PollFlags::IN)], Some(LOOK))
            .context("poll")?;
        if stop.pending()? {
            return Ok(false);
        }
    }
}

/// Each thread, how often it has slept, and whether it waits for time alone; `None` while one
/// runs.
fn calls() -> Option<Vec<(i32, u64, bool)>> {
    let mut all = Vec::new();
    for pid in living() {
        let tasks = fs::read_dir(format!("/proc/{pid}/task"));
        for task in tasks.into_iter().flatten().flatten() {
            let tid = task.file_name().to_str()?.parse().ok()?;
            match os::process_identity::state(i32::unsigned_abs(tid)) {
                Some('S' | 'D' | 'T' | 't') => {}
                None | Some('Z' | 'X') => continue,
                Some(_) => return None,
            }
            let slept = os::proc::times_slept(Pid::from_raw(tid)).unwrap_or(0);
            let line = os::proc::text(task.path().join("syscall"));
            let call = line.ok().and_then(|line| of_line(&line));
            let sleeps = call.is_some_and(|call| call.means == Meaning::Time);
            all.push((tid, slept, sleeps));
        }
    }
    all.sort();
    Some(all)
}

/// What we have started, and has not ended.
fn living() -> Vec<i32> {
    let mut map = Map::default();
    processes::gather(&mut map);
    let all = descendants(&map);
    let living = all.into_iter().filter(|at| !map.processes[*at].zombie);
    living.map(|at| map.processes[at].pid).collect()
}

/// Ends them: by SIGTERM first, by SIGKILL what is left.
fn end_all(stop: &mut Interrupts) -> Result<()> {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let deadline = Instant::now() + PATIENCE;
        for pid in living() {
            let _ = kill(Pid::from_raw(pid), signal);
            // One that was stopped would not take the signal.
            let _ = kill(Pid::from_raw(pid), Signal::SIGCONT);
        }
        loop {
            let ended = living().is_empty();
            // What a parent has left unwaited for has come to us with the parent's end.
            while matches!(waitpid_any(WaitPidFlag::WNOHANG), Ok(Some(_))) {}
            if ended {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now()).min(LOOK);
            if left.is_zero() {
                break;
            }
            // A second Ctrl-C does not wait, and is taken from the descriptor.
            let mut fds = [PollFd::new(&stop.signals, PollFlags::IN)];
            poll_until(&mut fds, Some(left)).context("poll")?;
            let ready = !fds[0].revents().is_empty();
            if ready && stop.pending()? {
                break;
            }
        }
    }
    Ok(())
}
