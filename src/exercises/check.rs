//! `ipclab exercise check`: builds, then tries stage by stage, and says what it does.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use colored::Colorize;
use rustix::stdio::stdout;

use bare::Language;
use doctor::ask;
use doctor::probe::Place;
use lab::interrupts::Interrupts;
use lab::prose;
use lab::scratch::Scratch;
use os::namespace::Apart;
use wire::errors::usage;
use wire::meet::quoted;

use super::causes;
use super::class::{self, names};
use super::folder::{
    NotBuilt, Started, build, build_line, instead, is_machines, lacking, named,
};
use super::formats::{Format, write};
use super::pace::measure;
use super::progress::{self, Progress, now};
use super::row::{Exercise, Stage};
use super::run::play;
use super::schema::{Played, START, Submission, VERSION};
use super::told::{begun, done, line, starts, told, way_out};
use super::tracing::traced;
use super::verdict::{Report, Verdict};
use super::watch::{self, Watched};
use super::{Entry, id, own, seed};

/// The options of `check`.
#[derive(Debug, clap::Args)]
#[command(after_help = prose::examples(&[
    ("exercise check fifo/receiver", "your program in the folder that `start` made"),
    ("exercise check", "the same, from within that folder"),
    ("exercise check fifo/receiver --lang c", "the one that you began in C, if you have others"),
    ("exercise check fifo/receiver -- ./mine", "another program"),
    ("exercise check fifo/receiver --stage halves --seed 81f3", "a stage alone, again"),
    ("exercise check fifo/receiver --stage halves --trace", "its system calls, too"),
    ("exercise check fifo/receiver --watch", "again, each time that you save a file"),
    ("exercise check --all handed-in", "a folder of submissions, a folder a learner"),
    ("exercise check --all handed-in --format junit", "the same for a build server"),
    ("exercise check --all handed-in --format github --out results", "a file a learner"),
]))]
pub(super) struct Options {
    /// CHAPTER/NAME; in its folder it need not be said
    #[arg(value_parser = super::offers(), hide_possible_values = true)]
    exercise: Option<String>,
    /// The program that you began in this language: rust, c or python
    #[arg(long, value_parser = lab::language::parser())]
    #[arg(conflicts_with_all = ["all", "command"])]
    lang: Option<Language>,
    /// Try this stage alone
    #[arg(long, value_name = "NAME")]
    pub(super) stage: Option<String>,
    /// Draw the same data as the run that printed this seed
    #[arg(long, value_name = "HEX", value_parser = seed)]
    seed: Option<u64>,
    /// Also draw the system calls of both sides: of the stage that fails, or of the one named
    #[arg(long)]
    pub(super) trace: bool,
    /// Check at once, and each time that a file is saved
    #[arg(long, conflicts_with_all = ["json", "format", "all"])]
    watch: bool,
    /// With --watch: look at the files each second, where inotify(7) does not report
    #[arg(long, requires = "watch")]
    poll: bool,
    /// Check all submissions in FOLDER: it has a folder a learner, with the folders of `start`
    #[arg(long, value_name = "FOLDER")]
    #[arg(conflicts_with_all = ["stage", "trace", "command"])]
    all: Option<PathBuf>,
    /// With --all: so many at the same time; as many as there are CPUs without it
    #[arg(long, value_name = "NUMBER", requires = "all")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// With --all: write a file a learner into DIR, and print the table
    #[arg(long, value_name = "DIR", requires = "all")]
    out: Option<PathBuf>,
    /// An exercise of your teacher's own, in FOLDER (`exercise new`)
    #[arg(long, value_name = "FOLDER", requires = "command")]
    #[arg(conflicts_with_all = ["exercise", "all"])]
    pub(super) own: Option<PathBuf>,
    /// One JSON object: each stage with its verdict; the same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// The form of the result
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// In namespaces of its own, and without a note of it; `--all` starts it
    #[arg(long, hide = true)]
    apart: bool,
    /// A command that starts your program; its role and arguments follow
    #[arg(last = true, value_name = "COMMAND")]
    pub(super) command: Vec<OsString>,
}

