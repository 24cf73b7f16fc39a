//! A learner's folder: what it begins with, and how the program in it is built and started.

use std::ffi::OsString;
use std::fs::{DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use bare::{Language, Program, header_command};
use lab::tools::{NO_COMPILER, Tools, compile_line, compiler};
use os::spawn::give;
use wire::dirs;
use wire::errors::{self, Advise, usage};
use wire::launcher::mpiexec_within;
use wire::meet::quoted;

use super::row::{Begin, Exercise, Lent};
use super::texts;
use super::{Entry, find};

/// The file that says which exercise a folder is for.
pub(super) const ABOUT: &str = ".ipclab-exercise";

/// What [`ABOUT`] says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct About {
    /// The exercise: CHAPTER/NAME.
    pub(super) exercise: String,
    /// The language, by its name.
    pub(super) language: String,
}

/// A command that starts the learner's program; its role and arguments are to follow.
#[derive(Debug, Clone)]
pub struct Started {
    /// The words.
    pub words: Vec<OsString>,
    /// The directory that it runs in.
    pub dir: PathBuf,
}

impl Started {
    /// As a command.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).current_dir(&self.dir);
        command
    }

    /// As a command that starts it as so many ranks. What the launcher makes is in `dir`.
    pub(super) fn world(&self, ranks: u32, dir: &Path) -> Command {
        let mut command = mpiexec_within(dir);
        command.args(["-n", &ranks.to_string()]).args(&self.words);
        command.current_dir(&self.dir);
        command
    }

    /// The same with SIGXFSZ ignored, so that a limit looks like a full disk: write(2) fails,
    /// and no signal ends the program. A shell ignores it, since a `RoleProcess` ignores none.
    pub fn command_without_sigxfsz(&self) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]);
        command.args(&self.words).current_dir(&self.dir);
        command
    }

    /// The same as systemd starts a server. A shell knows the pid that the server will have.
    ///
    /// # Errors
    /// EMFILE.
    pub(super) fn command_with(&self, lent: &Lent) -> Result<Command> {
        let mut command = Command::new("sh");
        let variables = format!("export LISTEN_FDS=1 LISTEN_PID={}", lent.to);
        command.args(["-c", &format!("{variables}; exec \"$@\""), "sh"]);
        command.args(&self.words).current_dir(&self.dir);
        let descriptor = lent.descriptor.try_clone().context("dup")?;
        give(&mut command, descriptor, 3).context("dup")?;
        Ok(command)
    }
}

/// What a compiler has said, in place of a program.
#[derive(Debug)]
pub struct NotBuilt(pub String);

/// The file that holds the program.
pub fn source(language: Language) -> &'static str {
    match language {
        Language::Rust => "src/main.rs",
        Language::C => "main.c",
        Language::Python => "main.py",
    }
}

/// Where an exercise is kept unless the learner says otherwise.
///
/// # Errors
/// Without a home directory.
pub(super) fn default(id: &str, language: Language) -> Result<PathBuf> {
    let home = dirs::set("HOME").context("HOME is not set: say where by --dir")?;
    let folder = PathBuf::from(home).join("ipclab-exercises").join(id);
    Ok(folder.join(language.name()))
}

/// The text that the learner begins with; `None` where the exercise has none in `language`.
pub fn beginning(exercise: &Exercise, language: Language) -> Option<String> {
    let text = match exercise.begin {
        Begin::Bare(name) => {
            exercise.solutions[language as usize]?;
            Program::find(name)?.text(language).to_owned()
        }
        Begin::Solution => {
            texts::beginning(exercise.solutions[language as usize]?, language)
        }
    };
    Some(with_file_names(&text, language))
}

/// Our solution in `language`.
pub fn solution(exercise: &Exercise, language: Language) -> Option<String> {
    let text = exercise.solutions[language as usize]?;
    Some(with_file_names(&texts::solution(text, language), language))
}

/// The commands in a program's header name its file: here it is called `main`.
fn with_file_names(text: &str, language: Language) -> String {
    let command = match language {
        Language::Rust => return text.to_owned(),
        Language::C => header_command(text, &["cc", "mpicc"]),
        Language::Python => header_command(text, &["python3"]),
    };
    let ending = format!(".{}", language.ending());
    let file = command.into_iter().flat_map(|line| line.split(' '));
    let file = file.filter_map(|word| word.strip_suffix(&ending)).next();
    let Some(name) = file else { return text.to_owned() };
    text.replace(&format!("{name}{ending}"), &format!("main{ending}"))
        .replace(&format!("-o {name}"), "-o main")
        .replace(&format!("./{name} "), "./main ")
}

