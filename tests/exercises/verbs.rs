//! The verbs, as a learner types them.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::support::{self, Input, Outcome, run};

/// Runs `ipclab exercise …` with a home of its own.
fn exercise(home: &Path, words: &[&str]) -> Outcome {
    exercise_in(home, home, words)
}

fn exercise_in(home: &Path, dir: &Path, words: &[&str]) -> Outcome {
    let mut command = Command::new(support::program());
    command.arg("exercise").args(words).current_dir(dir);
    command.env("HOME", home).env("XDG_STATE_HOME", home.join("state"));
    run(command, Input::Nothing)
}

fn printed(outcome: &Outcome) -> String {
    String::from_utf8(outcome.stdout.clone()).unwrap()
}

#[test]
fn a_learner_starts_fails_is_helped_and_passes() {
    let home = tempfile::tempdir().unwrap();
    let started =
        exercise(home.path(), &["start", "fifo/receiver", "--lang", "python"]);
    assert!(started.status.success(), "{}", started.stderr);
    let dir = home.path().join("ipclab-exercises/fifo/receiver/python");
    assert!(printed(&started).contains(&dir.display().to_string()));

    let task = std::fs::read_to_string(dir.join("TASK.md")).unwrap();
    assert!(task.lines().all(|line| line.chars().count() <= 76), "{task}");
    assert!(
        task.contains("\n    ipclab exercise check fifo/receiver\n\n- `plain`: ")
    );

    let again =
        exercise(home.path(), &["start", "fifo/receiver", "--lang", "python"]);
    assert_eq!(again.status.code(), Some(1));
    let go_on = format!("cd {} && ipclab exercise check", dir.display());
    assert!(again.stderr.contains(&go_on), "{}", again.stderr);

    let failed = exercise(home.path(), &["check", "fifo/receiver"]);
    assert_eq!(failed.status.code(), Some(1));
    let text = printed(&failed);
    assert!(text.contains("--stage plain --seed "), "{text}");
    // What is run is said before the first stage's line.
    let begin = text.lines().next().unwrap();
    assert!(begin.ends_with(" main.py receiver PLACE"), "{text}");
    assert!(text.contains("ipclab exercise hint fifo/receiver"), "{text}");

    let early = exercise(home.path(), &["show", "fifo/receiver"]);
    assert_eq!(early.status.code(), Some(1));
    for number in 1..=3 {
        let hint = exercise(home.path(), &["hint", "fifo/receiver"]);
        assert!(printed(&hint).starts_with(&format!("{number}/3 ")));
    }
    let last = printed(&exercise_in(home.path(), &dir, &["hint"]));
    assert!(last.contains("ipclab exercise show fifo/receiver --anyway"), "{last}");
    let nowhere = exercise(home.path(), &["hint"]);
    assert!(nowhere.stderr.contains("hint CHAPTER/NAME"), "{}", nowhere.stderr);
    let here = printed(&exercise_in(home.path(), &dir, &["check"]));
    assert!(
        here.contains("\n  ipclab exercise check --stage plain --seed "),
        "{here}"
    );

    let solution = exercise(home.path(), &["show", "fifo/receiver", "--anyway"]);
    let solution = printed(&solution);
    let program = &solution[solution.find("#!").unwrap()..];
    std::fs::write(dir.join("main.py"), program).unwrap();
    // In the folder the name need not be said.
    let passed = exercise_in(home.path(), &dir, &["check"]);
    assert!(passed.status.success(), "{}\n{}", printed(&passed), passed.stderr);
    assert!(printed(&passed).contains("fifo/receiver is passed"));
    let list = printed(&exercise(home.path(), &["list"]));
    assert!(list.contains("✓ fifo/receiver"), "{list}");
    let after = list.lines().find(|line| line.contains("multiplex/lines ")).unwrap();
    assert!(after.ends_with("(after lost-client, tcp/lines)"), "{list}");
    let before = list.lines().find(|line| line.contains("fifo/sender ")).unwrap();
    assert!(!before.contains("(after"), "it is passed: {before}");
    assert!(list.contains("3 hints"), "{list}");
    assert!(exercise(home.path(), &["show", "fifo/receiver"]).status.success());
}

