//! The rules that hold for the texts, and for what the rows say of them.

use std::path::Path;
use std::process::Command;

use bare::{Language, PROGRAMS, Program};
use lab::tools::Tools;
use wire::chapter::{Lack, Shown};

use super::support::{Input, program as ipclab, run};
use super::{is_there, lang};

/// Every text, with its program and its language.
fn texts() -> impl Iterator<Item = (&'static Program, Language, &'static str)> {
    PROGRAMS.iter().flat_map(|program| {
        Language::ALL.map(|language| (program, language, program.text(language)))
    })
}

#[test]
fn each_chapter_has_a_bare_program() {
    for row in chapters::rows() {
        assert!(Program::find(row.name).is_some(), "{}", row.name);
    }
}

#[test]
fn each_text_is_short_and_begins_with_what_it_is() {
    for (program, language, text) in texts() {
        let name = format!("{}.{}", program.name, language.ending());
        let most = match program.name {
            // Three roles, two kinds of sockets, and ancillary data by hand.
            "fdpass" => 125,
            // A layout, a mutex and two condition variables, each with its attributes.
            "mutex" => 160,
            // Two copies, a table that both write to, and two descriptors that are fetched.
            "procvm" => 110,
            _ => 80,
        };
        assert!(text.lines().count() <= most, "{name} has over {most} lines");
        let lines = text.lines().filter(|line| !line.starts_with("//! Cargo.toml"));
        let width = lines.map(|line| line.chars().count()).max().unwrap();
        assert!(width <= 100, "{name} has a line of {width} columns");
        let header: Vec<_> = text.lines().take(12).collect();
        let header = header.join("\n");
        let chapter = format!("See chapter {}.", program.chapter());
        let build = match language {
            Language::Rust => "Cargo.toml: ".to_owned(),
            Language::C => format!(" {}.c -o ", program.name),
            Language::Python => format!("python3 {}.py ", program.name),
        };
        for part in [", bare", "Wire: ", "Not here: ", &chapter, &build] {
            assert!(header.contains(part), "{name}: no {part:?} in its header");
        }
        assert!(text.contains("usage: "), "{name} does not tell its usage");
        assert!(text.ends_with('\n'), "{name} has no end of its last line");
    }
}

/// The calls of one layer: a helper from elsewhere would hide them.
#[test]
fn each_text_uses_one_layer_of_calls() {
    for (program, language, text) in texts() {
        let name = format!("{}.{}", program.name, language.ending());
        let is_used = |line: &&str| match language {
            Language::Rust => line.starts_with("use "),
            Language::C => line.starts_with("#include"),
            Language::Python => {
                line.starts_with("import ") || line.starts_with("from ")
            }
        };
        for line in text.lines().filter(is_used) {
            let module =
                line.split([' ', ':', '<', '>', '"', ';', '.']).nth(1).unwrap();
            let known: &[&str] = match (language, program.chapter()) {
                (Language::C, _) => continue,
                (Language::Rust, "dbus") => &["std", "nix", "zbus"],
                (Language::Rust, "mpi") => &["std", "nix", "mpi"],
                (Language::Rust, _) => &["std", "nix", "libc"],
                (Language::Python, _) => &[
                    "os",
                    "sys",
                    "socket",
                    "select",
                    "selectors",
                    "signal",
                    "mmap",
                    "ctypes",
                    "array",
                    "struct",
                    "contextlib",
                    "posix_ipc",
                    "sysv_ipc",
                    "jeepney",
                    "mpi4py",
                    "itertools",
                    "subprocess",
                    "time",
                    "errno",
                    "fcntl",
                ],
            };
            assert!(known.contains(&module), "{name}: {line}");
        }
        // The crate zbus hides them itself.
        let hidden = ["std::fs", "std::net", "std::os::unix::net", "std::thread"];
        for hidden in hidden.iter().filter(|_| program.name != "dbus") {
            assert!(
                !text.contains(hidden),
                "{name} uses {hidden}, which hides the calls"
            );
        }
    }
}

/// The three files of a program are the same lesson: what sleeps in one sleeps in all. (Only
/// C's signal takes its signals in two places; zbus, sd-bus and MPI sleep where they like.)
#[test]
fn the_languages_say_alike_what_sleeps() {
    let libraries = ["dbus", "mpi"];
    for program in
        PROGRAMS.iter().filter(|program| !libraries.contains(&program.name))
    {
        let count = |language| program.text(language).matches("sleeps").count();
        let mut counts = Language::ALL.map(count);
        counts[1] -= usize::from(program.name == "signal");
        assert!(
            counts.iter().all(|count| *count == counts[0]),
            "{}: {counts:?}",
            program.name
        );
        assert!(counts[0] > 0, "{}: nothing sleeps", program.name);
    }
}

