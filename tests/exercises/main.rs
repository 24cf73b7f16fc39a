//! The table of exercises checks itself: what a learner begins with builds, runs and fails for
//! the stated reason; our solutions pass; wrong solutions are caught where they should be.
//!
//! What the check says of each is kept in `messages`: `IPCLAB_KEEP=1 cargo test --test exercises`
//! writes it anew. `IPCLAB_ROUNDS=20` tries each solution and each wrong one 20 times.

#[path = "../support/mod.rs"]
mod support;

mod class;
mod programs;
mod table;
mod verbs;
mod watching;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bare::Language;
use exercises::row::{Exercise, Wrong};
use exercises::{ALL, id};
use serde_json::Value;

use programs::Which;
use support::*;

/// What one check came to.
pub(crate) struct Check {
    whole: Value,
}

impl Check {
    /// The verdict, and the stage that it was given in.
    fn verdict(&self) -> (&str, &str) {
        let stages = self.whole["stages"].as_array().expect("a list");
        let last = stages.last().expect("a stage");
        (
            self.whole["verdict"].as_str().expect("a text"),
            last["stage"].as_str().expect("a text"),
        )
    }

    /// The first thing that the check says of the stage that failed: the cause. What follows from it
    /// may come to be seen, or not.
    fn message(&self) -> String {
        let stages = self.whole["stages"].as_array().expect("a list");
        let last = stages.last().expect("a stage");
        without_what_differs(last["faults"][0].as_str().unwrap_or_default())
    }
}

/// The same text without what differs from run to run: the stage's directory, a pid, and how a
/// program was found out that does not sleep, or that sleeps for good.
fn without_what_differs(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let line = if line.contains("while it waited, for") {
            "(It did not sleep, or woke again and again.)".to_owned()
        } else if line.starts_with("All sleep,")
            || line.starts_with("It was not done")
        {
            "(It hung.)".to_owned()
        } else {
            let mut before = "";
            let words = line.split_inclusive(' ');
            words
                .map(|word| {
                    word_that_stays(std::mem::replace(&mut before, word), word)
                })
                .collect()
        };
        let _ = writeln!(out, "{line}");
    }
    out
}

/// A word, with PLACE for a name of the stage's, and N for a number of some digits, as a pid's, and
/// for the id of a System V object, which is small where few were made.
fn word_that_stays(before: &str, word: &str) -> String {
    let path = word.trim_end();
    if path.contains("ipclab-") {
        return word.replace(path, "PLACE");
    }
    let number = path.trim_matches(['"', '.', '-']);
    let some = if before.starts_with("sysv-") { 1 } else { 3 };
    if number.len() >= some && number.bytes().all(|c| c.is_ascii_digit()) {
        word.replace(number, "N")
    } else {
        word.to_owned()
    }
}

/// Checks `program`, a command line, against the exercise.
fn check(id: &str, program: &[String]) -> Check {
    let state = tempfile::tempdir().unwrap();
    let mut command = Command::new(support::program());
    command
        .args(["exercise", "check", id, "--json", "--seed", "1", "--"])
        .args(program);
    command.env("XDG_STATE_HOME", state.path()).current_dir(state.path());
    // Longer than all stages may take together.
    let process = RoleProcess::start("check", command, Input::Nothing).unwrap();
    let outcome = process.wait(Instant::now() + Duration::from_secs(300)).unwrap();
    let whole = serde_json::from_slice(&outcome.stdout).unwrap_or_else(|error| {
        panic!("{id}: {error}: {}", outcome.stderr);
    });
    Check { whole }
}

/// How often each program is tried.
fn rounds() -> usize {
    let rounds = std::env::var("IPCLAB_ROUNDS").ok();
    rounds.map_or(1, |rounds| rounds.parse().expect("a number"))
}

fn of_chapter(chapter: &str) -> impl Iterator<Item = (String, &'static Exercise)> {
    let (chapter, all) =
        ALL.iter().find(|(name, _)| *name == chapter).expect("a chapter");
    all.iter().map(move |exercise| (id((chapter, exercise)), exercise))
}