impl Options {
    fn format(&self) -> Format {
        let json = self.json.then_some(Format::Json);
        json.or(self.format).unwrap_or(Format::Table)
    }

    /// Whether it is for a reader.
    fn is_told(&self) -> bool {
        self.format() == Format::Table
    }

    fn seed(&self) -> Result<u64> {
        match self.seed {
            Some(seed) => Ok(seed),
            None => Ok(u64::from(getrandom::u32().context("getrandom")?)),
        }
    }
}

/// What is to be checked.
pub(super) struct Checked {
    pub(super) entry: Entry,
    pub(super) id: String,
    /// The learner's folder, where no command was given.
    dir: Option<(PathBuf, Language)>,
}

impl Checked {
    /// `ipclab exercise VERB`, with the words that name the exercise where we are.
    pub(super) fn again(&self, options: &Options, verb: &str) -> String {
        let mut line = format!("ipclab exercise {verb}");
        if let Some(dir) = &options.own {
            return line + &format!(" --own {}", quoted(&dir.display().to_string()));
        }
        let here = std::env::current_dir().ok();
        let dir = self.dir.as_ref().map(|(dir, _)| dir);
        if dir.is_none() || here.as_ref() != dir {
            line += &format!(" {}", self.id);
        }
        match options.lang.filter(|_| verb == "check" && here.as_ref() != dir) {
            Some(language) => line + " --lang " + language.name(),
            None => line,
        }
    }
}

/// `ipclab exercise check`.
pub(super) fn run(options: &Options) -> Result<()> {
    if let Some(dir) = &options.all {
        return class::run(&class::Asked {
            dir,
            exercise: options.exercise.as_deref(),
            seed: options.seed()?,
            jobs: options.jobs.map(usize::from),
            format: match options.out {
                Some(_) if options.is_told() => Format::Json,
                _ => options.format(),
            },
            out: options.out.as_deref(),
        });
    }
    let checked = chosen(options)?;
    if options.watch {
        return watched(&checked, options);
    }
    let (_, exercise) = checked.entry;
    let stages = stages(exercise, options.stage.as_deref())?;
    let seed = options.seed()?;
    let mut stop = Interrupts::watch()?;
    let built = begin(&checked, options)?;
    end_if_asked(&mut stop)?;
    // The build has this machine's network and its files; the program has not.
    let apart = options.apart && go_apart()?;
    let before = if options.apart { names() } else { BTreeSet::new() };
    let built = match built {
        Ok(started) => {
            if options.is_told() {
                prose::print(&starts(exercise, stages[0], &started)?)?;
            }
            measure(exercise, &started, &mut stop)?.map(|pace| (started, pace))
        }
        Err(report) => Err(report),
    };
    let mut played: Vec<(&str, &str, Report)> = Vec::new();
    let started = match built {
        Err(report) => {
            let about = "the program is built, and started without arguments";
            played.push((START, about, report));
            None
        }
        Ok((started, pace)) => {
            let terminal = options.is_told() && stdout().is_terminal();
            for (number, stage) in (1..).zip(&stages) {
                if terminal {
                    prose::print(&begun(number, stages.len(), stage))?;
                }
                let report = play(
                    exercise,
                    &checked.id,
                    stage,
                    &started,
                    (seed, pace),
                    &mut stop,
                )?;
                if terminal {
                    prose::print(ERASED)?;
                }
                end_if_asked(&mut stop)?;
                if options.is_told() {
                    prose::print(&line(number, stages.len(), stage, &report))?;
                }
                let ends = report.verdict != Verdict::Passed;
                played.push((stage.name, stage.about, report));
                if ends {
                    break;
                }
            }
            Some(started)
        }
    };
    let submission = Submission {
        version: VERSION,
        learner: None,
        folder: None,
        exercise: checked.id.clone(),
        language: checked
            .dir
            .as_ref()
            .map(|(_, language)| language.name().to_owned()),
        seed: format!("{seed:x}"),
        isolated: apart,
        verdict: played
            .last()
            .map_or(Verdict::Passed, |(.., report)| report.verdict),
        passed: played
            .iter()
            .filter(|(.., it)| it.verdict == Verdict::Passed)
            .count(),
        of: stages.len(),
        stages: played
            .iter()
            .map(|(name, about, it)| Played::new(name, about, it))
            .collect(),
        not_tried: stages
            .iter()
            .map(|stage| stage.name.to_owned())
            .filter(|name| played.iter().all(|(played, ..)| played != name))
            .collect(),
        left: if options.apart {
            names().difference(&before).cloned().collect()
        } else {
            Vec::new()
        },
    };
    note(&checked, options, &submission);
    if !options.is_told() {
        prose::print(&write(options.format(), std::slice::from_ref(&submission)))?;
    }
    let failed = played.pop().filter(|_| submission.verdict != Verdict::Passed);
    let traced = failed.as_ref().map_or(stages[0].name, |(name, ..)| name);
    if options.is_told() {
        if let Some((_, _, report)) = &failed {
            prose::print(&told(report))?;
        }
        if let Some(started) = started.filter(|_| options.trace) {
            let stage = find_stage(exercise, traced)?;
            prose::print(&drawn(&checked, stage, &started, seed))?;
        }
        prose::print(&match &failed {
            Some((stage, ..)) => way_out(&checked, options, stage, seed),
            None => done(&checked, options),
        })?;
    }
    match failed {
        Some((stage, _, report)) if !options.format().ends_well() => {
            bail!("{}: {stage}: {}", checked.id, report.verdict.text())
        }
        _ => Ok(()),
    }
}

