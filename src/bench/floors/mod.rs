//! What the machine can do at best: measured in the same run, so that a figure can be
//! printed as a multiple of it.

use std::hint::black_box;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::wait::waitpid;
use nix::unistd::getppid;

use super::model::Floor;
use super::placement::Pinned;
use super::spread::median;
use os::cleanup;
use os::spawn::{Forked, fork};

pub mod copy;
pub mod ends;
pub(super) mod pairs;

pub use copy::Copy;

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
        let mut copy = Copy::best(*size, *size);
        let took = repeat(window, || copy.once());
        let apart = Some(copy.apart() as u64);
        floors.push(Floor { apart, ..floor("memcpy", Some(*size), took) });
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
        apart: None,
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
