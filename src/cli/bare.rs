//! `ipclab bare`: the shortest whole program of each mechanism, printed or played.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::net::SocketAddrV4;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, Result};
use rustix::stdio::{stderr, stdout};

use super::near::{self, Offers};
use bare::{Language, MeetingPlace, PROGRAMS, Program};
use exercises::lacks::asked;
use lab::bare::{MeetingPlaces, command, row};
use lab::{progress, prose};
use os::inheritance::hand_on;
use wire::chapter::{Lack, Row, Shown};
use wire::errors::usage;
use wire::meet::{Meets, key_of, quoted};
use wire::say::{columns, hanging, tell};

/// The options of `ipclab bare`.
#[derive(Debug, clap::Args)]
#[command(after_help = prose::examples(&[
    ("bare", "the list"),
    ("bare fifo", "the program, whole"),
    ("bare fifo --lang python > fifo.py", "a start of your own"),
    ("bare fifo receiver", "plays a role; in another terminal:"),
    ("bare fifo sender hello", "the other, or the chapter's: ipclab fifo sender hello"),
    ("bare fifo --lang c receiver /tmp/f", "the C program, at a path of your choice"),
    ("bare fifo sender -- -x", "a message that begins with -"),
    ("bare fifo --lacks", "what it does not survive, where that is seen, and the exercise"),
]) + "
PLACE is where the roles meet; without it, they meet where the chapter's own do (shm and mmap have a \
place of their own, for their wire is another). A PLACE is told from a message by its form: a path begins \
with / or ./, the name of a queue, a segment or a semaphore with / (a System V key is made from it, or is a \
number as 0x1234), and an address is 127.0.0.1:7777.")]
pub(super) struct Options {
    /// The program; without one, the list
    #[arg(value_name = "NAME")]
    #[arg(value_parser = Offers(names), hide_possible_values = true)]
    name: Option<String>,

    /// The role to play; without one, the program is printed
    #[arg(value_name = "ROLE")]
    role: Option<String>,

    /// The PLACE where the roles meet, then the messages
    #[arg(value_name = "ARG", allow_hyphen_values = true)]
    words: Vec<OsString>,

    /// The language
    #[arg(long, default_value = "rust", value_name = "LANGUAGE")]
    #[arg(value_parser = lab::language::parser())]
    lang: Language,

    /// Print what the program lacks: what shows it, the exercise that asks for it, and the role's answer
    #[arg(long, requires = "name", conflicts_with_all = ["role", "lang"])]
    lacks: bool,

    /// Compile it, and play nothing
    #[arg(long, hide = true, requires = "name", conflicts_with = "role")]
    prepare: bool,

    /// Print it as the table of its chapter's page
    #[arg(long, hide = true, requires = "lacks")]
    markdown: bool,
}

/// What a shell completes.
fn names() -> &'static [String] {
    static NAMES: OnceLock<Vec<String>> = OnceLock::new();
    NAMES.get_or_init(|| {
        PROGRAMS.iter().map(|program| program.name.to_owned()).collect()
    })
}

/// `ipclab bare`.
///
/// # Errors
/// A name or a role that there is not; what stands in the way of playing it.
pub(super) fn run(options: &Options, quiet: bool) -> Result<()> {
    let Some(name) = &options.name else { return prose::print(&list()) };
    let program = Program::find(name).ok_or_else(|| usage(unknown(name)))?;
    let language = options.lang;
    match &options.role {
        _ if options.markdown => prose::print(&lacks_table(&row(program)?)),
        _ if options.prepare => command(program, language).map(drop),
        _ if options.lacks => prose::print(&lacks(program)?),
        None => print(program, language, quiet),
        Some(role) => play(program, language, role, &options.words, quiet),
    }
}

/// That there is no program of this name, and what may have been meant.
fn unknown(name: &str) -> String {
    let mut near = near::spelt(name, PROGRAMS.iter().map(|program| program.name));
    if near.is_empty() {
        near = near::chapters(&[name]);
    }
    let way_out = near::question(&near).unwrap_or("; ipclab bare lists them".into());
    format!("no such bare program: '{name}'{way_out}")
}

/// The programs, each with its roles and its calls.
fn list() -> String {
    let calls = |program: &Program| {
        let header = program.text(Language::Rust).lines().next().unwrap_or_default();
        header.trim_start_matches("//! ").replacen(", bare", "", 1)
    };
    let rows: Vec<_> =
        PROGRAMS.iter().map(|program| (program.name, calls(program))).collect();
    let rows: Vec<_> =
        rows.iter().map(|(name, calls)| (*name, calls.as_str())).collect();
    let width = prose::width();
    format!(
        "The shortest whole program of each mechanism, in Rust, C and Python:\n\n{}\n{}",
        prose::pairs(width, &rows),
        prose::paragraph(
            width,
            "",
            "",
            "ipclab bare NAME prints one (--lang c, --lang python); ipclab bare NAME ROLE \
             plays one; ipclab trace NAME --bare shows its system calls.",
        )
    )
}

