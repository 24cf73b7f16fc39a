//! The programs of the exercises, built: what one begins with, solutions, and wrong ones.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use bare::{Language, header_command};
use exercises::folder::{beginning, solution};
use exercises::row::Wrong;
use exercises::texts::edited;
use exercises::{Entry, entries, find, id};
use lab::tools::{compile_line, compiler};

/// Which program of an exercise.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Which<'a> {
    Beginning,
    Solution,
    Wrong(&'a Wrong),
}

/// Its text.
pub(crate) fn text(id: &str, which: &Which<'_>, language: Language) -> String {
    let (_, exercise) = find(id).expect("an exercise");
    match which {
        Which::Beginning => beginning(exercise, language).expect("a beginning"),
        Which::Solution => solution(exercise, language).expect("a solution"),
        Which::Wrong(wrong) => {
            let right = solution(exercise, language).expect("a solution");
            let edited = edited(&right, wrong.edits);
            edited.unwrap_or_else(|error| {
                panic!("{id}, wrong: {}: {error}", wrong.what)
            })
        }
    }
}

/// A name for a file: of letters, digits and `_`.
fn name(id: &str, which: &Which<'_>) -> String {
    let which = match which {
        Which::Beginning => "beginning".to_owned(),
        Which::Solution => "solution".to_owned(),
        Which::Wrong(wrong) => format!("wrong_{}", wrong.what),
    };
    let all = format!("{id}_{which}");
    all.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// Where all are built: it stays from run to run.
fn dir() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("exercises")
}

/// Writes `text`, unless it is there: what is built of it stays new.
fn put(file: &Path, text: &str) {
    if std::fs::read(file).is_ok_and(|now| now == text.as_bytes()) {
        return;
    }
    std::fs::create_dir_all(file.parent().expect("a directory")).unwrap();
    std::fs::write(file, text).unwrap();
}

/// The command line that starts the program.
pub(crate) fn built(id: &str, which: &Which<'_>, language: Language) -> Vec<String> {
    let name = name(id, which);
    match language {
        Language::Rust => {
            vec![all_of_rust().join(&name).display().to_string()]
        }
        Language::C => {
            let text = text(id, which, language);
            let file = dir().join(format!("{name}.c"));
            put(&file, &text);
            let program = file.with_extension("");
            let line = header_command(&text, &["cc", "mpicc"])
                .expect("a line that compiles it");
            let (cc, options) = compile_line(line);
            let output = compiler(&cc)
                .args(["-Wall", "-Wextra", "-Werror"])
                .arg(&file)
                .args(options)
                .arg("-o")
                .arg(&program)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{id}, {which:?}: {said}");
            vec![program.display().to_string()]
        }
        Language::Python => {
            let file = dir().join(format!("{name}.py"));
            put(&file, &text(id, which, language));
            let python =
                std::env::var("IPCLAB_PYTHON").unwrap_or_else(|_| "python3".into());
            vec![python, "-W".into(), "error".into(), file.display().to_string()]
        }
    }
}

/// Builds all programs in Rust as one package, once; the directory with the programs.
fn all_of_rust() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let package = dir().join("rust");
        let mut needs: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
        let mut programs = BTreeSet::new();
        // Without the feature there is no crate mpi.
        let built = |(_, exercise): &Entry| cfg!(feature = "mpi") || !exercise.is_launched();
        for entry in entries().filter(built) {
            let (id, exercise) = (id(entry), entry.1);
            let mut all = Vec::new();
            if exercise.solutions[Language::Rust as usize].is_some() {
                all.extend([Which::Beginning, Which::Solution]);
            }
            let wrong = exercise.wrong.iter().filter(|wrong| wrong.language == Language::Rust);
            all.extend(wrong.map(Which::Wrong));
            for which in all {
                let text = text(&id, &which, Language::Rust);
                for line in text.lines().filter_map(|line| line.strip_prefix("//! Cargo.toml: ")) {
                    need(&mut needs, line);
                }
                let name = name(&id, &which);
                put(&package.join(format!("src/bin/{name}.rs")), &text);
                programs.insert(format!("{name}.rs"));
            }
        }
        for file in package.join("src/bin").read_dir().unwrap() {
            let file = file.unwrap();
            if !programs.contains(file.file_name().to_str().unwrap()) {
                std::fs::remove_file(file.path()).unwrap();
            }
        }
        let needs: String = needs
            .into_iter()
            .map(|(name, (version, features))| {
                let features: Vec<_> = features.into_iter().collect();
                format!("{name} = {{ {version}, features = {features:?} }}\n")
            })
            .collect();
        put(
            &package.join("Cargo.toml"),
            &format!(
                "[package]\nname = \"exercises\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
                 [dependencies]\n{needs}\n[workspace]\n\n[lints.rust]\nwarnings = \"deny\"\n"
            ),
        );
        // The versions that the workspace has, which are on this machine.
        let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
        put(&package.join("Cargo.lock"), &std::fs::read_to_string(lock).unwrap());
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        let output = Command::new(cargo)
            .args(["build", "--quiet", "--offline", "--target-dir"])
            .arg(package.join("target"))
            .current_dir(&package)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        package.join("target/debug")
    })
}

/// Adds what a line of a header asks for: `nix = { version = "0.31", features = ["fs"] }`, or
/// `libc = "0.2"`.
fn need(needs: &mut BTreeMap<String, (String, BTreeSet<String>)>, line: &str) {
    let (name, rest) = line.split_once(" = ").expect("a dependency");
    let quoted: Vec<_> = rest.split('"').skip(1).step_by(2).collect();
    let (version, features) = quoted.split_first().expect("a version");
    let entry = needs.entry(name.to_owned()).or_default();
    // What a feature of ours leaves out, the lock file has not.
    let bare = rest.contains("default-features = false");
    entry.0 = format!("version = \"{version}\", default-features = {}", !bare);
    entry.1.extend(features.iter().map(|feature| (*feature).to_owned()));
}
