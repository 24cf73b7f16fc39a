//! The command around the experiments: the list, guesses, bad input, Ctrl-C.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use experiments::row::Experiment;
use nix::sys::signal::Signal;

use crate::support::{self, Input, Outcome, run};

fn experiment(home: &Path, args: &[&str]) -> Outcome {
    let mut command = Command::new(support::program());
    command.arg("experiment").args(args).env("XDG_STATE_HOME", home);
    run(command, Input::Nothing)
}

fn printed(outcome: &Outcome) -> String {
    String::from_utf8_lossy(&outcome.stdout).into_owned()
}

#[test]
fn the_list_shows_what_has_been_tried_and_how_it_went() {
    let home = tempfile::tempdir().unwrap();
    let id = "fifo/no-reader-enxio";
    let line = |outcome: &Outcome| {
        let text = printed(outcome);
        text.lines()
            .find(|line| line.contains("no-reader-enxio"))
            .unwrap()
            .to_owned()
    };
    assert!(line(&experiment(home.path(), &["fifo"])).starts_with("  "));
    experiment(home.path(), &[id, "--show"]);
    assert!(line(&experiment(home.path(), &["fifo"])).starts_with("· "));
    experiment(home.path(), &[id, "--guess", "1"]);
    assert!(line(&experiment(home.path(), &["fifo"])).starts_with("✗ "));
    let right = experiment(home.path(), &[id, "--guess", "3"]);
    assert!(right.status.success());
    assert!(printed(&right).contains("✓ 3 is right."), "{}", printed(&right));
    assert!(line(&experiment(home.path(), &[])).starts_with("✓ "));
    experiment(home.path(), &[id, "--show"]);
    assert!(
        line(&experiment(home.path(), &[])).starts_with("✓ "),
        "who looks it up again has not forgotten"
    );
}

/// Starts a run that makes a System V queue, and kills its director when the queue is there.
fn killed_director(scratch: &Path) -> i32 {
    let mut command = Command::new(support::program());
    command
        .args(["experiment", "sysvmq/removed-under-sleepers", "--show"])
        .env("XDG_STATE_HOME", scratch.join("state"))
        .env("TMPDIR", scratch);
    let deadline = support::deadline();
    loop {
        assert!(std::time::Instant::now() < deadline, "never caught in the middle");
        let again = Command::new(command.get_program())
            .args(command.get_args())
            .envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))))
            .stdout(std::process::Stdio::null())
            .spawn();
        let mut director = again.unwrap();
        while director.try_wait().unwrap().is_none() {
            let found = noted_queue(scratch);
            if let Some(id) = found {
                director.kill().unwrap();
                director.wait().unwrap();
                if noted_queue(scratch).is_some() && has_queue(id) {
                    return id;
                }
                // A list whose queue is gone would be taken for that of the next run.
                run(clean(scratch, &[]), Input::Nothing);
            }
        }
    }
}

/// `ipclab clean` of what runs have left in `scratch`.
fn clean(scratch: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(support::program());
    command
        .arg("clean")
        .args(args)
        .env("IPCLAB_DIR", scratch.join("none"))
        .env("TMPDIR", scratch);
    command
}

/// The queue that the list of a run in `scratch` names.
fn noted_queue(scratch: &Path) -> Option<i32> {
    let dirs = std::fs::read_dir(scratch).ok()?;
    dirs.filter_map(|dir| {
        std::fs::read_to_string(dir.ok()?.path().join(".made")).ok()
    })
    .find_map(|list| {
        list.lines().find_map(|line| line.strip_prefix("sysv-queue ")?.parse().ok())
    })
}

fn has_queue(id: i32) -> bool {
    let all = std::fs::read_to_string("/proc/sysvipc/msg").unwrap();
    all.lines().any(|line| line.split_whitespace().nth(1) == Some(&id.to_string()))
}

#[test]
fn what_a_killed_director_left_goes_with_clean_or_the_next_run() {
    let scratch = tempfile::tempdir().unwrap();
    let id = killed_director(scratch.path());
    let clean =
        |args: &[&str]| printed(&run(clean(scratch.path(), args), Input::Nothing));
    assert!(
        clean(&["--dry-run"]).contains(&format!("would remove sysv-queue {id}"))
    );
    assert!(has_queue(id), "--dry-run removed it");
    assert!(clean(&[]).contains(&format!("removed sysv-queue {id}")));
    assert!(!has_queue(id));
    assert!(clean(&[]).starts_with("nothing to clean"));

    let id = killed_director(scratch.path());
    let mut command = Command::new(support::program());
    command
        .args(["experiment", "fifo/open-sleeps", "--show"])
        .env("XDG_STATE_HOME", scratch.path().join("state"))
        .env("TMPDIR", scratch.path());
    assert!(run(command, Input::Nothing).status.success());
    assert!(!has_queue(id));
    let left: Vec<_> = std::fs::read_dir(scratch.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name != "state")
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

fn row(id: &str) -> &'static Experiment {
    experiments::find(id).expect(id).1
}

