//! The learner's path: what is kept, what comes next, and a chapter's questions in a row.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use support::terminal::Terminal;
use support::*;
use tempfile::TempDir;

/// A learner with a state directory.
struct Learner(TempDir);

impl Learner {
    fn new() -> Learner {
        let learner = Learner(TempDir::new().unwrap());
        std::fs::create_dir(learner.0.path().join("ipclab")).unwrap();
        learner
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join("ipclab").join(name)
    }

    fn command(&self, words: &str) -> Command {
        command(self.0.path(), self.0.path(), words)
    }

    /// What a command prints that ends well, and has nothing to tell.
    #[track_caller]
    fn types(&self, words: &str) -> String {
        let outcome = run(self.command(words), Input::Nothing);
        assert!(outcome.status.success(), "{words}: {}", outcome.stderr);
        assert_eq!(outcome.stderr, "", "{words}");
        String::from_utf8(outcome.stdout).unwrap()
    }

    /// The command that `ipclab next` names.
    #[track_caller]
    fn next(&self) -> String {
        next_of(&self.types("next"))
    }

    fn kept(&self) -> Value {
        let text = std::fs::read(self.file("progress.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    fn keeps(&self, what: &Value) {
        std::fs::write(self.file("progress.json"), what.to_string()).unwrap();
    }
}

fn command(home: &Path, state: &Path, words: &str) -> Command {
    let mut command = Command::new(program());
    command.args(words.split(' ').filter(|word| !word.is_empty()));
    command.env("XDG_STATE_HOME", state).env("IPCLAB_DIR", home.join("run"));
    command.current_dir("/").env_remove("CLICOLOR_FORCE");
    command
}

fn next_of(text: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix("Next: "));
    line.unwrap_or_else(|| panic!("{text}")).to_owned()
}

/// So many days before now.
fn days_ago(days: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    now - days * 86_400
}

/// All of the chapter are guessed right but these.
fn all_right_but(names: &[&str]) -> Value {
    let list = experiments::of("fifo").iter();
    let right = list.filter(|one| !names.contains(&one.name)).map(|one| {
        let answer = one.expected();
        let tried = json!({ "guess": answer, "answer": answer, "at": 1 });
        (format!("fifo/{}", one.name), tried)
    });
    let right: serde_json::Map<_, _> = right.collect();
    json!({ "version": 1, "experiments": right })
}

fn expected(id: &str) -> usize {
    experiments::find(id).unwrap().1.expected()
}

#[test]
fn a_newcomer_is_told_the_first_step_and_nothing_is_made_for_that() {
    let learner = Learner::new();
    let first = chapters::rows()[0].name;
    let step = format!("Your first step: ipclab bare {first}\n");
    assert!(learner.types("").ends_with(&step));
    assert_eq!(learner.next(), format!("ipclab bare {first}"));
    assert!(!learner.types("next").contains("You were here"));
    assert_eq!(std::fs::read_dir(learner.file("")).unwrap().count(), 0);
}

#[test]
fn a_step_that_is_done_at_a_terminal_is_done_and_the_next_one_follows() {
    let learner = Learner::new();
    learner.types("bare fifo");
    assert!(!learner.file("progress.json").exists(), "no learner saw this");
    for (words, next) in [
        ("bare fifo", "ipclab trace fifo --bare"),
        ("trace fifo --bare", "ipclab experiment fifo/open-sleeps"),
    ] {
        let Some(terminal) = Terminal::of(&learner.command(words)) else { return };
        let (status, text) = terminal.ends();
        assert!(status.success() && !text.contains("not kept"), "{text}");
        assert_eq!(learner.next(), next, "{words}");
    }
    let wrong = expected("fifo/open-sleeps") % 2 + 1;
    learner.types(&format!("experiment fifo/open-sleeps --guess {wrong}"));
    assert_eq!(learner.next(), "ipclab experiment fifo/wrong-order");
    let line = "… break    ipclab experiment fifo/open-sleeps\n";
    assert!(learner.types("next").contains(line), "{}", learner.types("next"));
    let overview = learner.types("");
    assert!(
        overview.contains("Your next step: ipclab experiment fifo/wrong-order\n"),
        "{overview}"
    );

    let role = Terminal::of(&learner.command("pipe fork hello")).unwrap();
    let (status, text) = role.ends();
    assert!(status.success(), "{text}");
    assert_eq!(learner.next(), "ipclab bare pipe");
    let pipe = learner.types("next");
    assert!(pipe.contains("✓ play     ipclab pipe "), "{pipe}");
}

#[test]
fn a_learner_who_comes_back_is_told_where_they_were() {
    let learner = Learner::new();
    let at = days_ago(22);
    learner.keeps(&json!({
        "version": 1,
        "last": { "chapter": "unix", "command": "ipclab bare unix", "at": at },
        "steps": { "bare unix": at },
        "exercises": { "fifo/receiver": {
            "dir": "/tmp/mine", "language": "c", "stages": 2, "seen": [1], "checked": at,
        } },
    }));
    let text = learner.types("next");
    assert!(
        text.starts_with("You were here 3 weeks ago: ipclab bare unix\n"),
        "{text}"
    );
    assert_eq!(next_of(&text), "ipclab trace unix --bare");
    let list = learner.types("exercise list");
    assert!(list.contains(" stages 3 weeks ago, 1 hint\n"), "{list}");
    assert!(list.contains(", 2 of "), "{list}");
    assert!(list.contains("\nNext: ipclab exercise "), "{list}");
}

#[test]
fn each_command_of_each_chapters_path_is_a_command() {
    let learner = Learner::new();
    let mut seen = 0;
    for row in chapters::rows() {
        let text = learner.types(&format!("next {}", row.name));
        let steps = text.lines().filter_map(|line| line.split_once(" ipclab "));
        for (_, words) in steps {
            let words = words.split(['|', '<', '>']).next().unwrap();
            let words = ["ipclab"].into_iter().chain(words.split_whitespace());
            let parsed = ipclab::cli::command().try_get_matches_from(words);
            parsed.unwrap_or_else(|error| panic!("{}: {error}", row.name));
            seen += 1;
        }
    }
    assert!(seen > 100, "only {seen}");
}

#[test]
fn steps_are_skipped_one_by_one_until_the_chapter_is_over() {
    let learner = Learner::new();
    let mut skipped = 0;
    let text = loop {
        let text = learner.types("next semaphore --skip");
        assert!(text.contains("Skipped: ipclab "), "{text}");
        skipped += 1;
        if !text.contains("\nNext: ") {
            break text;
        }
    };
    assert!(text.contains("\nsemaphore is done."), "{text}");
    assert!(text.contains(&format!("✓ semaphore  {skipped:>2} of {skipped} steps")));
    assert_eq!(
        learner.next(),
        format!("ipclab bare {}", chapters::rows()[0].name),
        "the first that is not done"
    );
}

#[test]
fn what_an_older_version_kept_is_taken_over_once() {
    let learner = Learner::new();
    let right = expected("fifo/open-sleeps");
    let old = format!(
        "fifo/open-sleeps - {right}\nfifo/open-sleeps {right} {right}\nno line\n\
         fifo/name-stays 9 1\nfifo/name-stays - 1\n"
    );
    std::fs::write(learner.file("experiments"), &old).unwrap();
    let marks = |wanted: [&str; 2]| {
        let list = learner.types("experiment fifo");
        for mark in wanted {
            assert!(list.contains(mark), "{mark}: {list}");
        }
    };
    marks(["✓ open-sleeps", "✗ name-stays"]);
    let text = learner.types("next");
    assert!(
        text.starts_with(
            "You were here just now: ipclab experiment fifo/name-stays"
        ),
        "{text}"
    );
    learner.types("next --skip");
    std::fs::write(learner.file("experiments"), "fifo/two-readers 1 1\n").unwrap();
    marks(["✓ open-sleeps", "  two-readers"]);
    assert_eq!(learner.kept()["experiments"].as_object().unwrap().len(), 2);
}

#[test]
fn a_file_that_cannot_be_read_costs_one_line_and_stays_as_it_is() {
    for (text, says) in [
        ("{\"version\": 1, \"exp", "; to begin again: mv /"),
        ("", "; to begin again: mv /"),
        ("[]", "; to begin again: mv /"),
        ("{\"version\": 1, \"steps\": 7}", "; to begin again: mv /"),
        ("{\"version\": 2, \"steps\": 7}", "was written by a newer ipclab"),
    ] {
        let learner = Learner::new();
        std::fs::write(learner.file("progress.json"), text).unwrap();
        for words in [
            "",
            "next",
            "experiment fifo",
            "experiment fifo/open-sleeps --guess 1",
            "exercise list",
            "exercise hint fifo/receiver",
        ] {
            let outcome = run(learner.command(words), Input::Nothing);
            assert!(outcome.status.success(), "{words}: {}", outcome.stderr);
            assert!(!outcome.stdout.is_empty(), "{words}");
            let lines = outcome.stderr.matches("progress is not kept: ").count();
            assert_eq!(lines, 1, "{text}: {words}: {}", outcome.stderr);
            assert!(outcome.stderr.contains(says), "{words}: {}", outcome.stderr);
        }
        let kept = std::fs::read_to_string(learner.file("progress.json")).unwrap();
        assert_eq!(kept, text);
    }
}

#[test]
fn a_home_that_cannot_be_written_costs_the_mark_and_one_line() {
    let home = Learner::new();
    let file = home.file("file");
    std::fs::write(&file, "").unwrap();
    for state in [Path::new("/proc/none"), &file] {
        for words in
            ["experiment fifo/open-sleeps --guess 1", "exercise hint fifo/receiver"]
        {
            let outcome = run(command(home.0.path(), state, words), Input::Nothing);
            assert!(outcome.status.success(), "{words}: {}", outcome.stderr);
            let kept =
                outcome.stderr.matches("ipclab: progress is not kept: ").count();
            assert_eq!(kept, 1, "{words}: {}", outcome.stderr);
        }
        let mut bare = command(home.0.path(), state, "bare fifo");
        let Some(terminal) = Terminal::of(&bare) else { return };
        let (status, text) = terminal.ends();
        assert!(status.success() && text.contains("progress is not kept"), "{text}");
        bare.arg("-q");
        let (_, text) = Terminal::of(&bare).unwrap().ends();
        assert!(!text.contains("progress is not kept"), "{text}");
    }
}

#[test]
fn terminals_that_write_at_once_lose_nothing() {
    let learner = Learner::new();
    let names: Vec<&str> = chapters::rows()
        .iter()
        .filter(|row| row.missing().is_none())
        .map(|row| row.name)
        .collect();
    let running: Vec<_> = names
        .iter()
        .map(|name| {
            let command = learner.command(&format!("next {name} --skip"));
            RoleProcess::start(name, command, Input::Nothing).unwrap()
        })
        .collect();
    for one in running {
        let outcome = one.wait(deadline()).unwrap();
        assert!(outcome.status.success(), "{}", outcome.stderr);
    }
    let kept = learner.kept();
    let skipped: Vec<_> = kept["skipped"].as_object().unwrap().keys().collect();
    let mut wanted: Vec<_> =
        names.iter().map(|name| format!("bare {name}")).collect();
    wanted.sort();
    assert!(skipped.into_iter().eq(&wanted), "{kept}");
    let left = std::fs::read_dir(learner.file("")).unwrap().count();
    assert_eq!(left, 2, "the file and its lock");
}

#[test]
fn a_quiz_asks_wrong_ones_again_at_the_end_and_goes_on_another_time() {
    let learner = Learner::new();
    learner.keeps(&all_right_but(&["open-sleeps", "name-stays"]));
    let quiz = || Terminal::of(&learner.command("experiment fifo --quiz"));
    let right = |name: &str| expected(&format!("fifo/{name}"));
    let all = experiments::of("fifo").len();
    let score =
        |to_come| format!("{} of {all} right, {to_come} to come", all - to_come);
    let Some(mut terminal) = quiz() else { return };
    terminal.shows(&score(2), 1);
    terminal.shows("fifo/open-sleeps", 1);
    terminal.shows("q leaves): ", 1);
    terminal.types(&format!("{}\n", right("open-sleeps") % 2 + 1));
    terminal.shows("is not what happened", 1);
    terminal.shows("next question; q leaves: ", 1);
    terminal.types("\n");
    terminal.shows("fifo/name-stays", 1);
    terminal.shows("q leaves): ", 2);
    terminal.types(&format!("{}\n", right("name-stays")));
    terminal.shows("next question; q leaves: ", 2);
    terminal.types("\n");
    terminal.shows(&score(1), 1);
    terminal.shows("q leaves): ", 3);
    assert!(terminal.so_far().matches("fifo/open-sleeps").count() > 1, "again");
    terminal.types("q\n");
    let (status, text) = terminal.ends();
    assert!(status.success(), "{text}");
    assert!(text.contains("To go on: ipclab experiment fifo --quiz"), "{text}");

    let mut terminal = quiz().unwrap();
    terminal.shows(&score(1), 1);
    terminal.shows("q leaves): ", 1);
    terminal.types(&format!("{}\n", right("open-sleeps")));
    let (status, text) = terminal.ends();
    assert!(status.success(), "{text}");
    assert!(!text.contains("name-stays"), "{text}");
    let whole =
        format!("{all} of {all} right in fifo. What comes next: ipclab next");
    assert!(text.contains(&whole), "{text}");
    let (status, text) = quiz().unwrap().ends();
    assert!(status.success() && text.contains(&whole), "{text}");
}

#[test]
fn a_quiz_is_for_a_chapter_and_for_a_terminal() {
    let learner = Learner::new();
    for (words, says) in [
        (
            "experiment fifo --quiz",
            "standard input is no terminal: ipclab experiment fifo",
        ),
        ("experiment --quiz", "give CHAPTER"),
        ("experiment fifo/open-sleeps --quiz", "give CHAPTER"),
        ("experiment fifo --quiz --show", "--show"),
        ("next fifi", "did you mean 'fifo'?"),
    ] {
        let outcome = run(learner.command(words), Input::Nothing);
        assert_eq!(outcome.status.code(), Some(2), "{words}: {}", outcome.stderr);
        assert_eq!(outcome.stderr.lines().count(), 1, "{words}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(says), "{words}: {}", outcome.stderr);
    }
}