/// Makes the folder with the program that the exercise begins with.
///
/// # Errors
/// A program that is there already; a directory that cannot be made.
pub(super) fn make(
    dir: &Path,
    id: &str,
    task: &str,
    text: &str,
    language: Language,
) -> Result<()> {
    let file = dir.join(source(language));
    if file.exists() {
        bail!(
            "{} is there already: go on with it, cd {} && ipclab exercise check, or begin again \
             in another place by --dir",
            file.display(),
            quoted(&dir.display().to_string())
        );
    }
    let parent = file.parent().unwrap_or(dir);
    let made = DirBuilder::new().recursive(true).mode(0o700).create(parent);
    made.with_context(|| format!("mkdir {}", parent.display()))?;
    write(&dir.join("TASK.md"), task)?;
    if language == Language::Rust {
        write(&dir.join("Cargo.toml"), &manifest(text))?;
    }
    let about =
        About { exercise: id.to_owned(), language: language.name().to_owned() };
    write(&dir.join(ABOUT), &(serde_json::to_string(&about)? + "\n"))?;
    // The program last: where it is, the rest is.
    write(&file, text)
}

fn write(path: &Path, text: &str) -> Result<()> {
    let file = File::create(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("write {}", path.display()))
}

/// The manifest of a Rust program: what its header says that it needs.
pub fn manifest(text: &str) -> String {
    let dependencies: String = text
        .lines()
        .filter_map(|line| line.strip_prefix("//! Cargo.toml: "))
        .map(|line| format!("{line}\n"))
        .collect();
    format!(
        "[package]\nname = \"exercise\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
         [dependencies]\n{dependencies}\n[workspace]\n"
    )
}

/// Which exercise the folder `dir` is for.
pub(super) fn about(dir: &Path) -> Option<About> {
    serde_json::from_slice(&std::fs::read(dir.join(ABOUT)).ok()?).ok()
}

/// The exercise that `given` names, or that the current directory is for; with that directory, if
/// it is for the same.
///
/// # Errors
/// When neither names one.
pub(super) fn named(
    given: Option<&str>,
    verb: &str,
) -> Result<(Entry, Option<(PathBuf, About)>)> {
    let here = std::env::current_dir().ok();
    let here = here.and_then(|dir| Some((about(&dir)?, dir)));
    let id = given.or(here.as_ref().map(|(about, _)| about.exercise.as_str()));
    let Some(id) = id else {
        return Err(usage(format!(
            "this folder is no exercise's: name one, ipclab exercise {verb} CHAPTER/NAME, or \
             see ipclab exercise list"
        )));
    };
    let entry = find(id).with_context(|| format!("{id}: no such exercise"))?;
    let id = super::id(entry);
    let here = here.filter(|(about, _)| about.exercise == id);
    Ok((entry, here.map(|(about, dir)| (dir, about))))
}

/// The line that builds the program in `dir`, if it must be built.
pub(super) fn build_line(
    dir: &Path,
    language: Language,
) -> Result<Option<Vec<String>>> {
    let words = |line: &str| line.split(' ').map(str::to_owned).collect();
    Ok(match language {
        Language::Python => None,
        Language::Rust => Some(words("cargo build --quiet --target-dir target")),
        Language::C => {
            let file = dir.join("main.c");
            let text = std::fs::read(&file)
                .with_context(|| format!("open {}", file.display()))?;
            let text = String::from_utf8_lossy(&text);
            // The options of the header, whatever the learner has called the files in it.
            let line = header_command(&text, &["cc", "mpicc"]);
            let (cc, options) = compile_line(line.unwrap_or("cc"));
            let mut all =
                vec![cc, "-Wall".into(), "-Wextra".into(), "main.c".into()];
            let options = options.iter().filter(|word| !word.starts_with("-W"));
            all.extend(options.map(|word| (*word).to_owned()));
            all.extend(["-o", "main"].map(str::to_owned));
            Some(all)
        }
    })
}

/// What the machine must have for programs in `language`.
fn install(language: Language) -> &'static str {
    match language {
        Language::Rust => "install Rust 1.85 or later (https://rustup.rs)",
        Language::C => NO_COMPILER,
        Language::Python => {
            "apt-get install python3, or name another in IPCLAB_PYTHON"
        }
    }
}