/// Prints the program to the byte; on a terminal, also how it is built and run.
fn print(program: &Program, language: Language, quiet: bool) -> Result<()> {
    prose::print(program.text(language))?;
    progress::done("bare", [program.name], quiet);
    if stdout().is_terminal() && !quiet {
        tell(&format!("\n{}", recipe(program, language)?));
    }
    Ok(())
}

/// The command lines that build and run the printed text.
fn recipe(program: &Program, language: Language) -> Result<String> {
    let name = program.name;
    let places = MeetingPlaces::of_roles(program)?;
    let mut lines = Vec::new();
    let start = match language {
        Language::Rust => {
            lines.push(format!(
                "cargo new {name} && cd {name} && ipclab bare {name} > src/main.rs"
            ));
            let dependencies = program.text(language).lines();
            let dependencies = dependencies
                .filter_map(|line| line.strip_prefix("//! Cargo.toml: "));
            for line in dependencies {
                lines.push(format!("echo '{line}' >> Cargo.toml"));
            }
            "cargo run -q --".to_owned()
        }
        Language::C => {
            let compile =
                program.command(language, &["cc", "mpicc"]).unwrap_or_default();
            lines.push(format!(
                "ipclab bare {name} --lang c > {name}.c && {compile}"
            ));
            let output = compile.split(' ').skip_while(|word| *word != "-o").nth(1);
            format!("./{}", output.unwrap_or(name))
        }
        Language::Python => {
            lines.extend(program.command(language, &["pip"]).map(str::to_owned));
            // By another name than the module that the program imports: bare_signal.py.
            let line = program.command(language, &["python3"]).unwrap_or_default();
            let file =
                line.split(' ').nth(1).map_or(format!("{name}.py"), str::to_owned);
            lines.push(format!("ipclab bare {name} --lang python > {file}"));
            format!("python3 {file}")
        }
    };
    let mut runs: Vec<String> = program
        .parts
        .iter()
        .map(|part| {
            let args = part.args.iter().map(|arg| quoted(arg));
            let words: Vec<_> =
                places.arguments(part).into_iter().chain(args).collect();
            format!("{start} {} {}", part.role, words.join(" "))
                .trim_end()
                .to_owned()
        })
        .collect();
    match row(program)?.meets {
        Meets::Nowhere => lines.push(runs.join(" | ")),
        Meets::World => lines.push(format!("mpiexec -n 2 {}", runs.swap_remove(0))),
        _ => lines.push(runs.join("    # and in another terminal:\n  ")),
    }
    Ok(lines.iter().map(|line| format!("  {line}\n")).collect())
}

/// Becomes the program, as the role.
fn play(
    program: &Program,
    language: Language,
    role: &str,
    words: &[OsString],
    quiet: bool,
) -> Result<()> {
    let (places, messages, chosen) = arguments(program, role, words)?;
    check(program, role, messages)?;
    let mut command = command(program, language)?;
    progress::done("bare", [program.name], quiet);
    if !quiet && stderr().is_terminal() {
        let place = places.join(" ");
        announce(&format!("{} {role} {place}", program.name));
        if !chosen && !places.is_empty() {
            tell_of_peers(program, role, &places[0]);
        }
    }
    command.arg(role).args(places).args(messages);
    hand_on(&mut command);
    let name = command.get_program().to_string_lossy().into_owned();
    Err(command.exec()).with_context(|| format!("exec {name}"))
}

/// Says how to start the other roles, unless they seem to be there: they have made `place`.
fn tell_of_peers(program: &Program, role: &str, place: &str) {
    let first = program.parts.first().is_some_and(|part| part.role == role);
    let is_there = Path::new(place).exists();
    // A server binds the name, which one that was killed has left.
    if is_there && role == "server" {
        announce(&format!(
            "{place} is there already: ipclab clean removes it, if it is unused"
        ));
    }
    if is_there && !first {
        return;
    }
    for other in program.parts.iter().filter(|part| part.role != role) {
        let arg = other
            .args
            .first()
            .map_or(String::new(), |arg| format!(" {}", quoted(arg)));
        let line = format!("ipclab bare {} {}{arg}", program.name, other.role);
        announce(&format!("in another terminal: {line}"));
    }
}

/// Refuses a role that there is not, and words that the role does not take.
fn check(program: &Program, role: &str, words: &[OsString]) -> Result<()> {
    let usage_line = program.usage();
    let name = program.name;
    let Some((_, takes)) = usage_line.iter().find(|(known, _)| *known == role)
    else {
        let roles: Vec<_> = usage_line.iter().map(|(role, _)| *role).collect();
        let near = near::roles(role, roles.iter().copied());
        let way_out = near::question(&near)
            .unwrap_or_else(|| format!("; {name} has {}", roles.join(", ")));
        return Err(usage(format!("no such role of {name}: '{role}'{way_out}")));
    };
    let is_place = |word: &str| matches!(word, "PLACE" | "ADDRESS");
    let takes_words = takes.split_whitespace().any(|word| !is_place(word));
    match words.first() {
        Some(word) if !takes_words => Err(usage(format!(
            "{name} {role} takes no message, and '{}' has not the form of a PLACE; see ipclab bare \
             --help",
            word.to_string_lossy()
        ))),
        _ => Ok(()),
    }
}