#[test]
fn what_is_printed_is_the_file() {
    for (program, language, text) in texts() {
        let mut command = Command::new(ipclab());
        command.args(["bare", program.name, "--lang", lang(language)]);
        let printed = run(command, Input::Nothing);
        assert!(
            printed.status.success() && printed.stderr.is_empty(),
            "{printed:?}"
        );
        assert_eq!(String::from_utf8_lossy(&printed.stdout), text);
    }
}

#[test]
fn no_compiler_has_anything_to_warn_of() {
    let dir = tempfile::tempdir().unwrap();
    for program in PROGRAMS {
        let name = program.name;
        std::fs::write(
            dir.path().join(format!("{name}.c")),
            program.text(Language::C),
        )
        .unwrap();
        std::fs::write(
            dir.path().join(format!("{name}.py")),
            program.text(Language::Python),
        )
        .unwrap();
        if is_there(program, Language::C) {
            let line = program.command(Language::C, &["cc", "mpicc"]).unwrap();
            let mut words: Vec<_> = line.split(' ').collect();
            let mpicc =
                std::env::var("MPICC").unwrap_or_else(|_| "mpicc".to_owned());
            if words[0] == "mpicc" {
                words[0] = &mpicc;
            }
            let mut cc = Command::new(words[0]);
            cc.args(["-Wall", "-Wextra", "-Werror"]).args(&words[1..]);
            cc.current_dir(dir.path());
            let outcome = run(cc, Input::Nothing);
            assert!(outcome.status.success(), "{name}.c: {}", outcome.stderr);
        }
        let mut compile = Command::new(Tools::of_environment().python);
        compile.args(["-W", "error", "-m", "py_compile"]).arg(format!("{name}.py"));
        compile.current_dir(dir.path());
        let outcome = run(compile, Input::Nothing);
        assert!(outcome.status.success(), "{name}.py: {}", outcome.stderr);
    }
}

/// The `lacks` of each chapter name what there is.
#[test]
fn each_lack_is_shown_and_answered() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for row in chapters::rows() {
        let (count, name) = (row.lacks.len(), row.name);
        assert!((3..=8).contains(&count), "{name} has {count} lacks");
        for Lack { what, shown, answer: (file, anchor) } in row.lacks {
            match shown {
                Shown::Experiment(experiment) | Shown::Elsewhere(_, experiment) => {
                    let id = format!("{name}/{experiment}");
                    assert!(
                        experiments::find(&id).is_some(),
                        "{name}: no {id}: {what}"
                    );
                }
                Shown::Test(test, begins) => {
                    let text = source(root, test);
                    let functions = text.split("fn ").skip(1);
                    let found =
                        functions.filter(|it| it.starts_with(begins)).count();
                    assert_eq!(found, 1, "{name}: {test} {begins}: {what}");
                }
            }
            let text = std::fs::read_to_string(root.join("src").join(file));
            let text =
                text.unwrap_or_else(|error| panic!("{name}: {file}: {error}"));
            let begins = format!("// ANCHOR: {anchor}\n");
            assert!(text.contains(&begins), "{name}: no {anchor} in {file}");
        }
    }
}

#[test]
fn the_pages_have_the_lacks_of_the_rows() {
    for row in chapters::rows() {
        let path = format!("chapters/lacks/{}.md", row.name);
        let page = std::fs::read_to_string(
            Path::new(env!("CARGO_MANIFEST_DIR")).join(&path),
        );
        let mut command = Command::new(ipclab());
        command.args(["bare", row.name, "--lacks", "--markdown"]);
        let printed = run(command, Input::Nothing).stdout;
        let printed = String::from_utf8(printed).unwrap();
        assert_eq!(
            page.unwrap_or_default(),
            printed,
            "{path}: run chapters/lacks/capture"
        );
    }
}

/// The text of a test program, with its modules'.
fn source(root: &Path, test: &str) -> String {
    let mut text =
        std::fs::read_to_string(root.join("tests").join(format!("{test}.rs")))
            .unwrap();
    if let Ok(modules) = root.join("tests").join(test).read_dir() {
        for module in modules {
            text +=
                &std::fs::read_to_string(module.unwrap().path()).unwrap_or_default();
        }
    }
    text
}
