//! A folder of submissions, and the forms in which it is graded.

use std::path::Path;
use std::process::Command;

use bare::Language;
use serde_json::Value;

use super::programs::{Which, text};
use super::support::{self, Input, Outcome, run, skip};

const ID: &str = "fifo/receiver";

/// A folder for `learner` with this program in Python, as `start` makes it.
fn hand_in(all: &Path, learner: &str, program: &str) {
    hand_in_as(all, learner, ("python", "main.py"), program);
}

fn hand_in_as(
    all: &Path,
    learner: &str,
    (language, file): (&str, &str),
    program: &str,
) {
    let dir = all.join(learner).join("week-1/receiver");
    std::fs::create_dir_all(&dir).unwrap();
    let about = format!("{{\"exercise\":\"{ID}\",\"language\":\"{language}\"}}\n");
    std::fs::write(dir.join(".ipclab-exercise"), about).unwrap();
    std::fs::write(dir.join(file), program).unwrap();
}

fn solution() -> String {
    text(ID, &Which::Solution, Language::Python)
}

/// Checks all of them; with the variables of a Classroom 50 runner.
fn check(all: &Path, words: &[&str]) -> Outcome {
    let mut command = Command::new(support::program());
    command.args(["exercise", "check", "--all"]).arg(all).args(words);
    command.env("XDG_STATE_HOME", all.join(".state")).env("NO_COLOR", "1");
    command
        .env("CLASSROOM", "ipc")
        .env("SUBMISSION_TAG", "submit/2026-01-01T00-00-00Z-a");
    let outcome = run(command, Input::Nothing);
    assert!(!all.join(".state").exists(), "the teacher's progress was written");
    outcome
}

fn printed(outcome: &Outcome) -> &str {
    std::str::from_utf8(&outcome.stdout).unwrap()
}

/// A class: ann passes, bob fails at `order`, cat's does not compile, eve has handed in nothing.
fn class() -> tempfile::TempDir {
    let all = tempfile::tempdir().unwrap();
    hand_in(all.path(), "ann", &solution());
    let wrong =
        solution().replace("        pass  # the sender was first", "        raise");
    assert_ne!(wrong, solution());
    hand_in(all.path(), "bob", &wrong);
    hand_in_as(all.path(), "cat", ("c", "main.c"), "int main(void) { return 0 }\n");
    std::fs::create_dir(all.path().join("eve")).unwrap();
    all
}

#[test]
fn a_class_is_graded_side_by_side() {
    let all = class();
    let outcome = check(all.path(), &[]);
    assert_eq!(outcome.status.code(), Some(1), "{}", outcome.stderr);
    let table = printed(&outcome);
    for (begin, part) in [
        ("✓ ann", "6/6"),
        ("✗ bob", "1/6"),
        ("✗ cat", "0/6"),
        ("✗ eve", "no exercise"),
    ] {
        let line = table.lines().find(|line| line.starts_with(begin));
        let line = line.unwrap_or_else(|| panic!("no {begin}: {table}"));
        assert!(line.contains(part), "{line}");
    }
    assert!(
        outcome.stderr.contains("3 of 4 submissions did not pass"),
        "{}",
        outcome.stderr
    );

    let outcome = check(all.path(), &["--json", "--seed", "7"]);
    assert_eq!(outcome.status.code(), Some(1));
    let class: Value = serde_json::from_slice(&outcome.stdout).unwrap();
    assert_eq!(class["version"], 1);
    assert_eq!(class["without"], serde_json::json!(["eve"]));
    let of = |field: &str| -> Vec<Value> {
        let all = class["submissions"].as_array().unwrap();
        all.iter().map(|one| one[field].clone()).collect()
    };
    assert_eq!(of("learner"), ["ann", "bob", "cat"]);
    assert_eq!(of("seed"), ["7", "7", "7"]);
    assert_eq!(of("passed"), [6, 1, 0]);
    assert_eq!(of("verdict")[0], "passed");
    assert_eq!(
        of("not_tried")[1],
        serde_json::json!(["nothing", "writers", "halves", "large"])
    );
}