fn languages(exercise: &Exercise) -> impl Iterator<Item = Language> {
    let solutions = exercise.solutions;
    Language::ALL
        .into_iter()
        .filter(move |language| solutions[*language as usize].is_some())
}

/// How many checks run at the same time: for most of its time each sleeps.
const AT_ONCE: usize = 6;

/// What `work` makes of each of `all`, in their order.
fn each<T: Sync, R: Send>(all: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let run = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(one) = all.get(index) else { return };
            let result = work(one);
            done.lock().unwrap().push((index, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(all.len()) {
            scope.spawn(run);
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Each solution passes, in each language.
fn solutions_pass(chapter: &str) {
    let all: Vec<_> = of_chapter(chapter)
        .flat_map(|(id, exercise)| {
            languages(exercise).map(move |language| (id.clone(), language))
        })
        .collect();
    each(&all, |(id, language)| {
        let program = programs::built(id, &Which::Solution, *language);
        for round in 1..=rounds() {
            let check = check(id, &program);
            let whole = &check.whole;
            assert_eq!(
                check.verdict().0,
                "passed",
                "{id}, {language:?}, round {round}: {whole:#}"
            );
        }
    });
}

/// What a learner begins with, and each wrong solution, fails where it should, and with the words
/// that are kept.
fn failures_are_told(chapter: &str) {
    for (id, exercise) in of_chapter(chapter) {
        let languages: Vec<_> = languages(exercise).collect();
        let mut told = each(&languages, |language| begins(&id, *language));
        told.extend(each(exercise.wrong, |wrong| caught(&id, wrong)));
        kept(&id, &told.concat());
    }
}

/// What is said in each round: more than one text if it is not always the same.
fn in_each_round(tell: impl Fn() -> String) -> String {
    let told: BTreeSet<_> = (0..rounds()).map(|_| tell()).collect();
    told.into_iter().collect()
}

/// That what one begins with runs, and fails; what is said of it.
fn begins(id: &str, language: Language) -> String {
    let program = programs::built(id, &Which::Beginning, language);
    in_each_round(|| {
        let check = check(id, &program);
        let (verdict, stage) = check.verdict();
        assert_ne!(
            verdict, "passed",
            "{id}: what one begins with passes in {language:?}"
        );
        assert_ne!(
            stage, "start",
            "{id}: what one begins with does not run in {language:?}"
        );
        let language = language.name();
        format!("## as it begins, in {language}: {stage}\n\n{}\n", check.message())
    })
}

/// That the wrong solution is caught; what is said of it.
fn caught(id: &str, wrong: &Wrong) -> String {
    let program = programs::built(id, &Which::Wrong(wrong), wrong.language);
    in_each_round(|| {
        let check = check(id, &program);
        let (verdict, stage) = check.verdict();
        let (what, whole) = (wrong.what, &check.whole);
        assert_eq!(stage, wrong.stage, "{id}, wrong: {what}: {whole:#}");
        assert_ne!(verdict, "passed", "{id}, wrong: {what}");
        format!("## {what}: {stage}\n\n{}\n", check.message())
    })
}

/// Compares with the kept file, or keeps it.
fn kept(id: &str, told: &str) {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exercises/messages");
    let file = file.join(id.replace('/', "-") + ".txt");
    if std::env::var_os("IPCLAB_KEEP").is_some() {
        std::fs::write(&file, told).unwrap();
    }
    let before = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(before, told, "{} is not what is said now", file.display());
}

macro_rules! chapters {
    ($($(#[$feature:meta])* $chapter:ident)*) => {
        $(
            $(#[$feature])*
            mod $chapter {
                #[test]
                fn solutions_pass() {
                    super::solutions_pass(stringify!($chapter));
                }

                #[test]
                fn failures_are_told() {
                    super::failures_are_told(stringify!($chapter));
                }
            }
        )*

        #[test]
        fn each_chapter_with_exercises_is_tried_here() {
            let tried = [$(stringify!($chapter)),*];
            let names: Vec<_> = ALL.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, tried);
        }
    };
}

chapters! {
    spawn file pipe fifo unix tcp udp posixmq sysvmq signal
    shm mmap semaphore mutex eventfd multiplex fdpass procvm dbus
    #[cfg(feature = "mpi")]
    mpi
}
