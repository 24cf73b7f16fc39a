//! What the machine can do at best: measured in the same run, so that a figure can be told
//! as a multiple of them.

use std::hint::black_box;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::wait::waitpid;
use nix::unistd::getppid;

use super::model::Floor;
use super::placement::Pinned;
use super::spread::median;
use crate::os::cleanup;
use crate::os::spawn::{Forked, fork};

pub mod ends;
pub(super) mod ground;

/// How often each of them is measured: the median counts.
const WINDOWS: usize = 9;
/// The sizes at which memcpy is shown, in bytes.
pub const COPIED: &[u64] = &[64, 4 << 10, 64 << 10, 1 << 20, 64 << 20];

/// The floors of one process on `cpu`; must run before there is a second thread.
///
/// # Errors
/// As fork(2).
pub fn alone(cpu: usize, window: Duration) -> Result<Vec<Floor>> {
    let _pinned = Pinned::to(cpu)?;
    let mut floors = vec![
        floor("getppid", None, repeat(window, getppid)),
        floor("clock_gettime", None, repeat(window, Instant::now)),
    ];
    for size in COPIED {
        let mut copy = Copy::new(*size, *size);
        floors.push(floor("memcpy", Some(*size), repeat(window, || copy.once())));
    }
    floors.push(floor("fork + wait", None, few(window, fork_and_wait)?));
    floors.push(floor("fork + exec + wait", None, few(window, fork_and_exec)?));
    Ok(floors)
}

fn floor(name: &str, size: Option<u64>, mut figures: Vec<f64>) -> Floor {
    figures.sort_by(f64::total_cmp);
    Floor {
        name: name.to_owned(),
        placement: None,
        size,
        nanoseconds: median(&figures),
        min: figures.first().copied().unwrap_or(0.0),
        max: figures.last().copied().unwrap_or(0.0),
    }
}

/// The mean time of `work` in nanoseconds, in each of several windows.
fn repeat<T>(window: Duration, mut work: impl FnMut() -> T) -> Vec<f64> {
    let mut figures = Vec::new();
    for _ in 0..WINDOWS {
        let (began, mut count) = (Instant::now(), 0_u32);
        let mut batch = 1_u32;
        while began.elapsed() < window / WINDOWS as u32 {
            (0..batch).for_each(|_| drop(black_box(work())));
            count += batch;
            batch = (batch * 2).min(1024);
        }
        figures.push(began.elapsed().as_nanos() as f64 / f64::from(count));
    }
    figures
}

/// As [`repeat`], for what takes long and may fail.
fn few(window: Duration, mut work: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    let (began, mut figures) = (Instant::now(), Vec::new());
    while began.elapsed() < window || figures.len() < WINDOWS {
        let before = Instant::now();
        work()?;
        figures.push(before.elapsed().as_nanos() as f64);
    }
    Ok(figures)
}

fn fork_and_wait() -> Result<()> {
    match fork().context("fork")? {
        Forked::Child => cleanup::exit(0),
        Forked::Parent(child) => waitpid(child, None).context("wait").map(drop),
    }
}

fn fork_and_exec() -> Result<()> {
    let mut command = Command::new("/bin/true");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.status().context("spawn /bin/true").map(drop)
}

// ANCHOR: copy
/// memcpy(3) of messages of one size, to and from places that go round in a footprint.
#[derive(Debug)]
pub struct Copy {
    from: Vec<u8>,
    to: Vec<u8>,
    size: usize,
    at: usize,
}

impl Copy {
    /// Of `size` bytes at a time, into memory of `footprint` bytes in all.
    pub fn new(size: u64, footprint: u64) -> Copy {
        let (size, footprint) = (size as usize, footprint.max(size) as usize);
        Copy { from: vec![1; size], to: vec![2; footprint], size, at: 0 }
    }

    /// One copy.
    #[inline]
    pub fn once(&mut self) {
        let to = &mut self.to[self.at..self.at + self.size];
        to.copy_from_slice(black_box(&self.from));
        black_box(to);
        self.at += self.size;
        if self.at + self.size > self.to.len() {
            self.at = 0;
        }
    }

    /// Bytes per second: the median of many short turns, so that one in which something
    /// else had the CPU does not count.
    pub fn rate(&mut self, window: Duration) -> f64 {
        let began = Instant::now();
        let batch = (4_194_304 / self.size.max(1)).max(1);
        let (mut rates, mut last) = (Vec::new(), began);
        while rates.len() < 5 || last - began < window {
            (0..batch).for_each(|_| self.once());
            let now = Instant::now();
            let bytes = (batch * self.size) as f64;
            rates.push(bytes / (now - last).as_secs_f64());
            last = now;
        }
        median(&rates)
    }
}
// ANCHOR_END: copy
