//! A stage under the tracer: both sides' calls, drawn and counted.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use lab::scratch::Scratch;
use trace::play::{Calls, Part, Seen, play};
use wire::say::{count, grouped};

use super::folder::Started;
use super::row::{Exercise, PARTNER, Stage};
use super::run::{partner, prepared};
use super::scene::Scene;

/// Plays `stage` with the program under the tracer.
///
/// # Errors
/// When tracing is forbidden, and what a program's start may meet.
pub(super) fn traced(
    (id, exercise): (&str, &Exercise),
    stage: &Stage,
    started: &Started,
    seed: u64,
) -> Result<Seen> {
    let scratch = Scratch::make()?;
    let scene = Scene::new(exercise, stage, scratch.path(), seed);
    let started = direct(started);
    let mut parts = Vec::new();
    for player in (stage.players)(&scene) {
        let mut command: Command = match (player.learners, &player.lent) {
            (true, Some(lent)) => started.command_with(lent)?,
            (true, None) => started.command(),
            (false, _) => partner(&player, id, stage, seed)?,
        };
        prepared(&mut command, &player, &scene);
        parts.push(Part {
            name: player.name,
            command,
            input: player.learners.then_some(player.stdin),
            piped: player.piped,
        });
    }
    let coloured = colored::control::SHOULD_COLORIZE.should_colorize();
    let chapter = id.split('/').next().and_then(chapters::find);
    let seen = play(parts, chapter.as_ref(), coloured);
    let _ = scene.remove_leftovers();
    seen
}

/// The same without a script in between, as pyenv has one that is called python3: its calls are not
/// the program's.
fn direct(started: &Started) -> Started {
    let mut started = started.clone();
    let first =
        Path::new(&started.words[0]).file_name().map(|name| name.to_string_lossy());
    if first.is_some_and(|name| name.starts_with("python")) {
        let asked = Command::new(&started.words[0])
            .args(["-c", "import sys; print(sys.executable, end='')"])
            .output();
        let itself = asked.ok().filter(|asked| asked.status.success());
        if let Some(itself) = itself.filter(|itself| !itself.stdout.is_empty()) {
            started.words[0] = OsString::from_vec(itself.stdout);
        }
    }
    started
}

/// The learner's calls, by name.
fn learners(seen: &Seen) -> BTreeMap<&str, Calls> {
    let mut all: BTreeMap<_, Calls> = BTreeMap::new();
    for ((process, call), calls) in &seen.calls {
        if process != PARTNER {
            let sum = all.entry(call.as_str()).or_default();
            sum.times += calls.times;
            sum.bytes += calls.bytes;
            sum.slept += calls.slept;
        }
    }
    all
}

/// Two programs' calls side by side: a line a call, and their sums.
pub(super) fn compared(yours: &Seen, ours: &Seen) -> String {
    let (yours, ours) = (learners(yours), learners(ours));
    let mut names: Vec<_> = yours.keys().chain(ours.keys()).copied().collect();
    names.sort_unstable();
    names.dedup();
    let mut text = format!("{:<18} {:>20} {:>20}\n", "call", "yours", "ours");
    for name in names {
        let of = |all: &BTreeMap<&str, Calls>| shown(all.get(name).copied());
        text += &format!("{name:<18} {:>20} {:>20}\n", of(&yours), of(&ours));
    }
    let sum = |all: &BTreeMap<&str, Calls>| {
        let calls = all.values().map(|calls| calls.times).sum();
        let slept: u64 = all.values().map(|calls| calls.slept).sum();
        format!("{}, slept {}", count(calls, "call"), count(slept, "time"))
    };
    text + &format!("Yours: {}. Ours: {}.\n", sum(&yours), sum(&ours))
}

/// How often, and how many bytes in all.
fn shown(calls: Option<Calls>) -> String {
    let calls = calls.unwrap_or_default();
    let times = grouped(calls.times);
    match calls.bytes {
        0 => times,
        bytes => format!("{times} for {} B", grouped(bytes)),
    }
}
