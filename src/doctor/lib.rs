//! `ipclab doctor`: what this machine offers, by trying it.
//!
//! - `answer`, `probe`: what is asked, and what may be answered; `ask`: each probe in a process of
//!   its own, which has two seconds.
//! - `probes`: all of them; those of `probes::needs` decide what experiments can run.
//! - `limits`, `surroundings`: how much there is, and where this process runs.
//! - `finding`: one line of the answer, from any of the three; `text`, `json`, `paste`: how all
//!   are shown.

use anyhow::{Result, bail};
use clap::builder::PossibleValuesParser;

use lab::interrupts::Interrupts;
use lab::prose;
use lab::scratch::Scratch;
use wire::errors::line;
use wire::meet::{Meets, Rendezvous};

pub mod answer;
pub mod ask;
mod finding;
mod json;
mod limits;
mod paste;
pub mod probe;
pub mod probes;
mod surroundings;
mod text;

use answer::Mark;
use finding::Finding;
use probe::{Place, Probe};

/// The options of `ipclab doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = prose::examples(&[
    ("doctor", "a line for each chapter, and what is missing or limited"),
    ("doctor posixmq", "all that concerns one chapter: probes with their times, limits"),
    ("doctor --report", "one block to paste into an issue, without names or paths"),
    ("doctor --strict", "for continuous integration"),
    ("doctor --json | jq '.findings[] | select(.mark != \"ok\")'", "for programs"),
]) + "
✓ is there, ! is there but limited, ✗ is missing. Exit status: 1 if something necessary is \
missing; with --strict also if anything is limited or missing.")]
pub struct Options {
    /// Only what concerns this chapter, and all of it; also trace, bench, bare, experiment
    #[arg(value_name = "CHAPTER")]
    #[arg(value_parser = PossibleValuesParser::new(names()))]
    #[arg(hide_possible_values = true)]
    chapter: Option<String>,

    /// Also those that are as they should be
    #[arg(long)]
    all: bool,

    /// One JSON object: findings, marks, and the last sentence
    #[arg(long, conflicts_with = "all")]
    json: bool,

    /// Exit with status 1 also if anything is limited, or is missing and not necessary
    #[arg(long)]
    strict: bool,

    /// One block to paste: kernel, C library, version, and what is not as it should be; no
    /// user names, no paths
    #[arg(long, conflicts_with_all = ["all", "json"])]
    report: bool,
}

fn names() -> Vec<&'static str> {
    let chapters = chapters::rows().iter().map(|row| row.name);
    chapters.chain(text::OTHERS).collect()
}

/// `ipclab doctor`.
///
/// # Errors
/// When something necessary is missing; with `--strict`, when anything is not ok.
pub fn run(options: &Options) -> Result<()> {
    let chapter = options.chapter.as_deref();
    let found = examine(chapter)?;
    let sentence = text::sentence(&found, chapter);
    prose::print(&match () {
        () if options.json => json::whole(&found, &sentence),
        () if options.report => paste::block(&found, &sentence),
        () => text::page(&found, chapter, options.all, &sentence),
    })?;
    let missing: Vec<_> = found
        .iter()
        .filter(|one| one.necessary && one.mark == Mark::Missing)
        .map(|one| one.name)
        .collect();
    if !missing.is_empty() {
        bail!("something necessary is missing: {}", missing.join(", "));
    }
    if options.strict && found.iter().any(|one| one.mark != Mark::Ok) {
        bail!("not all is as it should be, and --strict is given");
    }
    Ok(())
}

/// All that is found out, of one chapter or of all.
fn examine(chapter: Option<&str>) -> Result<Vec<Finding>> {
    // Before anything is made: a signal from now on ends this process once all is removed.
    let mut stop = Interrupts::watch()?;
    // As a role makes it: a probe tells if it cannot be made.
    let made = Rendezvous::new("fifo", Meets::Path, None)
        .and_then(|place| place.make_dir())
        .and_then(|()| Scratch::in_runtime_dir());
    let (scratch, place) = match made {
        Ok(scratch) => {
            let place = Place::at(scratch.path());
            (Some(scratch), place)
        }
        Err(error) => {
            let scratch = Scratch::make().ok();
            let dir = scratch.as_ref().map(Scratch::path);
            let place = Place::without_runtime_dir(dir, line(&error));
            (scratch, place)
        }
    };
    let probes: Vec<&Probe> = probes::ALL
        .iter()
        .copied()
        .filter(|probe| finding::concerns(probe.chapters, chapter))
        .collect();
    let asked = ask::all(&probes, &place, &mut stop)?;
    drop(scratch);
    if let Some(signal) = stop.caught {
        stop.end_by(signal)?;
    }
    let mut found: Vec<_> = probes
        .into_iter()
        .zip(asked)
        .map(|(probe, asked)| Finding::of_probe(probe, asked))
        .collect();
    found.extend(limits::all(chapter));
    found.extend(surroundings::all(chapter));
    Ok(found)
}

/// Whether the marks can be signs that are not ASCII: unless the locale says otherwise.
fn has_signs() -> bool {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
    locale.is_none_or(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}
