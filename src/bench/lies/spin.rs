//! The lie of the busy wait: neither side sleeps, and the figure is called a pipe's latency.

use std::fs::File;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::unistd::read;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::stdio::{stdin, stdout};

use super::runner::{PairPlan, Runner, median, pipe, switches};
use super::tell::{LieReport, Line, Method, off, time};
use crate::ends;
use crate::ends::control::Control;
use crate::ends::exchange::Exchange;
use crate::job::Job;
use crate::model::Placement;
use crate::placement::Awake;
use crate::spread;
use crate::subject::Waits;
use crate::tripwire::RoundTrip;
use wire::transfer::write_all;

const SIZE: u64 = 64;
const TITLE: &str = "spin: a busy wait, called the latency of a pipe";

/// Tells it.
pub(super) fn tell(runner: &mut Runner) -> Result<LieReport> {
    let Some(cpus) = runner.cross() else {
        let why = "it needs two CPUs, and this process may use one";
        return Ok(LieReport::absent(TITLE, why));
    };
    let [lie, plain] = {
        let _awake = Awake::keep(cpus)?;
        runner.round_trips([spinning(cpus), pipe("pipe", SIZE, cpus)])?
    };
    let alone = one_cpu(runner)?;
    let (busy, slept) = (switches(&lie)?, switches(&plain)?);
    let (lie, plain) = (median(&lie), median(&plain));
    let trip = RoundTrip {
        placement: Placement::CrossBlocking,
        nanoseconds: lie,
        switches: Some(busy),
        one_call: true,
    };
    let verdict = match trip.restless() {
        Some(flaw) => format!("invalid: {flaw}"),
        None => "not touched: each has slept once a round trip".to_owned(),
    };
    let mut facts = vec![
        off(lie, plain),
        format!(
            "switches a round trip and process: {:.2} and {:.2} published, {:.2} and \
             {:.2} honest",
            busy[0], busy[1], slept[0], slept[1]
        ),
        format!("tripwire: {verdict}"),
    ];
    if lie >= plain {
        facts.push(
            "not even faster in this run: others want these CPUs, and a process that \
             never sleeps has to leave them to the others for a time"
                .to_owned(),
        );
    }
    let line =
        |by, figure, how: &str| Line::new(by, "pipe, 64 B", time(figure), how);
    Ok(LieReport {
        title: TITLE,
        lines: vec![
            line(
                Method::Published,
                lie,
                "two CPUs; nonblocking reads, again and again",
            ),
            line(
                Method::Honest,
                plain,
                "two CPUs, kept awake; each side sleeps in read",
            ),
            line(Method::Beside, alone, "the same busy wait, both on one CPU"),
        ],
        facts,
        why: "O_NONBLOCK makes read return EAGAIN at once, and a loop asks again. Each \
              side burns a CPU of its own to save the wake-up, which is most of what a \
              blocking pipe costs. With one CPU for both, the side that waits takes the time that \
              the other needs to answer.",
        see: "context switches in /proc/PID/status: a process that sleeps once a round trip is \
              switched away from once. And by a run on one CPU. Such a figure is not \
              wrong if it is labelled: --spin has a placement of its own.",
    })
}

fn spinning(cpus: [usize; 2]) -> PairPlan {
    PairPlan { waits: Waits::Spins, ..pipe("lie:spin", SIZE, cpus) }
}

/// The busy wait where the other side cannot run meanwhile. Each round trip takes slices
/// of the scheduler, so a few of them are enough.
fn one_cpu(runner: &mut Runner) -> Result<f64> {
    let cpus = runner.same();
    let mut pair = runner.start(spinning(cpus))?;
    let times = pair.each(Duration::from_millis(100), runner.stop)?.times;
    pair.quit(runner.stop)?;
    let times: Vec<f64> = times.into_iter().map(f64::from).collect();
    Ok(spread::median(&times))
}

/// Plays an end.
pub(super) fn play(job: &Job, control: &Control) -> Result<()> {
    let out = stdout().try_clone_to_owned().context("dup")?;
    let into = stdin().try_clone_to_owned().context("dup")?;
    let flags = fcntl_getfl(&into).context("fcntl")?;
    fcntl_setfl(&into, flags | OFlags::NONBLOCK).context("fcntl")?;
    let (out, into, size) = (File::from(out), File::from(into), job.size);
    ends::run(job, control, Polled { out, into, size })
}

/// A pipe's two ends, whose reads never sleep.
struct Polled {
    out: File,
    into: File,
    size: usize,
}

impl Exchange for Polled {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        write_all(&self.out, message).context("write the pipe")
    }

    fn recv(&mut self, bytes: &mut Vec<u8>) -> Result<bool> {
        bytes.resize(self.size, 0);
        loop {
            match read(&self.into, bytes) {
                Ok(n) => {
                    bytes.truncate(n);
                    return Ok(n > 0);
                }
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(error) => return Err(error).context("read the pipe"),
            }
        }
    }

    fn finish(self) -> Result<()> {
        Ok(())
    }
}
