//! The bare programs as processes: where their roles meet, and the command that plays one.

use std::ffi::CString;
use std::fs::{DirBuilder, rename};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::sys::prctl;
use tempfile::NamedTempFile;

use bare::{Language, Main, MeetingPlace, PROGRAMS, Part, Program};
use chapters::{find, rows};
use os::cleanup::{Object, remove_now};
use os::inheritance::hand_on;
use wire::chapter::Row;
use wire::dirs;
use wire::errors::Advise;
use wire::meet::{Rendezvous, describe, kernel_prefix, kernel_prefix_of, key_of};
use wire::say::tell;

use super::clean::in_kernel;
use super::interrupts::Interrupts;
use super::tools::{NO_COMPILER, Tools, compile_line, compiler};

/// Where the roles of a bare program meet.
#[derive(Debug, Clone)]
pub struct MeetingPlaces {
    path: PathBuf,
    name: String,
    address: String,
}

impl MeetingPlaces {
    /// Where the roles of the program's chapter meet if no option says otherwise: so a bare
    /// role and one of the chapter find each other.
    ///
    /// # Errors
    /// When the runtime directory cannot be made.
    pub fn of_roles(program: &Program) -> Result<MeetingPlaces> {
        let row = row(program)?;
        let place = place_name(program);
        let given = (!program.meets_roles()).then(|| place.clone());
        let rendezvous = Rendezvous::new(row.name, row.meets, given)?;
        rendezvous.make_dir()?;
        // Bare servers of other chapters that want one have tcp's.
        let address = chapters::address(row.name).unwrap_or(chapters::tcp::ADDRESS);
        Ok(MeetingPlaces {
            path: rendezvous.path(),
            name: format!("{}{place}", kernel_prefix()),
            address: address.to_owned(),
        })
    }

    /// Places of a run's own: in its directory, and names made from the directory's.
    pub fn within(dir: &Path, program: &Program) -> MeetingPlaces {
        MeetingPlaces::at(dir, &place_name(program))
    }

    /// The same for programs that are none of ours, by the name `place`.
    pub fn at(dir: &Path, place: &str) -> MeetingPlaces {
        // An address that no other run of this machine uses, whatever its port.
        let [high, middle, low, _] = key_of(&dir.to_string_lossy()).to_be_bytes();
        MeetingPlaces {
            path: dir.join(place),
            name: format!("{}{place}", kernel_prefix_of(Some(dir.as_os_str()))),
            address: format!("127.{}.{middle}.{low}:7777", 64 + high % 64),
        }
    }

    /// The argument that stands for `place`.
    pub fn argument(&self, place: MeetingPlace) -> String {
        match place {
            MeetingPlace::Path => self.path.display().to_string(),
            MeetingPlace::Name => self.name.clone(),
            MeetingPlace::Key => format!("{:#x}", key_of(&self.name)),
            MeetingPlace::Address => self.address.clone(),
        }
    }

    /// The arguments of `part` that say where the roles meet.
    pub fn arguments(&self, part: &Part) -> Vec<String> {
        part.places.iter().map(|place| self.argument(*place)).collect()
    }

    /// The words of a command line by which the chapter's role plays `part`. Where its runtime
    /// directory is that of [`MeetingPlaces::within`], it needs to be told an address alone.
    pub fn role_words(&self, program: &Program, part: &Part) -> Vec<String> {
        let mut words = vec![program.chapter().to_owned(), part.role.to_owned()];
        if part.places.contains(&MeetingPlace::Address) {
            let option =
                if part.role == "server" { "--listen" } else { "--connect" };
            words.extend([option.to_owned(), self.address.clone()]);
        }
        let more = part.role_options.iter().chain(part.args);
        words.extend(more.map(|word| (*word).to_owned()));
        words
    }

    /// Removes what the roles have left in the kernel, and says what that was.
    pub fn remove_leftovers(&self) -> Option<String> {
        let left: Vec<Object> = in_kernel(&self.name);
        for object in &left {
            let _ = remove_now(object);
        }
        let names: Vec<_> = left.iter().map(describe).collect();
        (!names.is_empty()).then(|| format!("left behind: {}", names.join(", ")))
    }
}

/// The name of the place where the roles meet: that of the chapter's roles, unless the program
/// would not understand them.
fn place_name(program: &Program) -> String {
    let own = if program.meets_roles() { "" } else { OWN_PLACE };
    format!("{}{own}", program.chapter())
}

/// How the name of a place ends that bare programs have for themselves.
pub(crate) const OWN_PLACE: &str = "-bare";

/// What a command line may name with `--bare`: the chapters, and the bare programs that are not
/// called as their chapter.
pub fn names() -> impl Iterator<Item = &'static str> {
    let variants = PROGRAMS.iter().map(|program| program.name);
    rows()
        .iter()
        .map(|row| row.name)
        .chain(variants.filter(|name| find(name).is_none()))
}