/// `text` as it was before it was wrapped.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_chapter_is_listed_by_level_and_the_next_is_the_first_that_is_not_solved() {
    let home = tempfile::tempdir().unwrap();
    let list = || printed(&experiment(home.path(), &["fifo"]));
    let text = list();
    let places = ["fifo, first\n", "fifo, later\n", "fifo, deep\n"]
        .map(|heading| text.find(heading).expect(heading));
    assert!(places.is_sorted(), "{text}");
    assert!(text.contains("Try this one: ipclab experiment fifo/open-sleeps\n"));
    let wrong = row("fifo/open-sleeps").expected() % 2 + 1;
    experiment(home.path(), &["fifo/open-sleeps", "--guess", &wrong.to_string()]);
    assert!(list().contains("Try this one: ipclab experiment fifo/wrong-order\n"));
    for one in experiments::of("fifo").iter().skip(1) {
        let id = format!("fifo/{}", one.name);
        let guess = one.expected().to_string();
        experiment(home.path(), &[&id, "--guess", &guess]);
    }
    assert!(list().contains("Try this one: ipclab experiment fifo/open-sleeps\n"));
}

#[test]
fn a_wrong_guess_is_told_why() {
    let home = tempfile::tempdir().unwrap();
    let told = experiment(home.path(), &["fifo/no-reader-enxio", "--guess", "2"]);
    let text = printed(&told);
    assert!(told.status.success(), "a wrong guess is no failure: {text}");
    assert!(text.contains("✗ 2 is not what happened: the answer is 3."), "{text}");
    let why = row("fifo/no-reader-enxio").answers[1].why;
    assert!(one_line(&text).contains(&format!(" 2 not: {why} ")), "{text}");
}

#[test]
fn without_a_terminal_nothing_is_waited_for() {
    let home = tempfile::tempdir().unwrap();
    let told = experiment(home.path(), &["fifo/no-reader-enxio"]);
    assert_eq!(told.status.code(), Some(2));
    let question = row("fifo/no-reader-enxio").question;
    assert!(one_line(&printed(&told)).contains(question), "{}", printed(&told));
    assert!(told.stderr.contains("--guess N, or --show"), "{}", told.stderr);
}

#[test]
fn bad_input_gets_one_clear_line() {
    let home = tempfile::tempdir().unwrap();
    for (args, says) in [
        (
            &["nothing"][..],
            "no such experiment or chapter: 'nothing'; ipclab experiment lists",
        ),
        (
            &["fifo/nothing"],
            "no such experiment or chapter: 'fifo/nothing'; ipclab experiment fifo lists",
        ),
        (
            &["nothing/at-all"],
            "no such experiment or chapter: 'nothing/at-all'; ipclab experiment lists",
        ),
        (
            &["fifo/no-reader-enxio", "--guess", "5"],
            "--guess 5: the answers are 1 to 4",
        ),
        (
            &["fifo/no-reader-enxio", "--guess", "0"],
            "--guess 0: the answers are 1 to 4",
        ),
        (&["fifo", "--guess", "1"], "--guess answers one experiment"),
    ] {
        let told = experiment(home.path(), args);
        assert_eq!(told.status.code(), Some(2), "{args:?}");
        assert_eq!(told.stderr.lines().count(), 1, "{args:?}: {}", told.stderr);
        assert!(told.stderr.contains(says), "{args:?}: {}", told.stderr);
    }
}

#[test]
fn a_home_that_cannot_be_written_does_not_matter() {
    let told = experiment(Path::new("/proc/none"), &["fifo/open-sleeps", "--show"]);
    assert!(told.status.success(), "{}", told.stderr);
    assert!(experiment(Path::new("/proc/none"), &[]).status.success());
}

#[test]
fn the_list_as_json_has_one_object_a_line() {
    let home = tempfile::tempdir().unwrap();
    let listed = printed(&experiment(home.path(), &["--json"]));
    let all: Vec<serde_json::Value> =
        listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let count: usize = experiments::ALL.iter().map(|(_, list)| list.len()).sum();
    assert_eq!(all.len(), count);
    assert!(all[0]["answers"].as_array().unwrap().len() >= 2);
    assert!(all[0].get("answer").is_none(), "nothing was run");
}

#[test]
fn at_a_terminal_it_asks_until_it_gets_a_number() {
    let subject = support::subject("fifo");
    let Some(mut command) = support::python(&subject, "experiment_guess.py", &[])
    else {
        return;
    };
    command.arg(support::program()).env("XDG_STATE_HOME", subject.dir());
    let told = run(command, Input::Nothing);
    assert!(told.status.success(), "{}{}", printed(&told), told.stderr);
    assert!(printed(&told).contains("\"seven\" is none of the answers"));
    assert!(printed(&told).contains("✓ 3 is right."), "{}", printed(&told));
}

#[test]
fn ctrl_c_in_the_middle_leaves_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let mut command = Command::new(support::program());
    command
        .args(["experiment", "--show"])
        .env("XDG_STATE_HOME", scratch.path().join("state"))
        .env("TMPDIR", scratch.path());
    let all =
        support::RoleProcess::start("experiments", command, Input::Nothing).unwrap();
    all.wait_for_output(b"The answer is", support::deadline()).unwrap();
    let ended = all.stop(Signal::SIGINT, support::deadline()).unwrap();
    assert_eq!(
        ended.status.signal(),
        Some(Signal::SIGINT as i32),
        "{}",
        ended.stderr
    );
    let left: Vec<_> = std::fs::read_dir(scratch.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name != "state")
        .collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}