/// A line of the commentary.
fn announce(text: &str) {
    let width = columns(stderr()).unwrap_or(usize::from(u16::MAX));
    tell(&format!("{}\n", hanging(text, 0, 2, width)));
}

/// The arguments of a role: its places, chosen among `words` or the chapter's own, and the rest
/// of the words. Also whether one was chosen.
fn arguments<'a>(
    program: &Program,
    role: &str,
    mut words: &'a [OsString],
) -> Result<(Vec<String>, &'a [OsString], bool)> {
    let default = MeetingPlaces::of_roles(program)?;
    let (mut all, mut chosen) = (Vec::new(), false);
    for place in program.places(role) {
        let given = words.first().and_then(|word| word.to_str());
        let given = given.and_then(|word| as_place(*place, word));
        if given.is_some() {
            (words, chosen) = (&words[1..], true);
        }
        all.push(given.unwrap_or_else(|| default.argument(*place)));
    }
    Ok((all, words, chosen))
}

/// The argument for `place` that `word` is, if it has the form of one.
fn as_place(place: MeetingPlace, word: &str) -> Option<String> {
    let is = match place {
        MeetingPlace::Path => {
            ["/", "./", "../"].iter().any(|begin| word.starts_with(begin))
        }
        MeetingPlace::Name => word.starts_with('/'),
        MeetingPlace::Address => word.parse::<SocketAddrV4>().is_ok(),
        MeetingPlace::Key => return key(word),
    };
    is.then(|| word.to_owned())
}

/// The key that `word` is: a number in hexadecimal, or made from a name as by the chapter.
fn key(word: &str) -> Option<String> {
    if word.starts_with('/') {
        return Some(key_of(word).to_string());
    }
    let number = i32::from_str_radix(word.strip_prefix("0x")?, 16).ok()?;
    Some(number.to_string())
}

/// The command by which a lack is seen.
fn seen(chapter: &str, shown: &Shown) -> String {
    match shown {
        Shown::Experiment(name) | Shown::Elsewhere(_, name) => {
            format!("ipclab experiment {chapter}/{name}")
        }
        Shown::Test(file, name) => format!("cargo test --test {file} {name}"),
    }
}

/// The command that begins the exercise which asks for it, if one does.
fn mended(chapter: &str, lack: &Lack) -> Option<String> {
    asked(chapter, lack).map(|exercise| format!("ipclab exercise start {exercise}"))
}

/// What the program lacks, with the commands that show it and that begin its exercise.
fn lacks(program: &Program) -> Result<String> {
    let row = row(program)?;
    let width = prose::width();
    let mut text = prose::paragraph(
        width,
        "",
        "",
        &format!("What the bare {} does not survive, or does not do:", row.name),
    );
    for (number, lack) in (1..).zip(row.lacks) {
        let Lack { what, shown, answer: (file, anchor) } = lack;
        text += &prose::paragraph(width, &format!("\n{number:>2}. "), "    ", what);
        let answer = format!("src/{file}, from \"ANCHOR: {anchor}\" on");
        let lines = [
            ("see it", Some(seen(row.name, shown))),
            ("mend it", mended(row.name, lack)),
            ("the role", Some(answer)),
        ];
        for (label, said) in lines {
            let Some(said) = said else { continue };
            let first = format!("    {:<10}", format!("{label}:"));
            text += &prose::paragraph(width, &first, "              ", &said);
        }
    }
    Ok(text)
}

/// The same as a table for the chapter's page.
fn lacks_table(row: &Row) -> String {
    let mut text =
        "| what it lacks | see it | mend it |\n|---|---|---|\n".to_owned();
    for lack in row.lacks {
        let Lack { what, shown, answer: (file, anchor) } = lack;
        let command = seen(row.name, shown);
        let see = match shown {
            Shown::Experiment(name) => format!("[`{command}`](#experiment-{name})"),
            Shown::Elsewhere(page, name) => {
                format!("[`{command}`]({page}.md#experiment-{name})")
            }
            Shown::Test(..) => format!("`{command}`"),
        };
        let exercise = mended(row.name, lack);
        let exercise =
            exercise.map_or_else(String::new, |line| format!("`{line}`<br>"));
        text += &format!(
            "| {what} | {see} | {exercise}the role: `{anchor}` in `src/{file}` |\n"
        );
    }
    text = format!("<div class=\"lacks\">\n\n{text}\n</div>\n");
    let tested = |by: fn(&str) -> bool| {
        row.lacks
            .iter()
            .any(|lack| matches!(lack.shown, Shown::Test(file, _) if by(file)))
    };
    if tested(|_| true) {
        text += "\nA `cargo test` needs the source of this book, and shows what the role does";
        text += if tested(|file| file == "bare") {
            "; with `--test bare`, what the bare program does.\n"
        } else {
            ".\n"
        };
    }
    text
}
