//! Asks the probes: each runs in a process of its own, which has two seconds.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, alarm, pipe2, setpgid};
use rustix::event::{PollFd, PollFlags};
use rustix::io::retry_on_intr;
use rustix::process::{WaitOptions, waitpid};
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::probe::{Place, Probe};
use lab::interrupts::Interrupts;
use os::calls::poll_until;
use os::spawn::{Forked, fork};

/// How long one probe may take.
pub const DEADLINE: Duration = Duration::from_secs(2);

/// How long all of them may take together.
const ALTOGETHER: Duration = Duration::from_millis(2_800);

/// How many run at the same time: most are done in a millisecond.
const AT_ONCE: usize = 12;

/// What a probe's process sends back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Asked {
    /// What the probe answered.
    pub answer: Answer,
    /// How long it took, in microseconds.
    pub took_us: u64,
}

/// A probe's process.
struct Running {
    index: usize,
    necessary: bool,
    pid: Pid,
    report: File,
    text: Vec<u8>,
    deadline: Instant,
}

/// Asks all `probes`, and returns an answer for each, in their order. A signal that comes
/// meanwhile is in `stop`, and what is still to be asked is not.
///
/// # Errors
/// None but those of poll(2).
pub fn all(
    probes: &[&Probe],
    place: &Place,
    stop: &mut Interrupts,
) -> Result<Vec<Asked>> {
    let asked = ask_all(probes, place, stop);
    place.clear();
    asked
}

fn ask_all(
    probes: &[&Probe],
    place: &Place,
    stop: &mut Interrupts,
) -> Result<Vec<Asked>> {
    let end = Instant::now() + ALTOGETHER;
    let mut asked: Vec<Option<Asked>> = vec![None; probes.len()];
    let mut running: Vec<Running> = Vec::new();
    let mut next = 0;
    while next < probes.len() || !running.is_empty() {
        if stop.pending()? {
            running.drain(..).for_each(|one| drop(one.kill()));
            break;
        }
        if next < probes.len() && running.len() < AT_ONCE && Instant::now() < end {
            match start(next, probes[next], place, end) {
                Ok(one) => running.push(one),
                // Where there is no room for one more, there may be when another has ended.
                Err(_) if !running.is_empty() => {
                    wait(&mut running, stop, &mut asked)?;
                    continue;
                }
                Err(error) => asked[next] = Some(failed(&error)),
            }
            next += 1;
            continue;
        }
        if running.is_empty() {
            break; // the time of all is over
        }
        wait(&mut running, stop, &mut asked)?;
    }
    let late = "not tried: the others took all the time that there was";
    let late = Asked { answer: Answer::limited(late), took_us: 0 };
    Ok(asked.into_iter().map(|one| one.unwrap_or_else(|| late.clone())).collect())
}

/// Asks one probe, from inside an experiment.
///
/// # Errors
/// When its process cannot be made.
pub fn one(probe: &Probe, place: &Place) -> Result<Answer> {
    let mut running = start(0, probe, place, Instant::now() + DEADLINE)?;
    let asked = loop {
        let left = running.deadline.saturating_duration_since(Instant::now());
        let mut fds = [PollFd::new(&running.report, PollFlags::IN)];
        poll_until(&mut fds, Some(left)).context("poll")?;
        let readable = !fds[0].revents().is_empty();
        if readable && running.has_reported() {
            break running.end();
        }
        if left.is_zero() {
            break running.kill();
        }
    };
    place.clear();
    Ok(asked.answer)
}

fn failed(error: &anyhow::Error) -> Asked {
    Asked { answer: Answer::failed(error), took_us: 0 }
}

/// Sleeps until one of `running` has something to say or its time is over.
fn wait(
    running: &mut Vec<Running>,
    stop: &Interrupts,
    asked: &mut [Option<Asked>],
) -> Result<()> {
    let now = Instant::now();
    let first = running.iter().map(|one| one.deadline).min().unwrap_or(now);
    let mut fds: Vec<_> =
        running.iter().map(|one| PollFd::new(&one.report, PollFlags::IN)).collect();
    fds.push(PollFd::new(&stop.signals, PollFlags::IN));
    let left = first.saturating_duration_since(now);
    poll_until(&mut fds, Some(left)).context("poll")?;
    let ready: Vec<_> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
    let now = Instant::now();
    for (at, mut one) in std::mem::take(running).into_iter().enumerate() {
        if ready[at] && one.has_reported() {
            let index = one.index;
            asked[index] = Some(one.end());
        } else if one.deadline <= now {
            let index = one.index;
            asked[index] = Some(one.kill());
        } else {
            running.push(one);
        }
    }
    Ok(())
}

