//! `ipclab exercise start`: the learner's folder.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use bare::Language;
use lab::prose;
use wire::meet::quoted;

use super::folder::{beginning, default, languages, make, source};
use super::progress::{Progress, told};
use super::row::{Exercise, Kind};
use super::{find, id};

/// The options of `start`.
#[derive(Debug, clap::Args)]
#[command(after_help = prose::examples(&[
    ("exercise start fifo/receiver", "in Rust"),
    ("exercise start fifo/receiver --lang python", "in Python"),
    ("exercise start fifo/receiver --lang c --dir here", "in C, in the folder `here`"),
]))]
pub(super) struct Options {
    /// CHAPTER/NAME
    #[arg(value_parser = super::offers(), hide_possible_values = true)]
    exercise: String,
    /// The language: rust, c or python; rust without it
    #[arg(long, value_parser = lab::language::parser())]
    lang: Option<Language>,
    /// The folder; ~/ipclab-exercises/CHAPTER/NAME/LANGUAGE without it
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

pub(super) fn run(options: &Options) -> Result<()> {
    let entry = find(&options.exercise).context("no such exercise")?;
    let (exercise, id, language) =
        (entry.1, id(entry), options.lang.unwrap_or(Language::Rust));
    let Some(text) = beginning(exercise, language) else {
        let known: Vec<_> = languages(exercise).map(Language::name).collect();
        bail!("{id} is there for --lang {} alone", known.join(", "));
    };
    let dir = match &options.dir {
        Some(dir) => std::path::absolute(dir).context("getcwd")?,
        None => default(&id, language)?,
    };
    make(&dir, &id, &task(exercise, &id, language), &text, language)?;
    told(Progress::note(&id, |done| {
        done.began(&dir, language.name());
    }));
    let shown = quoted(&dir.display().to_string());
    let rows = [
        (format!("cd {shown}"), "your folder"),
        ("cat TASK.md".to_owned(), "what is to be done"),
        (
            format!("$EDITOR {}", source(language)),
            "your program: it runs, and does not pass yet",
        ),
        ("ipclab exercise check".to_owned(), "tries it, as often as you like"),
    ];
    let others = languages(exercise).filter(|one| *one != language);
    let others = others.map(Language::name).collect::<Vec<_>>().join("|");
    let other = match options.lang {
        None if !others.is_empty() => format!(
            "\nThis is Rust. In another language: ipclab exercise start {id} --lang {others}\n"
        ),
        _ => String::new(),
    };
    prose::print(&format!(
        "{id}: {}, about {} minutes\n\n{}{other}",
        exercise.title,
        exercise.minutes,
        prose::pairs(prose::width(), &rows)
    ))
}

/// The task as the folder has it.
fn task(exercise: &Exercise, id: &str, language: Language) -> String {
    let kind = match exercise.kind {
        Kind::Write => "Write a role",
        Kind::Mend => "Mend a program",
        Kind::Design => "Design a program",
    };
    let file = source(language);
    let stages: String = exercise
        .stages
        .iter()
        .map(|stage| format!("- `{}`: {}\n", stage.name, stage.about))
        .collect();
    wrapped(&format!(
        "# {id}: {}\n\n{kind}, in about {} minutes. Your program is in `{file}`.\n\n{}\n\
         ## How it is checked\n\n    ipclab exercise check {id}\n\n{stages}",
        exercise.title,
        exercise.minutes,
        exercise.task.trim_end().to_owned() + "\n"
    ))
}

/// How wide a task is: it is read with cat(1).
const COLUMNS: usize = 76;

/// Markdown with its paragraphs and list items filled; all else stays as it is.
fn wrapped(text: &str) -> String {
    let (mut filled, mut open) = (String::new(), String::new());
    let mut is_code = false;
    for line in text.lines().chain([""]) {
        let fence = line.starts_with("```");
        let stays = is_code
            || fence
            || line.is_empty()
            || ["#", "|", "    "].iter().any(|begin| line.starts_with(begin));
        is_code ^= fence;
        if (stays || line.starts_with("- ")) && !open.is_empty() {
            let rest = if open.starts_with("- ") { "  " } else { "" };
            filled += &prose::paragraph(COLUMNS, "", rest, &open);
            open.clear();
        }
        if stays {
            filled += &format!("{line}\n");
        } else {
            let blank = if open.is_empty() { "" } else { " " };
            open += &format!("{blank}{}", line.trim_start());
        }
    }
    filled.trim_end().to_owned() + "\n"
}
