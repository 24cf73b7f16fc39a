//! On which CPUs the two processes run, and how those are kept awake.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use nix::unistd::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::model::Placement;
use os::sched;

/// The CPUs of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpus {
    /// Where side `a` runs, and side `b` too when both share one.
    pub first: usize,
    /// Where side `b` runs otherwise, if this process may use a second.
    pub second: Option<usize>,
    /// How many this process may use.
    pub count: usize,
}

impl Cpus {
    /// The last two that this process may use: the first of a machine often has the most
    /// interrupts.
    ///
    /// # Errors
    /// As sched_getaffinity(2).
    pub fn choose() -> Result<Cpus> {
        let set = sched_getaffinity(None).context("sched_getaffinity")?;
        let all: Vec<usize> =
            (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect();
        let first = *all.last().context("no CPU to run on")?;
        let second = all.len().checked_sub(2).map(|index| all[index]);
        Ok(Cpus { first, second, count: all.len() })
    }

    /// The CPUs of sides `a` and `b`; `None` where there is no second one.
    pub fn of(&self, placement: Placement) -> Option<[usize; 2]> {
        match placement {
            Placement::Same => Some([self.first, self.first]),
            Placement::CrossBlocking
            | Placement::CrossLooking
            | Placement::CrossSpinning => Some([self.first, self.second?]),
        }
    }
}

/// sched_setaffinity(2): from now on `process`, or this thread, runs on `cpus` alone.
///
/// # Errors
/// ESRCH when it has ended; EINVAL for CPUs that are not there.
pub fn pin(process: Option<Pid>, cpus: &[usize]) -> Result<()> {
    let mut only = CpuSet::new();
    cpus.iter().for_each(|cpu| only.set(*cpu));
    let pid = process.and_then(|pid| rustix::process::Pid::from_raw(pid.as_raw()));
    sched_setaffinity(pid, &only)
        .with_context(|| format!("sched_setaffinity: CPUs {cpus:?}"))
}

/// This thread on one CPU, and where it was before once this is dropped.
#[derive(Debug)]
pub struct Pinned(CpuSet);

impl Pinned {
    /// Pins this thread to `cpu`.
    ///
    /// # Errors
    /// As [`pin`].
    pub fn to(cpu: usize) -> Result<Pinned> {
        let before = sched_getaffinity(None).context("sched_getaffinity")?;
        pin(None, &[cpu])?;
        Ok(Pinned(before))
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = sched_setaffinity(None, &self.0);
    }
}

// ANCHOR: awake
/// A thread on each of two CPUs that runs whenever no other thread wants to (SCHED_IDLE).
///
/// A CPU with nothing to do sleeps, and to wake it takes far longer than any mechanism: a
/// virtual one is even given back to the host. That is a figure of the machine, not of the
/// mechanism, and the least steady of all.
#[derive(Debug)]
pub struct Awake {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Awake {
    /// Keeps `cpus` awake until this is dropped.
    ///
    /// # Errors
    /// As sched_setaffinity(2) and sched_setscheduler(2).
    pub fn keep(cpus: [usize; 2]) -> Result<Awake> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut awake = Awake { stop, threads: Vec::new() };
        for cpu in cpus {
            let (stop, (told, tells)) =
                (Arc::clone(&awake.stop), std::sync::mpsc::channel());
            let thread = std::thread::spawn(move || {
                let ready = pin(None, &[cpu]).and_then(|()| {
                    sched::sched_idle().context("sched_setscheduler(SCHED_IDLE)")
                });
                let goes = ready.is_ok();
                let _ = told.send(ready);
                while goes && !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
            awake.threads.push(thread);
            tells.recv().context("a thread that keeps a CPU awake")??;
        }
        Ok(awake)
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
// ANCHOR_END: awake
