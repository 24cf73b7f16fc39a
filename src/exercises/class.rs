//! `ipclab exercise check --all`: a folder of submissions, side by side.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use colored::Colorize;
use nix::sys::signal::Signal;

use lab::interrupts::Interrupts;
use lab::prose;
use os::calls::poll_until;
use os::proc::text;
use os::spawn::lead_session;
use process::{Input, RoleProcess};
use rustix::event::{PollFd, PollFlags};
use wire::say::count;

use super::find;
use super::folder::{ABOUT, about};
use super::formats::{Format, write, write_files};
use super::schema::{Class, Submission, VERSION};
use super::verdict::Verdict;

/// Longer than any check takes, with its build.
const DEADLINE: Duration = Duration::from_secs(900);

/// How deep in a learner's folder an exercise may be.
const DEPTH: usize = 6;

/// What is to be graded.
pub(super) struct Asked<'a> {
    /// A folder a learner.
    pub(super) dir: &'a Path,
    /// This exercise alone.
    pub(super) exercise: Option<&'a str>,
    /// The same data for all.
    pub(super) seed: u64,
    /// How many at the same time.
    pub(super) jobs: Option<usize>,
    /// How it is shown.
    pub(super) format: Format,
    /// Where there is to be a file a learner.
    pub(super) out: Option<&'a Path>,
}

/// A folder of an exercise that was handed in.
struct Folder {
    learner: String,
    exercise: String,
    dir: PathBuf,
    /// Below the folder of all.
    shown: String,
}

/// Grades them.
///
/// # Errors
/// When one has not passed, or cannot be checked.
pub(super) fn run(asked: &Asked<'_>) -> Result<()> {
    let (folders, without) = handed_in(asked)?;
    if folders.is_empty() && without.is_empty() {
        bail!("{}: there is no folder of a learner in it", asked.dir.display());
    }
    let mut stop = Interrupts::watch()?;
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let stopped = AtomicUsize::new(0);
    std::thread::scope(|scope| -> Result<()> {
        let workers: Vec<_> = (0..asked.jobs.unwrap_or(cpus).min(folders.len()))
            .map(|_| {
                scope.spawn(|| {
                    while stopped.load(Ordering::Relaxed) == 0 {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(folder) = folders.get(index) else { return };
                        let graded = grade(folder, asked.seed, &stopped);
                        let mut done =
                            done.lock().expect("no panic while it is held");
                        done.push((index, graded));
                    }
                })
            })
            .collect();
        while workers.iter().any(|worker| !worker.is_finished()) {
            let mut fds = [PollFd::new(&stop.signals, PollFlags::IN)];
            poll_until(&mut fds, Some(LOOK)).context("poll")?;
            if stop.pending()? {
                stopped.store(1, Ordering::Relaxed);
            }
        }
        Ok(())
    })?;
    if let Some(signal) = stop.caught {
        stop.end_by(signal)?;
    }
    let mut done = done.into_inner().expect("as above");
    done.sort_by_key(|(index, _)| *index);
    let submissions =
        done.into_iter().map(|(_, one)| one).collect::<Result<Vec<_>>>()?;
    let class = Class { version: VERSION, submissions, without };
    match asked.out {
        Some(dir) => {
            write_files(dir, asked.format, &class.submissions)?;
            prose::print(&table(&class))?;
        }
        None => prose::print(&shown(&class, asked.format))?,
    }
    ending(&class, asked.format)
}

/// How often a worker looks whether a signal has come.
const LOOK: Duration = Duration::from_millis(50);

/// The folders of exercises, and the learners who have none.
fn handed_in(asked: &Asked<'_>) -> Result<(Vec<Folder>, Vec<String>)> {
    let (mut folders, mut without) = (Vec::new(), Vec::new());
    let failed = || format!("open {}", asked.dir.display());
    for dir in below(asked.dir).with_context(failed)? {
        let Some(learner) = dir.file_name().map(|name| name.to_string_lossy())
        else {
            continue;
        };
        let mut of_learner = Vec::new();
        search(&dir, DEPTH, &mut of_learner);
        let before = folders.len();
        for dir in of_learner {
            let Some(about) = about(&dir) else { continue };
            let wanted =
                asked.exercise.is_none_or(|wanted| wanted == about.exercise);
            if wanted && find(&about.exercise).is_some() {
                let shown = dir.strip_prefix(asked.dir).unwrap_or(&dir);
                let shown = shown.display().to_string();
                let (learner, exercise) = (learner.to_string(), about.exercise);
                folders.push(Folder { learner, exercise, dir, shown });
            }
        }
        if folders.len() == before {
            without.push(learner.into_owned());
        }
    }
    Ok((folders, without))
}

/// The directories in `dir`, without links and hidden ones, by name.
fn below(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut dirs: Vec<_> = dir
        .read_dir()?
        .flatten()
        .filter(|entry| {
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            !hidden && entry.file_type().is_ok_and(|kind| kind.is_dir())
        })
        .map(|entry| entry.path())
        .collect();
    dirs.sort();
    Ok(dirs)
}

fn search(dir: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    if dir.join(ABOUT).is_file() {
        found.push(dir.to_owned());
        return;
    }
    if depth > 0 {
        for dir in below(dir).unwrap_or_default() {
            search(&dir, depth - 1, found);
        }
    }
}