/// To the line's begin, and what stands in it is erased.
const ERASED: &str = "\r\x1b[K";

/// Ends this process if a signal has asked for it.
fn end_if_asked(stop: &mut Interrupts) -> Result<()> {
    let _ = stop.pending()?;
    stop.caught.map_or(Ok(()), |signal| stop.end_by(signal))
}

/// Whether we are in namespaces of our own now. The process that waits for that ends here.
fn go_apart() -> Result<bool> {
    match os::namespace::go_apart().context("fork")? {
        Apart::Inside => Ok(true),
        Apart::Refused => Ok(false),
        Apart::Ended(status) => std::process::exit(status.into()),
    }
}

/// Checks at each saved file, by a process of its own with the same options.
fn watched(checked: &Checked, options: &Options) -> Result<()> {
    let watched = match &checked.dir {
        Some((dir, language)) => Watched::folder(dir, *language),
        None => Watched::command(&options.command)?,
    };
    let mut words: Vec<OsString> =
        ["exercise", "check"].map(OsString::from).to_vec();
    match &options.own {
        Some(dir) => words.extend(["--own".into(), dir.into()]),
        None => words.push(checked.id.clone().into()),
    }
    if let Some(language) = options.lang {
        words.extend(["--lang".into(), language.name().into()]);
    }
    if let Some(stage) = &options.stage {
        words.extend(["--stage".into(), stage.into()]);
    }
    if let Some(seed) = options.seed {
        words.extend(["--seed".into(), format!("{seed:x}").into()]);
    }
    words.extend(options.trace.then(|| "--trace".into()));
    if !options.command.is_empty() {
        words.push("--".into());
        words.extend(options.command.iter().cloned());
    }
    watch::run(&watched, &words, options.poll)
}

/// The stage's calls, or why they cannot be seen.
fn drawn(checked: &Checked, stage: &Stage, started: &Started, seed: u64) -> String {
    match traced((&checked.id, checked.entry.1), stage, started, seed) {
        Ok(seen) => format!(
            "\n{}:\n{}",
            "The system calls of both sides".bold(),
            seen.drawing
        ),
        Err(error) => {
            format!("\nIts calls cannot be seen: {}\n", wire::errors::line(&error))
        }
    }
}

