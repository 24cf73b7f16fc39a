//! `ipclab exercise check`: builds, then tries stage by stage, and says what it does.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use colored::Colorize;
use serde_json::{Value, json};

use bare::Language;
use doctor::ask;
use doctor::probe::Place;
use lab::interrupts::Interrupts;
use lab::prose;
use lab::scratch::Scratch;
use wire::errors::usage;
use wire::meet::quoted;
use wire::visible::visible_but;

use super::folder::{NotBuilt, Started, about, build, build_line};
use super::pace::{Pace, measure};
use super::progress::{Progress, now};
use super::row::{Exercise, Stage};
use super::run::play;
use super::verdict::{Report, Verdict};
use super::{Entry, find, seed};

/// The options of `check`.
#[derive(Debug, clap::Args)]
#[command(after_help = prose::examples(&[
    ("exercise check fifo/receiver", "your program in the folder that `start` made"),
    ("exercise check", "the same, from within that folder"),
    ("exercise check fifo/receiver -- ./mine", "another program"),
    ("exercise check fifo/receiver --stage halves --seed 81f3", "a stage alone, again"),
]))]
pub(super) struct Options {
    /// CHAPTER/NAME; in its folder it need not be said
    #[arg(value_parser = super::offers(), hide_possible_values = true)]
    exercise: Option<String>,
    /// Try this stage alone
    #[arg(long, value_name = "NAME")]
    stage: Option<String>,
    /// Draw the same data as the run that printed this seed
    #[arg(long, value_name = "HEX", value_parser = seed)]
    seed: Option<u64>,
    /// One JSON object: each stage with its verdict
    #[arg(long)]
    json: bool,
    /// A command that starts your program; its role and arguments follow
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// What comes before the stages: the program is built, and started without arguments.
const START: &str = "start";

/// What is to be checked.
struct Checked {
    entry: Entry,
    id: String,
    /// The learner's folder, where no command was given.
    dir: Option<(PathBuf, Language)>,
}

/// `ipclab exercise check`.
pub(super) fn run(options: &Options) -> Result<()> {
    let checked = chosen(options)?;
    let (_, exercise) = checked.entry;
    let stages = stages(exercise, options.stage.as_deref())?;
    let seed = match options.seed {
        Some(seed) => seed,
        None => u64::from(getrandom::u32().context("getrandom")?),
    };
    let mut stop = Interrupts::watch()?;
    let mut played = Vec::new();
    let report = match begin(&checked, options, &mut stop)? {
        Err(report) => Some((START, report)),
        Ok((started, pace)) => {
            let mut last = None;
            for (number, stage) in (1..).zip(&stages) {
                let report = play(
                    exercise,
                    &checked.id,
                    stage,
                    &started,
                    (seed, pace),
                    &mut stop,
                )?;
                if let Some(signal) = stop.caught {
                    stop.end_by(signal)?;
                }
                if !options.json {
                    prose::print(&line(number, stages.len(), stage, &report))?;
                }
                if report.verdict != Verdict::Passed {
                    last = Some((stage.name, report));
                    break;
                }
                played.push((stage.name, report));
            }
            last
        }
    };
    note(&checked, options, played.len(), report.is_none());
    if options.json {
        prose::print(&format!(
            "{}\n",
            json(&checked, seed, &played, report.as_ref())
        ))?;
    }
    let Some((stage, report)) = report else {
        return if options.json {
            Ok(())
        } else {
            prose::print(&done(&checked, options))
        };
    };
    if !options.json {
        prose::print(&told(&report))?;
        prose::print(&way_out(&checked, options, stage, seed))?;
    }
    bail!("{}: {stage}: {}", checked.id, report.verdict.text());
}

/// Builds the program, and starts it once; or the report of what came in the way.
fn begin(
    checked: &Checked,
    options: &Options,
    stop: &mut Interrupts,
) -> Result<std::result::Result<(Started, Pace), Report>> {
    if let Some(probe) = checked.entry.1.needs
        && let answer = ask::one(probe, &Place::at(Scratch::make()?.path()))?
        && !answer.is_there()
    {
        let fault = format!("{}; ipclab doctor tells more.", answer.found);
        return Ok(Err(Report::new(Verdict::NotHere, fault)));
    }
    let started = match start(checked, options)? {
        Ok(started) => started,
        Err(NotBuilt(said)) => {
            let mut report =
                Report::new(Verdict::CouldNotRun, "It does not compile.".into());
            report.tell("The compiler", &said);
            return Ok(Err(report));
        }
    };
    Ok(measure(checked.entry.1, &started, stop)?.map(|pace| (started, pace)))
}

/// The check as one JSON object.
fn json(
    checked: &Checked,
    seed: u64,
    played: &[(&str, Report)],
    last: Option<&(&str, Report)>,
) -> Value {
    let stage = |(name, report): &(&str, Report)| {
        let story = report
            .story
            .iter()
            .map(|(title, text)| json!({"title": title, "text": text}));
        json!({
            "stage": name, "verdict": report.verdict, "faults": report.faults,
            "story": story.collect::<Vec<_>>(), "seconds": report.took.as_secs_f64(),
        })
    };
    json!({
        "version": 1,
        "exercise": checked.id,
        "seed": format!("{seed:x}"),
        "verdict": last.map_or(Verdict::Passed, |(_, report)| report.verdict),
        "passed": played.len(),
        "of": checked.entry.1.stages.len(),
        "stages": played.iter().chain(last).map(stage).collect::<Vec<_>>(),
    })
}

/// The exercise and the folder, from the command line or from where we are.
fn chosen(options: &Options) -> Result<Checked> {
    let here = std::env::current_dir().ok();
    let here = here.and_then(|dir| Some((about(&dir)?, dir)));
    let id = match (&options.exercise, &here) {
        (Some(id), _) => id.clone(),
        (None, Some((about, _))) => about.exercise.clone(),
        (None, None) => {
            return Err(usage(
                "this folder is no exercise's: name one, ipclab exercise check CHAPTER/NAME, or \
                 see ipclab exercise list",
            ));
        }
    };
    let entry = find(&id).with_context(|| format!("{id}: no such exercise"))?;
    if !options.command.is_empty() {
        return Ok(Checked { entry, id, dir: None });
    }
    let of_here = here.filter(|(about, _)| about.exercise == id);
    let (dir, language) = match of_here {
        Some((about, dir)) => (dir, about.language),
        None => {
            let progress = Progress::read()?;
            let done = progress.exercises.get(&id).cloned().unwrap_or_default();
            let (Some(dir), Some(language)) = (done.dir, done.language) else {
                bail!("{id} has not been started: ipclab exercise start {id}");
            };
            (dir, language)
        }
    };
    let language = Language::ALL.into_iter().find(|known| known.name() == language);
    let language = language.context("the folder's language is unknown")?;
    if !dir.exists() {
        bail!("{} is gone: ipclab exercise start {id} --dir D", dir.display());
    }
    Ok(Checked { entry, id, dir: Some((dir, language)) })
}

fn stages(exercise: &Exercise, only: Option<&str>) -> Result<Vec<&'static Stage>> {
    let Some(name) = only else { return Ok(exercise.stages.iter().collect()) };
    match exercise.stages.iter().find(|stage| stage.name == name) {
        Some(stage) => Ok(vec![stage]),
        None => {
            let names: Vec<_> =
                exercise.stages.iter().map(|stage| stage.name).collect();
            Err(usage(format!("no stage {name}: there are {}", names.join(", "))))
        }
    }
}