/// Why no program in `language` can be built or started here, if none can: the tool for it does
/// not even tell its version.
pub(super) fn lacking(dir: &Path, language: Language) -> Result<Option<String>> {
    let mut command = match build_line(dir, language)? {
        Some(words) => compiler(&words[0]),
        None => Command::new(Tools::of_environment().python),
    };
    let tool = command.get_program().to_string_lossy().into_owned();
    let output = command.arg("--version").current_dir(dir).output();
    let why = match output.with_context(|| format!("exec {tool}")) {
        Ok(output) if output.status.success() => return Ok(None),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let first = said.lines().next().unwrap_or_default();
            format!("{tool} --version: {}: {first}", output.status)
        }
        Err(error) => errors::line(&error),
    };
    Ok(Some(why.trim_end_matches([':', ' ', '.']).to_owned()))
}

/// What the learner can do where the tool is missing: install it, or take another language.
pub(super) fn instead(exercise: &Exercise, id: &str, language: Language) -> String {
    let others: Vec<_> =
        languages(exercise).filter(|one| *one != language).collect();
    let others =
        others.into_iter().map(Language::name).collect::<Vec<_>>().join("|");
    let install = install(language);
    match others.is_empty() {
        true => format!("To go on, {install}."),
        false => format!(
            "To go on, {install}, or: ipclab exercise start {id} --lang {others}"
        ),
    }
}

/// The languages that the exercise is there for.
pub(super) fn languages(exercise: &Exercise) -> impl Iterator<Item = Language> {
    let solutions = exercise.solutions;
    Language::ALL
        .into_iter()
        .filter(move |language| solutions[*language as usize].is_some())
}

/// Whether it is the machine, and not the program, for which the compiler fails: no linker, or a
/// Rust that is older than the manifest's edition.
pub(super) fn is_machines(said: &str) -> bool {
    ["error: linker `", "feature `edition2024` is required"]
        .iter()
        .any(|words| said.contains(words))
}

/// Builds the program in `dir`.
///
/// # Errors
/// When there is no compiler. What the compiler finds wrong is [`NotBuilt`].
pub(super) fn build(
    dir: &Path,
    language: Language,
) -> Result<std::result::Result<Started, NotBuilt>> {
    let Some(words) = build_line(dir, language)? else {
        return Ok(Ok(started(dir, language)));
    };
    let mut command = compiler(&words[0]);
    let built = compiled(command.args(&words[1..]).current_dir(dir), language)?;
    Ok(built.map(|()| started(dir, language)))
}

/// Has a compiler do its work.
fn compiled(
    command: &mut Command,
    language: Language,
) -> Result<std::result::Result<(), NotBuilt>> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("exec {name}"));
    let output = output.advise(|_| Some(install(language)))?;
    let said = || NotBuilt(String::from_utf8_lossy(&output.stderr).into_owned());
    Ok(output.status.success().then_some(()).ok_or_else(said))
}

/// Builds our solution beside the learner's program in `dir`; what is built of both is shared. The
/// directory is where it is, and goes when it is dropped.
///
/// # Errors
/// As [`build`].
pub(super) fn built_solution(
    dir: &Path,
    text: &str,
    language: Language,
) -> Result<(TempDir, std::result::Result<Started, NotBuilt>)> {
    let place = dirs::scratch("ipclab-solution-")?;
    make(place.path(), "", "", text, language)?;
    if language == Language::Rust {
        let named = manifest(text).replacen("\"exercise\"", "\"solution\"", 1);
        write(&place.path().join("Cargo.toml"), &named)?;
        // The same versions: they are built, and on this machine.
        let lock = std::fs::read_to_string(dir.join("Cargo.lock"));
        let lock = lock.context("open Cargo.lock")?;
        let lock = lock.replacen("name = \"exercise\"", "name = \"solution\"", 1);
        write(&place.path().join("Cargo.lock"), &lock)?;
        let target = dir.join("target");
        let mut command = compiler("cargo");
        command.args(["build", "--quiet", "--target-dir"]).arg(&target);
        let built = compiled(command.current_dir(place.path()), language)?;
        let words = vec![target.join("debug/solution").into()];
        let started = Started { words, dir: place.path().to_owned() };
        return Ok((place, built.map(|()| started)));
    }
    let built = build(place.path(), language)?;
    Ok((place, built))
}

/// The command that starts what was built in `dir`.
fn started(dir: &Path, language: Language) -> Started {
    let words = match language {
        Language::Rust => vec![dir.join("target/debug/exercise").into()],
        Language::C => vec![dir.join("main").into()],
        Language::Python => {
            vec![Tools::of_environment().python, dir.join("main.py").into()]
        }
    };
    Started { words, dir: dir.to_owned() }
}
