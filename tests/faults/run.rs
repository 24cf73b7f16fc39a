//! All points, a few at a time, and the table at the end.
//!
//! IPCLAB_FAULTS: `full` for all points; a text for those whose name contains it, all of
//! them; without it, a sample whose size IPCLAB_FAULTS_POINTS may set, drawn by the seed
//! IPCLAB_FAULTS_SEED: 1 unless it is set, so that a change is tested at the same points as
//! the change before it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::columns::{FAULTS, reasons};
use crate::crash::{self, Point, Probe};
use crate::look::unnamed_semaphores;
use crate::matrix::{self, Trial};
use crate::scene::Scene;

/// Works through `items` with some threads more than processors: most of a run is waiting.
pub(crate) fn each<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let threads = 2 * std::thread::available_parallelism().map_or(2, usize::from);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else { return };
                    let result = work(item);
                    done.lock().expect("no panic").push((at, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no panic");
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

fn number(variable: &str, or: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(or)
}

/// xorshift64: Marsaglia 2003.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Keeps `size` of them, of each stratum its share, and at least one.
fn sample<T, K: Ord>(
    items: Vec<T>,
    stratum: impl Fn(&T) -> K,
    size: usize,
) -> Vec<T> {
    let seed = number("IPCLAB_FAULTS_SEED", 1);
    let size = number("IPCLAB_FAULTS_POINTS", size as u64) as usize;
    println!("IPCLAB_FAULTS_SEED={seed} IPCLAB_FAULTS_POINTS={size}");
    let all = items.len();
    let mut strata: BTreeMap<K, Vec<T>> = BTreeMap::new();
    for item in items {
        strata.entry(stratum(&item)).or_default().push(item);
    }
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut kept = Vec::new();
    for (_, mut stratum) in strata {
        let share = (stratum.len() * size).div_ceil(all).min(stratum.len());
        for _ in 0..share {
            let at = next(&mut state) as usize % stratum.len();
            kept.push(stratum.swap_remove(at));
        }
    }
    kept
}

/// Those that IPCLAB_FAULTS asks for, or a sample.
fn chosen<T, K: Ord>(
    mut items: Vec<T>,
    name: impl Fn(&T) -> String,
    stratum: impl Fn(&T) -> K,
    size: usize,
) -> Vec<T> {
    match std::env::var("IPCLAB_FAULTS").as_deref() {
        Ok("full") => items,
        Ok(text) if !text.is_empty() => {
            items.retain(|item| name(item).contains(text));
            items
        }
        _ => sample(items, stratum, size),
    }
}

/// What is wrong, each with how to see it again.
#[derive(Default)]
struct Wrong(Vec<(String, String)>);

impl Wrong {
    fn note(&mut self, name: String, error: String) {
        self.0.push((name, error));
    }

    fn is_empty(&self) {
        let mut text = String::new();
        for (name, error) in &self.0 {
            let _ = writeln!(text, "{name}: {error}");
        }
        assert!(
            self.0.is_empty(),
            "{} are wrong:\n{text}again: IPCLAB_FAULTS='NAME' cargo test --test faults -- \
             --ignored --nocapture",
            self.0.len()
        );
    }
}

/// Runs each scene without a strike; the scenes that pass are struck.
fn probed(mut scenes: Vec<Scene>, wrong: &mut Wrong) -> Vec<(Scene, Probe)> {
    // One that is named whole: no other needs to run.
    if let Ok(text) = std::env::var("IPCLAB_FAULTS")
        && scenes.iter().any(|scene| text.starts_with(&scene.name()))
    {
        scenes.retain(|scene| text.starts_with(&scene.name()));
    }
    let probes = each(&scenes, crash::probe);
    let mut probed = Vec::new();
    for (scene, probe) in scenes.into_iter().zip(probes) {
        match probe {
            Ok(probe) => probed.push((scene, probe)),
            Err(error) => wrong.note(format!("{}, unstruck", scene.name()), error),
        }
    }
    probed
}

/// The test of the crash points.
pub(crate) fn crash_points() {
    let began = Instant::now();
    let mut wrong = Wrong::default();
    let scenes = probed(Scene::all(), &mut wrong);
    let points: Vec<(usize, Point)> = (scenes.iter().enumerate())
        .flat_map(|(at, (scene, probe))| {
            crash::points(*scene, probe).into_iter().map(move |point| (at, point))
        })
        .collect();
    let before = unnamed_semaphores();
    let all = points.len();
    let name = |(_, point): &(usize, Point)| point.name();
    let stratum = |(at, point): &(usize, Point)| (*at, point.strike.nth_call.call);
    let points = chosen(points, name, stratum, 4000);
    let results = each(&points, |(at, point)| {
        let result = crash::strike(point, &scenes[*at].1);
        if let Err(error) = &result {
            println!("FAIL {}: {error}", point.name());
        }
        result
    });
    let within_sem_open = (points.iter().zip(&results))
        .filter(|((_, point), hit)| {
            **hit == Ok(true) && point.may_be_within_sem_open()
        })
        .count();
    let mut table: BTreeMap<String, [usize; 3]> = BTreeMap::new();
    for ((_, point), result) in points.iter().zip(results) {
        let line = table.entry(point.scene.name()).or_default();
        match result {
            Ok(true) => line[0] += 1,
            Ok(false) => line[1] += 1,
            Err(error) => {
                line[2] += 1;
                wrong.note(point.name(), error);
            }
        }
    }
    println!("{:32} {:>6} {:>6} {:>6}", "role", "ok", "missed", "FAIL");
    for (name, [ok, missed, failed]) in &table {
        println!("{name:32} {ok:6} {missed:6} {failed:6}");
    }
    let left: Vec<String> =
        unnamed_semaphores().difference(&before).cloned().collect();
    if left.len() > within_sem_open {
        wrong.note("semaphore posix, in the end".to_owned(), left.join(", "));
    }
    println!("{} of {all} points in {:.0?}", points.len(), began.elapsed());
    wrong.is_empty();
}

/// The test of the faults.
pub(crate) fn fault_matrix() {
    let began = Instant::now();
    let mut wrong = Wrong::default();
    let scenes = probed(matrix::scenes(), &mut wrong);
    let mut trials = Vec::new();
    for (at, (scene, probe)) in scenes.iter().enumerate() {
        for fault in FAULTS {
            trials.extend(
                matrix::trials(*scene, fault, probe).into_iter().map(|it| (at, it)),
            );
        }
    }
    let all = trials.len();
    let name = |(_, trial): &(usize, Trial)| trial.name();
    let stratum = |(at, trial): &(usize, Trial)| (*at, trial.fault.name);
    let trials = chosen(trials, name, stratum, 4000);
    let results = each(&trials, |(at, trial)| {
        let result = matrix::run(trial, &scenes[*at].1);
        if let Err(error) = &result {
            println!("FAIL {}: {error}", trial.name());
        }
        result
    });
    let mut cells: BTreeMap<(String, &'static str), [usize; 2]> = BTreeMap::new();
    for ((_, trial), result) in trials.iter().zip(results) {
        let key = (trial.scene.name(), trial.fault.name);
        match result {
            Ok(true) => cells.entry(key).or_default()[0] += 1,
            Ok(false) => {}
            Err(error) => {
                cells.entry(key).or_default()[1] += 1;
                wrong.note(trial.name(), error);
            }
        }
    }
    println!("{}{}", matrix::table(&cells), reasons());
    println!("{} of {all} runs in {:.0?}", trials.len(), began.elapsed());
    wrong.is_empty();
}