/// That `name`, without `--bare`, is no chapter.
pub fn add_option(name: &str) -> String {
    format!("{name} is a bare program, not a chapter: add --bare")
}

/// Plays in this process the program under whose name it was started; returns the exit status.
pub fn play(program: &Program, main: Main) -> u8 {
    // What `ps` and `top` show. For `ipclab trace`, here ends the start of the program.
    if let Ok(name) = CString::new(program.name) {
        let _ = prctl::set_name(&name);
    }
    // As Rust reports what `main` returns.
    match main() {
        Ok(()) => 0,
        Err(error) => {
            tell(&format!("Error: {error:?}\n"));
            1
        }
    }
}

/// The row of the program's chapter.
///
/// # Errors
/// None: each program belongs to a chapter of the table.
pub fn row(program: &Program) -> Result<Row> {
    find(program.chapter())
        .with_context(|| format!("{}: no such chapter", program.name))
}

/// The command that plays `program`, written in `language`; its arguments are to follow.
///
/// # Errors
/// A C program that cannot be compiled; a directory for it that cannot be made.
pub fn command(program: &Program, language: Language) -> Result<Command> {
    match language {
        Language::Rust => {
            if let Some(missing) =
                row(program)?.missing().filter(|_| program.main.is_none())
            {
                bail!(missing);
            }
            let itself =
                std::env::current_exe().context("readlink /proc/self/exe")?;
            let mut command = Command::new(itself);
            command.arg0(program.process_name());
            Ok(command)
        }
        Language::C => Ok(Command::new(compiled(program)?)),
        Language::Python => {
            let file = cached(program, Language::Python, "")?;
            if !file.exists() {
                let text = program.text(Language::Python).as_bytes();
                put(&file, |new| new.write_all(text).context("write"))?;
            }
            let mut command = Command::new(Tools::of_environment().python);
            command.arg(file);
            Ok(command)
        }
    }
}

/// The C program, compiled as its header says, unless it has been before.
fn compiled(program: &Program) -> Result<PathBuf> {
    let line =
        program.command(Language::C, &["cc", "mpicc"]).with_context(|| {
            format!("{}.c has no command that compiles it", program.name)
        })?;
    // The text comes by standard input.
    let (cc, options) = compile_line(line);
    let result = cached(program, Language::C, &cc)?;
    if result.exists() {
        return Ok(result);
    }
    let mut stop = Interrupts::watch()?;
    let made = put(&result, |new| {
        let mut command = compiler(&cc);
        command.args(["-x", "c", "-"]).args(options).arg("-o").arg(new.path());
        hand_on(&mut command);
        let child = command.stdin(Stdio::piped()).spawn();
        let child = child.with_context(|| format!("exec {cc}"));
        let mut child = child.advise(|_| Some(NO_COMPILER))?;
        let mut input = child.stdin.take().context("no pipe to the compiler")?;
        // A compiler that reads no more says why.
        let _ = input.write_all(program.text(Language::C).as_bytes());
        drop(input);
        match child.wait().context("waitpid")?.success() {
            true => Ok(()),
            false => bail!("{cc} failed to compile {}.c", program.name),
        }
    });
    if stop.pending()?
        && let Some(signal) = stop.caught
    {
        stop.end_by(signal)?;
    }
    made.map(|()| result)
}

/// Where what is made of a text is kept: another text, or another tool, is another file.
fn cached(program: &Program, language: Language, tool: &str) -> Result<PathBuf> {
    let dir = dirs::cache()
        .context("no directory for what is compiled: set XDG_CACHE_HOME")?;
    let dir = dir.join("bare");
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
    made.with_context(|| format!("mkdir {}", dir.display()))
        .advise(|_| Some("set XDG_CACHE_HOME to a directory of yours"))?;
    let mut hash = DefaultHasher::new();
    (program.text(language), tool).hash(&mut hash);
    // What is compiled is no text any more.
    let ending = if language == Language::C { "" } else { ".py" };
    Ok(dir.join(format!("{}-{:016x}{ending}", program.name, hash.finish())))
}

/// Has `make` fill a file beside `path`, and gives it that name once it is whole.
fn put(
    path: &Path,
    make: impl FnOnce(&mut NamedTempFile) -> Result<()>,
) -> Result<()> {
    let dir = path.parent().unwrap_or(path);
    let new = NamedTempFile::new_in(dir);
    let mut new = new.with_context(|| format!("open in {}", dir.display()))?;
    make(&mut new)?;
    let (_, new) = new.keep().context("keep the file")?;
    rename(&new, path).with_context(|| format!("rename {}", path.display()))
}