#[test]
fn a_program_that_has_another_do_its_work_does_not_pass() {
    let home = tempfile::tempdir().unwrap();
    let ipclab = support::program();
    for (name, line) in [
        (
            "ipclab",
            format!(
                "exec {} -q fifo receiver --at \"$2\" --bytes",
                ipclab.display()
            ),
        ),
        ("socat", "exec socat -u PIPE:\"$2\" STDOUT".to_owned()),
    ] {
        let script = home.path().join("cheat.sh");
        std::fs::write(&script, format!("[ $# -gt 0 ] || exit 2\n{line}\n"))
            .unwrap();
        let check = ["check", "fifo/receiver", "--", "sh", script.to_str().unwrap()];
        let outcome = exercise(home.path(), &check);
        assert_eq!(outcome.status.code(), Some(1), "{name}: {}", printed(&outcome));
        let text = printed(&outcome);
        assert!(text.contains(&format!("{name} did the work")), "{name}: {text}");
    }
}

#[test]
fn a_program_that_does_not_compile_or_start_is_not_called_wrong() {
    let home = tempfile::tempdir().unwrap();
    exercise(home.path(), &["start", "fifo/receiver", "--lang", "c"]);
    let file = home.path().join("ipclab-exercises/fifo/receiver/c/main.c");
    std::fs::write(&file, "int main(void) { return 0 }\n").unwrap();
    let outcome = exercise(home.path(), &["check", "fifo/receiver"]);
    assert!(outcome.stderr.contains("could not run"), "{}", outcome.stderr);
    assert!(printed(&outcome).contains("main.c:1:"), "{}", printed(&outcome));
    let outcome = exercise(home.path(), &["check", "fifo/receiver", "--", "./none"]);
    assert!(outcome.stderr.contains("could not run"), "{}", outcome.stderr);
}

#[test]
fn a_toolchain_that_is_missing_is_not_the_learners_fault() {
    let home = tempfile::tempdir().unwrap();
    // A rustup that has no default toolchain; the others are not there at all.
    let bin = home.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let cargo = bin.join("cargo");
    std::fs::write(&cargo, "#!/bin/sh\necho no default is configured >&2\nexit 1\n")
        .unwrap();
    std::fs::set_permissions(&cargo, Permissions::from_mode(0o700)).unwrap();
    for (language, why, way_out) in [
        ("rust", "no default is configured", "https://rustup.rs"),
        ("c", "exec cc: ENOENT", "apt-get install gcc"),
        ("python", "exec python3: ENOENT", "apt-get install python3"),
    ] {
        exercise(home.path(), &["start", "fifo/receiver", "--lang", language]);
        let mut command = Command::new(support::program());
        command
            .args(["exercise", "check", "fifo/receiver"])
            .current_dir(home.path());
        command
            .env("HOME", home.path())
            .env("XDG_STATE_HOME", home.path().join("state"));
        command.env("PATH", &bin).env_remove("CC").env_remove("IPCLAB_PYTHON");
        let outcome = run(command, Input::Nothing);
        let text = printed(&outcome);
        assert!(
            outcome.stderr.contains("could not be checked here"),
            "{language}: {text}"
        );
        assert!(text.contains(why) && text.contains(way_out), "{language}: {text}");
        assert!(text.contains("exercise start fifo/receiver --lang "), "{text}");
        assert!(!text.contains("does not compile"), "{text}");
        assert!(!text.contains("exercise hint"), "{text}");
    }
}

#[test]
fn each_language_keeps_its_folder() {
    let home = tempfile::tempdir().unwrap();
    let start = |words: &[&str]| {
        exercise(home.path(), &[&["start", "fifo/receiver"], words].concat())
    };
    let by_default = printed(&start(&[]));
    assert!(by_default.contains("--lang c|python"), "{by_default}");
    let check = |language| {
        exercise(home.path(), &["check", "fifo/receiver", "--lang", language])
    };
    let none = check("python");
    let way_out = "exercise start fifo/receiver --lang python";
    assert!(none.stderr.contains(way_out), "{}", none.stderr);
    start(&["--lang", "python"]);
    let chosen = printed(&start(&["--lang", "c"]));
    assert!(!chosen.contains("--lang"), "{chosen}");
    let python = printed(&check("python"));
    assert!(python.contains("main.py receiver PLACE"), "{python}");
    assert!(
        python.contains("check fifo/receiver --lang python --stage plain"),
        "{python}"
    );
    let c = printed(&check("c"));
    assert!(c.contains("$ ./main receiver PLACE"), "{c}");
}

#[test]
fn a_damaged_state_file_comes_with_the_command_that_moves_it() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("state/ipclab/progress.json");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "{").unwrap();
    let list = exercise(home.path(), &["list"]);
    let file = file.display();
    let moved = format!("mv {file} {file}.old");
    assert!(list.stderr.contains(&moved), "{}", list.stderr);
}
