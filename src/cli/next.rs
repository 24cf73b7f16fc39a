//! `ipclab next`: the learner's path through the chapters, and the one command to type now.

use std::fmt::Write;

use anyhow::Result;
use colored::{ColoredString, Colorize};

use super::near::{self, Offers};
use chapters::{find, rows};
use lab::progress::{Progress, Tried, ago, now};
use lab::prose;
use wire::chapter::Row;
use wire::errors::usage;
use wire::meet::Meets;
use wire::say::count;

/// The options of `ipclab next`.
#[derive(Debug, clap::Args)]
#[command(after_help = prose::examples(&[
    ("next", "where you were, what is done, and the command to type now"),
    ("next unix", "the steps of a chapter of your choice"),
    ("next --skip", "leaves the next step out, and shows the one after it"),
]) + "
It runs nothing. Within a chapter you read the bare program, see its system calls, guess the \
experiments of level first, do the exercises, play the role in two terminals, and measure it.")]
pub(super) struct Options {
    /// The chapter; without one, that in which you were, then the first that is not done
    #[arg(value_name = "CHAPTER")]
    #[arg(value_parser = Offers(names), hide_possible_values = true)]
    chapter: Option<String>,

    /// Leave the next step out
    #[arg(long)]
    skip: bool,
}

/// What a shell completes.
fn names() -> &'static [String] {
    static NAMES: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
    NAMES.get_or_init(|| rows().iter().map(|row| row.name.to_owned()).collect())
}

/// What has become of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Begun,
    Skipped,
    Done,
}

impl State {
    fn is_over(self) -> bool {
        matches!(self, State::Skipped | State::Done)
    }

    fn mark(self) -> ColoredString {
        match self {
            State::Open => " ".normal(),
            State::Begun => "…".yellow(),
            State::Skipped => "–".normal(),
            State::Done => "✓".green(),
        }
    }
}

/// One step of a chapter.
#[derive(Debug)]
struct Step {
    /// What is done with the chapter.
    does: &'static str,
    /// The name by which it is skipped.
    id: String,
    command: String,
    about: String,
    /// About how long it takes.
    minutes: u64,
    state: State,
}

/// About how long what is open takes.
fn to_go(steps: &[Step]) -> u64 {
    let open = steps.iter().filter(|step| !step.state.is_over());
    open.map(|step| step.minutes).sum()
}

/// The steps of a chapter, in their order; none of one that this build has not.
fn steps(row: &Row, progress: &Progress) -> Vec<Step> {
    let name = row.name;
    if row.missing().is_some() {
        return Vec::new();
    }
    let mut all = Vec::new();
    let mut add =
        |does, minutes, id: String, command: String, about: String, state| {
            let skipped = progress.skipped.contains_key(&id);
            let state =
                if skipped && state != State::Done { State::Skipped } else { state };
            all.push(Step { does, id, command, about, minutes, state });
        };
    let kept = |id: &str| match progress.steps.contains_key(id) {
        true => State::Done,
        false => State::Open,
    };
    let id = format!("bare {name}");
    let state = kept(&id);
    let about = "the shortest whole program, both roles on one screen".to_owned();
    add("read", 10, id, format!("ipclab bare {name}"), about, state);
    if row.meets != Meets::World {
        let id = format!("trace {name}");
        let state = kept(&id);
        let about = "all that this program asks of the kernel".to_owned();
        add("see", 5, id, format!("ipclab trace {name} --bare"), about, state);
    }
    let first = experiments::row::Level::First;
    let asked = experiments::of(name).iter().filter(|one| one.level == first);
    for one in asked {
        let id = format!("{name}/{}", one.name);
        let state = match progress.experiments.get(&id) {
            None => State::Open,
            Some(tried) if Tried::is_wrong(tried) => State::Begun,
            Some(_) => State::Done,
        };
        let command = format!("ipclab experiment {id}");
        add(
            "break",
            3,
            format!("experiment {id}"),
            command,
            one.title.to_owned(),
            state,
        );
    }
    let of_chapter = exercises::entries().filter(|(chapter, _)| *chapter == name);
    for entry in of_chapter {
        let id = exercises::id(entry);
        let done = progress.exercises.get(&id).cloned().unwrap_or_default();
        let (state, verb) = match (done.passed, &done.dir) {
            (Some(_), _) => (State::Done, "check"),
            (None, Some(_)) => (State::Begun, "check"),
            (None, None) => (State::Open, "start"),
        };
        let mut about = entry.1.title.to_owned();
        if let (State::Begun, Some(dir)) = (state, &done.dir) {
            about += &format!(
                "; {} of {} stages, in {}",
                done.stages,
                entry.1.stages.len(),
                dir.display()
            );
        }
        let command = format!("ipclab exercise {verb} {id}");
        let minutes = entry.1.minutes.into();
        add("harden", minutes, format!("exercise {id}"), command, about, state);
    }
    let lines = row.roles.iter().filter_map(|role| role.command_lines().next());
    let lines: Vec<String> = lines.collect();
    let id = format!("role {name}");
    let state = kept(&id);
    let about = match (row.meets, lines.get(1)) {
        (Meets::Nowhere | Meets::World, _) | (_, None) => {
            "the role, at work".to_owned()
        }
        (_, Some(other)) => format!("and in another terminal: {other}"),
    };
    add("play", 5, id, lines[0].clone(), about, state);
    if bench::with_figures().contains(&name) {
        let id = format!("bench {name}");
        let state = kept(&id);
        let about = "what it costs, in multiples of the machine's best".to_owned();
        add("measure", 5, id, format!("ipclab bench {name} --quick"), about, state);
    }
    all
}