/// Builds the program, and says how.
fn start(
    checked: &Checked,
    options: &Options,
) -> Result<std::result::Result<Started, NotBuilt>> {
    let Some((dir, language)) = &checked.dir else {
        let dir = std::env::current_dir().context("getcwd")?;
        return Ok(Ok(Started { words: options.command.clone(), dir }));
    };
    if let Some(words) = build_line(dir, *language)?
        && !options.json
    {
        let shown = quoted(&dir.display().to_string());
        prose::print(&format!("$ cd {shown} && {}\n", words.join(" ")))?;
    }
    build(dir, *language)
}

/// One line for a stage that was played.
fn line(number: usize, all: usize, stage: &Stage, report: &Report) -> String {
    let milliseconds = report.took.as_millis();
    let verdict = match report.verdict {
        Verdict::Passed => "✓".green(),
        Verdict::NotHere => "–".yellow(),
        _ => "✗".red(),
    };
    let first = format!("{verdict} {number}/{all} {:<10} ", stage.name);
    let rest = " ".repeat(17);
    let end = match report.verdict {
        Verdict::Passed => format!("{milliseconds} ms"),
        other => other.text().to_uppercase(),
    };
    prose::paragraph(
        prose::width(),
        &first,
        &rest,
        &format!("{}  {end}", stage.about),
    )
}

/// What was wrong, and the story of the run.
fn told(report: &Report) -> String {
    let mut text = String::from("\n");
    for fault in &report.faults {
        text += &prose::paragraph(prose::width(), "", "", fault);
    }
    for (title, part) in &report.story {
        text += &format!("\n{}:\n", title.bold());
        for line in part.lines() {
            text += format!("  {}", visible_but(line, "\t")).trim_end();
            text.push('\n');
        }
    }
    text
}

/// How to go on after a stage that failed.
fn way_out(checked: &Checked, options: &Options, stage: &str, seed: u64) -> String {
    let id = &checked.id;
    let command: String = options
        .command
        .iter()
        .map(|word| format!(" {}", quoted(&word.to_string_lossy())))
        .collect();
    let command = if command.is_empty() { command } else { format!(" --{command}") };
    let mut rows = vec![
        (
            format!(
                "ipclab exercise check {id} --stage {stage} --seed {seed:x}{command}"
            ),
            "this stage alone, with the same data",
        ),
        (format!("ipclab exercise hint {id}"), "a hint for this stage"),
    ];
    if stage == START {
        rows.remove(0);
    }
    format!("\nNext:\n{}", prose::pairs(prose::width(), &rows))
}

fn done(checked: &Checked, options: &Options) -> String {
    let id = &checked.id;
    if options.stage.is_some() {
        return format!(
            "\nThat stage passes. All of them: ipclab exercise check {id}\n"
        );
    }
    let rows = [
        (format!("ipclab exercise show {id}"), "our solution, and its reasons"),
        ("ipclab next".to_owned(), "what comes next"),
    ];
    format!("\n{id} is passed.\n\nNext:\n{}", prose::pairs(prose::width(), &rows))
}

/// Keeps what was reached. A home that cannot be written costs the mark in the list, no more.
fn note(checked: &Checked, options: &Options, stages: usize, passed: bool) {
    if options.stage.is_some() {
        return;
    }
    let noted = Progress::note(&checked.id, |done| {
        if let Some((dir, language)) = &checked.dir {
            done.dir = Some(dir.clone());
            done.language = Some(language.name().to_owned());
        }
        done.stages = stages;
        done.checked = Some(now());
        if passed {
            done.passed.get_or_insert(now());
        }
    });
    if let Err(error) = noted {
        wire::say::tell(&format!(
            "ipclab: progress is not kept: {}\n",
            wire::errors::line(&error)
        ));
    }
}