/// Grades one, by a check of its own.
fn grade(folder: &Folder, seed: u64, stopped: &AtomicUsize) -> Result<Submission> {
    let Folder { learner, exercise, dir, shown } = folder;
    let mut command = Command::new(std::env::current_exe().context("readlink")?);
    command
        .args(["exercise", "check", exercise, "--json", "--apart", "--seed"])
        .arg(format!("{seed:x}"))
        .current_dir(dir);
    lead_session(&mut command);
    let mut process = RoleProcess::start(shown, command, Input::Nothing)?;
    let deadline = Instant::now() + DEADLINE;
    while !process.has_ended() {
        if stopped.load(Ordering::Relaxed) != 0 || Instant::now() > deadline {
            let _ = process.signal(Signal::SIGTERM);
            break;
        }
        let mut fds = [PollFd::new(process.pidfd(), PollFlags::IN)];
        poll_until(&mut fds, Some(LOOK)).context("poll a pidfd")?;
    }
    let outcome = process.wait(Instant::now() + Duration::from_secs(20))?;
    let read: serde_json::Result<Submission> =
        serde_json::from_slice(&outcome.stdout);
    let mut submission = match read {
        Ok(submission) => submission,
        Err(_) => match outcome.status.signal() {
            Some(signal) => bail!("{shown}: the check was ended by signal {signal}"),
            None => bail!("{shown}: {}", outcome.stderr.trim_end()),
        },
    };
    submission.learner = Some(learner.clone());
    submission.folder = Some(shown.clone());
    Ok(submission)
}

fn shown(class: &Class, format: Format) -> String {
    match format {
        Format::Table => table(class),
        Format::Json => format!("{}\n", serde_json::json!(class)),
        other => write(other, &class.submissions),
    }
}

fn table(class: &Class) -> String {
    let wide = |of: fn(&Submission) -> &str| {
        class
            .submissions
            .iter()
            .map(|one| of(one).chars().count())
            .max()
            .unwrap_or(0)
    };
    let learner = wide(|one| one.learner.as_deref().unwrap_or_default()).max(
        class.without.iter().map(|name| name.chars().count()).max().unwrap_or(0),
    );
    let exercise = wide(|one| &one.exercise);
    let mut text = String::new();
    for one in &class.submissions {
        let mark = match one.verdict {
            Verdict::Passed => "✓".green(),
            Verdict::NotHere => "–".yellow(),
            _ => "✗".red(),
        };
        let first = format!(
            "{mark} {:<learner$}  {:<exercise$}  {:<6}  {:>2}/{:<2}  ",
            one.learner.as_deref().unwrap_or_default(),
            one.exercise,
            one.language.as_deref().unwrap_or_default(),
            one.passed,
            one.of
        );
        let mut rest = one.verdict.text().to_owned();
        if let Some(last) =
            one.stages.last().filter(|_| one.verdict != Verdict::Passed)
        {
            let fault = last.faults.first().map_or("", |fault| fault);
            rest = format!("{}: {rest}: {fault}", last.stage);
        }
        if !one.left.is_empty() {
            rest += &format!("; left behind: {}", one.left.join(", "));
        }
        let indentation = " ".repeat(learner + exercise + 21);
        text += &prose::paragraph(prose::width(), &first, &indentation, &rest);
    }
    for name in &class.without {
        text +=
            &format!("{} {name:<learner$}  no exercise in this folder\n", "✗".red());
    }
    let apart = class.submissions.iter().filter(|one| one.isolated).count();
    text += &match apart == class.submissions.len() {
        true => "\nEach ran in namespaces of its own (namespaces(7)), without a network.\n".to_owned(),
        false => format!(
            "\n{} of {} ran in namespaces of their own: they are not allowed here. The others \
             shared this machine's names and processes.\n",
            apart,
            class.submissions.len()
        ),
    };
    text
}

/// What the exit status says.
fn ending(class: &Class, format: Format) -> Result<()> {
    let failed = class
        .submissions
        .iter()
        .filter(|one| one.verdict != Verdict::Passed)
        .count()
        + class.without.len();
    if failed == 0 || format.ends_well() {
        return Ok(());
    }
    let all = class.submissions.len() + class.without.len();
    bail!("{failed} of {} did not pass", count(all as u64, "submission"))
}

/// The names in the kernel and in /dev/shm.
pub(super) fn names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for dir in ["/dev/shm", "/dev/mqueue"] {
        let entries = Path::new(dir).read_dir().into_iter().flatten().flatten();
        names.extend(entries.map(|entry| entry.path().display().to_string()));
    }
    for (file, what) in [
        ("shm", "System V segment"),
        ("sem", "System V semaphores"),
        ("msg", "System V queue"),
    ] {
        let table = text(format!("/proc/sysvipc/{file}")).unwrap_or_default();
        // The first two columns: the key, and the identifier.
        let rows = table.lines().skip(1).filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?.parse::<i32>().ok()?, words.next()?.to_owned()))
        });
        names.extend(rows.map(|(key, id)| format!("{what} {id}, key {key:#x}")));
    }
    names
}