/// The step to do now: an experiment that was guessed wrong comes again after the others.
fn open(steps: &[Step]) -> Option<&Step> {
    let to_do = || steps.iter().filter(|step| !step.state.is_over());
    let first = to_do().next()?;
    let mut alike = to_do().filter(|step| step.does == first.does);
    match first.does {
        "break" => alike.find(|step| step.state == State::Open).or(Some(first)),
        _ => Some(first),
    }
}

/// The chapter to go on with: that in which the learner was, then the first that is not done.
fn current(progress: &Progress) -> Option<Row> {
    let was = progress.last.as_ref().and_then(|last| find(&last.chapter));
    let mut all = was.into_iter().chain(rows().iter().copied());
    all.find(|row| open(&steps(row, progress)).is_some())
}

/// The line of the overview: the command to type now.
pub(super) fn line() -> String {
    let progress = Progress::read_or_tell();
    let all = current(&progress).map(|row| steps(&row, &progress));
    let Some(Step { command, .. }) = all.as_deref().and_then(open) else {
        return "You have done every step: ipclab next\n".to_owned();
    };
    match &progress.last {
        None => format!("Your first step: {command}\n"),
        Some(_) => format!("Your next step: {command}\n{}", was(&progress)),
    }
}

/// Where the learner was, and when.
fn was(progress: &Progress) -> String {
    let Some(last) = &progress.last else { return String::new() };
    format!("You were here {}: {}\n", ago(last.at), last.command)
}

/// `ipclab next`.
///
/// # Errors
/// A chapter that there is not.
pub(super) fn run(options: &Options) -> Result<()> {
    let mut progress = Progress::read_or_tell();
    let chosen = match &options.chapter {
        None => None,
        Some(name) => Some(find(name).ok_or_else(|| usage(unknown(name)))?),
    };
    let mut text = was(&progress);
    if !text.is_empty() {
        text.push('\n');
    }
    if options.skip
        && let Some(row) = chosen.or_else(|| current(&progress))
        && let Some(step) = open(&steps(&row, &progress))
    {
        let _ = write!(text, "Skipped: {}\n\n", step.command);
        Progress::change(row.name, &step.command, |progress| {
            progress.skipped.insert(step.id.clone(), now());
        })?;
        progress = Progress::read()?;
    }
    text += &path(&progress);
    let Some(row) = chosen.or_else(|| current(&progress)) else {
        text +=
            "\nYou have done every step. The experiments go on: ipclab experiment\n";
        return prose::print(&text);
    };
    text += &chapter(&row, &progress);
    prose::print(&text)
}

fn unknown(name: &str) -> String {
    let near = near::question(&near::chapters(&[name]));
    format!(
        "no such chapter: '{name}'{}",
        near.unwrap_or("; ipclab list has them".into())
    )
}

/// All chapters, a line each.
fn path(progress: &Progress) -> String {
    let mut text = String::new();
    let mut left = 0;
    for row in rows() {
        let all = steps(row, progress);
        let minutes = to_go(&all);
        left += minutes;
        let over = all.iter().filter(|step| step.state.is_over()).count();
        let state = match over {
            _ if over == all.len() => State::Done,
            0 => State::Open,
            _ => State::Begun,
        };
        let _ = match all.len() {
            0 => writeln!(text, "  {:<10} not in this build", row.name),
            count => {
                let to_go = match state {
                    State::Done => String::new(),
                    _ => format!(", {minutes} minutes to go"),
                };
                writeln!(
                    text,
                    "{} {:<10} {over:>2} of {count} steps{to_go}",
                    state.mark(),
                    row.name
                )
            }
        };
    }
    if left > 0 {
        let hours = count(left.div_ceil(60), "hour");
        let _ = writeln!(text, "\nAll that is open takes about {hours}.");
    }
    text
}

/// The steps of a chapter, and the command.
fn chapter(row: &Row, progress: &Progress) -> String {
    let mut text =
        format!("\n{}\n", format!("{}: {}", row.name, row.summary).bold());
    let all = steps(row, progress);
    let width = prose::width();
    let rest = " ".repeat(11);
    for step in &all {
        let (mark, does) = (step.state.mark(), step.does);
        let _ = writeln!(text, "{mark} {does:<8} {}", step.command);
        if !step.state.is_over() {
            let minutes = count(step.minutes, "minute");
            let about = format!("{minutes}: {}", step.about);
            text += &prose::paragraph(width, &rest, &rest, &about);
        }
    }
    match (open(&all), row.missing()) {
        (Some(step), _) => {
            let _ = write!(text, "\nNext: {}\n", step.command.bold());
            text += &prose::paragraph(width, "      ", "      ", &step.about);
        }
        (None, Some(missing)) => {
            text += &prose::paragraph(width, "Not here: ", "  ", &missing);
        }
        (None, None) => {
            let _ = write!(
                text,
                "\n{} is done. The path goes on: ipclab next\n",
                row.name
            );
        }
    }
    text
}