#[test]
fn each_form_has_the_points_of_each_stage() {
    let all = class();
    let lines = |format: &str| -> Vec<Value> {
        let outcome = check(all.path(), &["--format", format]);
        let fails = ["github"].contains(&format);
        assert_eq!(
            outcome.status.code(),
            Some(i32::from(fails)),
            "{}",
            outcome.stderr
        );
        printed(&outcome)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let sum = |tests: &Value, field: &str| -> i64 {
        tests
            .as_array()
            .unwrap()
            .iter()
            .map(|test| test[field].as_i64().unwrap())
            .sum()
    };
    let all_of = |objects: &[Value], field: &str| -> Vec<i64> {
        objects.iter().map(|object| sum(&object["tests"], field)).collect()
    };
    let gradescope = lines("gradescope");
    assert_eq!(all_of(&gradescope, "score"), [6, 1, 0]);
    assert_eq!(all_of(&gradescope, "max_score"), [6, 6, 6]);
    assert_eq!(gradescope[1]["extra_data"]["learner"], "bob");
    let failed = &gradescope[1]["tests"][1];
    assert_eq!(failed["status"], "failed");
    assert!(
        failed["output"].as_str().unwrap().contains("ended with status"),
        "{failed}"
    );

    let github = lines("github");
    assert_eq!(all_of(&github, "score"), [6, 1, 0]);
    let statuses: Vec<_> = github.iter().map(|one| one["status"].clone()).collect();
    assert_eq!(statuses, ["pass", "fail", "error"]);
    assert_eq!(github[0]["max_score"], 6);
    assert_eq!(github[0]["version"], 1);

    assert_eq!(github[1]["learner"], "bob");

    let exercism = lines("exercism");
    assert_eq!(exercism[1]["learner"], "bob");
    assert_eq!(exercism[2]["learner"], "cat");
    let statuses: Vec<_> =
        exercism.iter().map(|one| one["status"].clone()).collect();
    assert_eq!(statuses, ["pass", "fail", "error"]);
    assert!(
        exercism[2]["message"].as_str().unwrap().contains("main.c:1:"),
        "{}",
        exercism[2]
    );
    assert_eq!(exercism[1]["tests"].as_array().unwrap().len(), 6);

    let classroom = lines("classroom50");
    let scores: Vec<_> =
        classroom.iter().map(|one| one["score"].as_i64().unwrap()).collect();
    assert_eq!(scores, [6, 1, 0]);
    assert_eq!(classroom[1]["owner"], "bob");
    assert_eq!(classroom[1]["classroom"], "ipc");
    assert_eq!(classroom[1]["max-score"], 6);

    let junit = check(all.path(), &["--format", "junit"]);
    assert_eq!(junit.status.code(), Some(1));
    let xml = roxmltree::Document::parse(printed(&junit)).unwrap();
    let suites: Vec<_> =
        xml.descendants().filter(|node| node.has_tag_name("testsuite")).collect();
    let counted = |name: &str| -> Vec<&str> {
        suites.iter().map(|suite| suite.attribute(name).unwrap()).collect()
    };
    assert_eq!(counted("tests"), ["6", "6", "6"]);
    assert_eq!(counted("failures"), ["0", "1", "1"]);
    assert_eq!(counted("skipped"), ["0", "4", "5"]);
    let failures =
        suites[1].descendants().filter(|node| node.has_tag_name("failure"));
    assert_eq!(failures.count(), 1);
}

#[test]
fn a_file_a_learner_is_written() {
    let all = class();
    let out = tempfile::tempdir().unwrap();
    let results = out.path().join("results");
    let dir = results.to_str().unwrap();
    let outcome = check(all.path(), &["--format", "github", "--out", dir]);
    assert!(printed(&outcome).contains("✓ ann"), "{}", printed(&outcome));
    for (learner, status) in [("ann", "pass"), ("bob", "fail"), ("cat", "error")] {
        let file = std::fs::read(results.join(format!("{learner}.json"))).unwrap();
        let one: Value = serde_json::from_slice(&file).unwrap();
        assert_eq!(
            (&one["learner"], &one["status"]),
            (&learner.into(), &status.into())
        );
    }
}

#[test]
fn what_a_submission_leaves_stays_in_its_namespaces() {
    let all = tempfile::tempdir().unwrap();
    let name = format!("ipclab-test-left-{}", std::process::id());
    // In no stage's directory, and under no name of a stage: what a stage looks for is not it.
    let leaves = solution().replacen(
        "import os\n",
        &format!("import os\nopen('/dev/shm/{name}', 'w').close()\n"),
        1,
    );
    assert_ne!(leaves, solution());
    hand_in(all.path(), "ann", &leaves);
    let outcome = check(all.path(), &["--json"]);
    let class: Value = serde_json::from_slice(&outcome.stdout).unwrap();
    let ann = &class["submissions"][0];
    let outside = Path::new("/dev/shm").join(&name);
    let escaped = outside.exists();
    let _ = std::fs::remove_file(&outside);
    if ann["isolated"] == false {
        return skip("namespaces are not allowed here");
    }
    assert!(!escaped, "it is outside, too");
    assert_eq!(
        ann["left"],
        serde_json::json!([format!("/dev/shm/{name}")]),
        "{ann:#}"
    );
    assert_eq!(ann["verdict"], "passed", "{ann:#}");
    // Alone in its namespaces, with itself as the first process.
    let table = check(all.path(), &[]);
    assert!(
        printed(&table).contains("left behind: /dev/shm/"),
        "{}",
        printed(&table)
    );
}

#[test]
fn a_teachers_own_exercise_is_one_as_it_is_made() {
    let home = tempfile::tempdir().unwrap();
    let exercise = |words: &[&str]| {
        let mut command = Command::new(support::program());
        command.arg("exercise").args(words).current_dir(home.path());
        command
            .env("XDG_STATE_HOME", home.path().join("state"))
            .env("NO_COLOR", "1");
        run(command, Input::Nothing)
    };
    if !support::have("python3") {
        return skip("there is no python3");
    }
    let made = exercise(&["new", "lesson"]);
    assert!(made.status.success(), "{}", made.stderr);
    let again = exercise(&["new", "lesson"]);
    assert!(again.stderr.contains("is there already"), "{}", again.stderr);
    let test = exercise(&["self-test", "--own", "lesson", "--rounds", "1"]);
    assert!(test.status.success(), "{}\n{}", printed(&test), test.stderr);
    assert_eq!(printed(&test).matches("✓ ").count(), 3, "{}", printed(&test));
    let solution = home.path().join("lesson/solution.py");
    let solution = solution.to_str().unwrap();
    let own = ["check", "--own", "lesson", "--", "python3", solution];
    let passed = exercise(&own);
    assert!(
        printed(&passed).contains("own/upper is passed"),
        "{}",
        printed(&passed)
    );

    // One whose solution is wrong is none.
    let text = std::fs::read_to_string(solution).unwrap().replace(".upper()", "");
    std::fs::write(solution, text).unwrap();
    let test = exercise(&["self-test", "--own", "lesson", "--rounds", "1"]);
    assert_eq!(test.status.code(), Some(1));
    let must = "✗ the solution: must pass; in round 1 it came to: plain: wrong";
    assert!(printed(&test).contains(must), "{}", printed(&test));
    assert!(!home.path().join("state").exists(), "it is in the learner's progress");
}

#[test]
fn an_exercise_of_ours_is_tried_by_itself() {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(support::program());
    command.args(["exercise", "self-test", ID, "--lang", "c", "--rounds", "1"]);
    command.env("XDG_STATE_HOME", home.path().join("state")).env("NO_COLOR", "1");
    let test = run(command, Input::Nothing);
    assert!(test.status.success(), "{}\n{}", printed(&test), test.stderr);
    assert!(
        printed(&test).contains("fifo/receiver, c, the solution: 1 of 1"),
        "{}",
        printed(&test)
    );
}
