//! `ipclab exercise self-test`: whether an exercise is one. What the learner begins with fails, the
//! solution passes each time, and each wrong solution is caught at its stage.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use bare::Language;
use lab::prose;
use os::spawn::lead_session;
use process::{Input, RoleProcess};
use wire::dirs;

use super::folder::{beginning, make, solution};
use super::own::Own;
use super::schema::Submission;
use super::texts::edited;
use super::verdict::Verdict;
use super::{Entry, entries, find, id};

/// The options of `self-test`.
#[derive(Debug, clap::Args)]
#[command(after_help = prose::examples(&[
    ("exercise self-test fifo/receiver", "one of ours, each program in each language 20 times"),
    ("exercise self-test fifo/receiver --lang c --rounds 3", "its programs in C, three times each"),
    ("exercise self-test --own lesson", "one of your own, which `exercise new lesson` has begun"),
]))]
pub(super) struct Options {
    /// CHAPTER/NAME; all without it
    #[arg(value_parser = super::offers(), hide_possible_values = true)]
    exercise: Option<String>,
    /// An exercise of your own, in FOLDER
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["exercise", "lang"])]
    own: Option<std::path::PathBuf>,
    /// In this language alone: rust, c or python
    #[arg(long, value_parser = lab::language::parser())]
    lang: Option<Language>,
    /// How often each program is checked
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
}

/// What a program must come to.
#[derive(Clone, Copy)]
enum Must<'a> {
    Pass,
    /// At this stage, or at any; not at the start.
    FailAt(Option<&'a str>),
}

/// A command that checks a program, and what must come of it.
type Case<'a> = (String, Vec<std::ffi::OsString>, &'a Path, Must<'a>);

pub(super) fn run(options: &Options) -> Result<()> {
    let mut failed = 0;
    if let Some(dir) = &options.own {
        let dir = std::path::absolute(dir).context("getcwd")?;
        let own = Own::read(&dir)?;
        let words = |program: &[String]| {
            let mut words =
                vec!["--own".into(), dir.clone().into_os_string(), "--".into()];
            words.extend(program.iter().map(Into::into));
            words
        };
        let mut cases: Vec<Case<'_>> = vec![
            (
                "the beginning".into(),
                words(&own.beginning),
                &dir,
                Must::FailAt(None),
            ),
            ("the solution".into(), words(&own.solution), &dir, Must::Pass),
        ];
        for wrong in &own.wrong {
            let what = format!("wrong: {}", wrong.what);
            cases.push((
                what,
                words(&wrong.program),
                &dir,
                Must::FailAt(Some(&wrong.stage)),
            ));
        }
        for case in &cases {
            failed += usize::from(!holds(case, options.rounds)?);
        }
    } else {
        let chosen = options.exercise.as_deref().and_then(find);
        let all: Vec<Entry> = match chosen {
            Some(entry) => vec![entry],
            None => entries().collect(),
        };
        for entry in all {
            failed += ours(entry, options)?;
        }
    }
    match failed {
        0 => Ok(()),
        1 => bail!("1 program did not do what it must"),
        more => bail!("{more} programs did not do what they must"),
    }
}

/// The programs of one of our exercises; how many did not do what they must.
fn ours(entry: Entry, options: &Options) -> Result<usize> {
    let (exercise, name) = (entry.1, id(entry));
    let mut failed = 0;
    let chosen =
        |language: &Language| options.lang.is_none_or(|wanted| wanted == *language);
    let mut test = |what: &str, language, text: &str, must| -> Result<()> {
        let dir: TempDir = dirs::scratch("ipclab-self-test-")?;
        make(dir.path(), &name, "", text, language)?;
        let what = format!("{name}, {}, {what}", language.name());
        let case = (what, vec![name.clone().into()], dir.path(), must);
        failed += usize::from(!holds(&case, options.rounds)?);
        Ok(())
    };
    for language in Language::ALL.into_iter().filter(chosen) {
        let Some(right) = solution(exercise, language) else { continue };
        if let Some(text) = beginning(exercise, language) {
            test("the beginning", language, &text, Must::FailAt(None))?;
        }
        test("the solution", language, &right, Must::Pass)?;
        for wrong in exercise.wrong.iter().filter(|wrong| wrong.language == language)
        {
            let text = edited(&right, wrong.edits).map_err(anyhow::Error::msg)?;
            let what = format!("wrong: {}", wrong.what);
            test(&what, language, &text, Must::FailAt(Some(wrong.stage)))?;
        }
    }
    Ok(failed)
}

/// Whether the program does what it must in each round; says so.
fn holds((what, words, dir, must): &Case<'_>, rounds: u16) -> Result<bool> {
    for round in 1..=rounds {
        let got = checked(what, words, dir)?;
        let last = got.stages.last();
        let at = last.map_or("", |stage| stage.stage.as_str());
        let good = match must {
            Must::Pass => got.verdict == Verdict::Passed,
            Must::FailAt(stage) => {
                got.verdict != Verdict::Passed
                    && stage.map_or_else(
                        || !last.is_some_and(|stage| stage.is_start()),
                        |stage| stage == at,
                    )
            }
        };
        if !good {
            let must = match must {
                Must::Pass => "must pass".to_owned(),
                Must::FailAt(None) => "must run, and fail".to_owned(),
                Must::FailAt(Some(stage)) => format!("must fail at {stage}"),
            };
            let text = last.map(|stage| stage.text()).unwrap_or_default();
            prose::print(&format!(
                "✗ {what}: {must}; in round {round} it came to: {at}: {}, seed {}\n{text}\n",
                got.verdict.text(),
                got.seed
            ))?;
            return Ok(false);
        }
    }
    prose::print(&format!("✓ {what}: {rounds} of {rounds}\n"))?;
    Ok(true)
}

/// One check, by a process of its own.
fn checked(
    what: &str,
    words: &[std::ffi::OsString],
    dir: &Path,
) -> Result<Submission> {
    let mut command = Command::new(std::env::current_exe().context("readlink")?);
    command
        .args(["exercise", "check", "--json", "--apart"])
        .args(words)
        .current_dir(dir);
    lead_session(&mut command);
    let process = RoleProcess::start(what, command, Input::Nothing)?;
    let outcome = process.wait(Instant::now() + Duration::from_secs(900))?;
    serde_json::from_slice(&outcome.stdout)
        .with_context(|| format!("{what}: {}", outcome.stderr.trim_end()))
}