/// Builds the program; or the report of what came in the way.
fn begin(
    checked: &Checked,
    options: &Options,
) -> Result<std::result::Result<Started, Report>> {
    if let Some(probe) = checked.entry.1.needs
        && let answer = ask::one(probe, &Place::at(Scratch::make()?.path()))?
        && !answer.is_there()
    {
        let fault = format!("{}; ipclab doctor tells more.", answer.found);
        return Ok(Err(Report::new(Verdict::NotHere, fault)));
    }
    let not_here = |why: &str, language| {
        let mut report = Report::new(Verdict::NotHere, format!("{why}."));
        report.faults.push(instead(checked.entry.1, &checked.id, language));
        report
    };
    let language = checked.dir.as_ref().map(|(_, language)| *language);
    if let Some((dir, language)) = &checked.dir
        && let Some(why) = lacking(dir, *language)?
    {
        return Ok(Err(not_here(&why, *language)));
    }
    Ok(start(checked, options)?.map_err(|NotBuilt(said)| {
        let mut report = match language.filter(|_| is_machines(&said)) {
            Some(language) => {
                not_here("Nothing can be built on this machine", language)
            }
            None => Report::new(Verdict::CouldNotRun, "It does not compile.".into()),
        };
        report.tell("The compiler", &said);
        report
    }))
}

/// The exercise and the folder, from the command line or from where we are.
fn chosen(options: &Options) -> Result<Checked> {
    if let Some(dir) = &options.own {
        let entry = own::load(dir)?;
        return Ok(Checked { entry, id: id(entry), dir: None });
    }
    let (entry, here) = named(options.exercise.as_deref(), "check")?;
    let id = id(entry);
    if !options.command.is_empty() {
        return Ok(Checked { entry, id, dir: None });
    }
    let wanted = options.lang.map(Language::name);
    let here = here
        .filter(|(_, about)| wanted.is_none_or(|wanted| wanted == about.language));
    let (dir, language) = match here {
        Some((dir, about)) => (dir, about.language),
        None => {
            let progress = Progress::read_or_tell();
            let done = progress.exercises.get(&id).cloned().unwrap_or_default();
            let Some(folder) = done.folder(wanted) else {
                let lang = wanted.map(|lang| format!(" --lang {lang}"));
                let lang = lang.unwrap_or_default();
                bail!("{id} has not been started: ipclab exercise start {id}{lang}");
            };
            folder
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
    match only {
        Some(name) => Ok(vec![find_stage(exercise, name)?]),
        None => Ok(exercise.stages.iter().collect()),
    }
}

pub(super) fn find_stage(exercise: &Exercise, name: &str) -> Result<&'static Stage> {
    let found = exercise.stages.iter().find(|stage| stage.name == name);
    found.ok_or_else(|| {
        let names: Vec<_> = exercise.stages.iter().map(|stage| stage.name).collect();
        usage(format!("no stage {name}: there are {}", names.join(", ")))
    })
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
        && options.is_told()
    {
        let shown = quoted(&dir.display().to_string());
        prose::print(&format!("$ cd {shown} && {}\n", words.join(" ")))?;
    }
    build(dir, *language)
}

/// Keeps what was reached. A home that cannot be written costs the mark in the list, no more.
fn note(checked: &Checked, options: &Options, submission: &Submission) {
    if options.apart || options.own.is_some() {
        return;
    }
    let last =
        submission.stages.last().filter(|last| last.verdict != Verdict::Passed);
    progress::told(Progress::note(&checked.id, |done| {
        done.failed = last.map(|stage| stage.stage.clone());
        done.error = last.filter(|stage| !stage.is_start()).and_then(causes::of);
        if options.stage.is_some() {
            return;
        }
        if let Some((dir, language)) = &checked.dir {
            done.began(dir, language.name());
        }
        done.stages = submission.passed;
        done.checked = Some(now());
        if submission.verdict == Verdict::Passed {
            done.passed.get_or_insert(now());
        }
    }));
}