/// fork(2): the probe runs in the child, in a process group of its own.
fn start(
    index: usize,
    probe: &Probe,
    place: &Place,
    end: Instant,
) -> Result<Running> {
    let (report, theirs) = pipe2(OFlag::O_CLOEXEC).context("pipe")?;
    let deadline = end.min(Instant::now() + DEADLINE);
    match fork().context("fork")? {
        Forked::Child => {
            drop(report);
            play(probe, place, theirs)
        }
        Forked::Parent(pid) => {
            // Both do it, so that it is done when either goes on.
            let _ = setpgid(pid, pid);
            let (report, text) = (File::from(report), Vec::new());
            let necessary = probe.necessary;
            Ok(Running { index, necessary, pid, report, text, deadline })
        }
    }
}

/// Runs the probe in this process, which then ends. It ends by itself if it sleeps for ever, and
/// is not killed with its parent: so it removes what it has made.
fn play(probe: &Probe, place: &Place, report: OwnedFd) -> ! {
    let _ = setpgid(Pid::this(), Pid::this());
    alarm::set(DEADLINE.as_secs() as u32);
    let began = Instant::now();
    let answer = catch_unwind(AssertUnwindSafe(|| (probe.run)(place)));
    let took_us = began.elapsed().as_micros() as u64;
    let answer = match answer {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => failed(&error).answer,
        Err(_) => Answer::missing("the probe itself failed"),
    };
    let mut line =
        serde_json::to_vec(&Asked { answer, took_us }).unwrap_or_default();
    line.push(b'\n');
    let _ = File::from(report).write_all(&line);
    std::process::exit(0)
}

impl Running {
    /// Reads what is there; returns whether it was all.
    fn has_reported(&mut self) -> bool {
        let mut piece = [0; 4096];
        match self.report.read(&mut piece) {
            Ok(n) if n > 0 => {
                self.text.extend_from_slice(&piece[..n]);
                self.text.ends_with(b"\n")
            }
            _ => true,
        }
    }

    /// waitpid(2): how it ended. (nix returns EINVAL for a real-time signal.)
    fn reap(&self) -> Option<ExitStatus> {
        let pid = rustix::process::Pid::from_raw(self.pid.as_raw());
        let none = WaitOptions::empty();
        let (_, status) = retry_on_intr(|| waitpid(pid, none)).ok()??;
        Some(ExitStatus::from_raw(status.as_raw()))
    }

    /// It has reported, or has ended without a report.
    fn end(self) -> Asked {
        if let Ok(asked) = serde_json::from_slice(&self.text) {
            let _ = killpg(self.pid, Signal::SIGKILL);
            self.reap();
            return asked;
        }
        // The pipe is closed because it ends, by a status that this does not change any more.
        let _ = killpg(self.pid, Signal::SIGKILL);
        let signal = self.reap().and_then(|status| status.signal());
        let found = match signal.map(Signal::try_from) {
            Some(Ok(Signal::SIGALRM)) => return self.is_late(),
            Some(Ok(Signal::SIGSYS)) => {
                "ended by SIGSYS: a seccomp filter does not allow a call".to_owned()
            }
            Some(Ok(signal)) => format!("ended by {signal}"),
            _ => "ended without an answer".to_owned(),
        };
        Asked { answer: Answer::missing(found), took_us: 0 }
    }

    /// Its time is over.
    fn kill(self) -> Asked {
        let _ = killpg(self.pid, Signal::SIGKILL);
        let _ = kill(self.pid, Signal::SIGKILL);
        self.reap();
        self.is_late()
    }

    /// What is necessary takes a millisecond, so it hangs. A program such as a compiler may be
    /// slow on a busy machine: it is not known to be missing.
    fn is_late(&self) -> Asked {
        let found = format!("no answer within {} s", DEADLINE.as_secs());
        let answer = match self.necessary {
            true => Answer::missing(found),
            false => {
                Answer::limited(found).cure("a busy machine may need another try")
            }
        };
        Asked { answer, took_us: DEADLINE.as_micros() as u64 }
    }
}
