//! Other programs' formats, each written from [`Submission`]s.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde_json::{Value, json};

use wire::visible::visible_but;

use super::schema::{Played, Submission};
use super::verdict::Verdict;

/// How a check is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For readers
    Table,
    /// All that is known: the book's page "Exercises" tells the fields
    Json,
    /// JUnit's XML, which most build servers read
    Junit,
    /// A results.json of Gradescope's, an object a learner
    Gradescope,
    /// What GitHub Classroom's reporter reads, an object a learner
    Github,
    /// A results.json of Exercism's, version 3, an object a learner
    Exercism,
    /// A result.json of Classroom 50's, an object a learner
    Classroom50,
}

impl Format {
    /// Whether its readers take an exit status that is not 0 for a failure of the check itself.
    pub(super) fn ends_well(self) -> bool {
        matches!(self, Format::Gradescope | Format::Exercism | Format::Classroom50)
    }
}

/// The submissions in one of the formats that are not for readers.
pub fn write(format: Format, all: &[Submission]) -> String {
    let each = |object: fn(&str, &[&Submission]) -> Value| {
        let lines = learners(all)
            .into_iter()
            .map(|(learner, of_learner)| object(learner, &of_learner));
        lines.map(|line| format!("{line}\n")).collect()
    };
    match format {
        Format::Table | Format::Json => {
            all.iter().map(|one| format!("{}\n", json!(one))).collect()
        }
        Format::Junit => junit(all),
        Format::Gradescope => each(gradescope),
        Format::Github => each(github),
        Format::Exercism => each(exercism),
        Format::Classroom50 => each(classroom50),
    }
}

/// A file a learner in `dir`, which is made: `ann.json`, `ann.xml`.
///
/// # Errors
/// ENOSPC, EACCES and the like.
pub(super) fn write_files(
    dir: &Path,
    format: Format,
    all: &[Submission],
) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.with_context(|| format!("mkdir {}", dir.display()))?;
    let ending = if format == Format::Junit { "xml" } else { "json" };
    for (learner, of_learner) in learners(all) {
        let of_learner: Vec<_> = of_learner.into_iter().cloned().collect();
        let path = dir.join(format!("{learner}.{ending}"));
        std::fs::write(&path, write(format, &of_learner))
            .with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// The submissions by learner.
fn learners(all: &[Submission]) -> BTreeMap<&str, Vec<&Submission>> {
    let mut learners: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for one in all {
        let learner = one.learner.as_deref().unwrap_or_default();
        learners.entry(learner).or_default().push(one);
    }
    learners
}

/// One stage, as all of these formats have it: a test.
struct Test<'a> {
    submission: &'a Submission,
    name: &'a str,
    /// `None` where the check has not come so far.
    played: Option<&'a Played>,
}

impl Test<'_> {
    fn title(&self) -> String {
        format!("{}: {}", self.submission.exercise, self.name)
    }

    fn passed(&self) -> bool {
        self.played.is_some_and(|stage| stage.verdict == Verdict::Passed)
    }

    fn not_here(&self) -> bool {
        self.submission.verdict == Verdict::NotHere
    }

    /// The points it is worth: none if it cannot be checked on this machine.
    fn worth(&self) -> u32 {
        u32::from(!self.not_here())
    }

    fn text(&self) -> String {
        match self.played {
            Some(stage) if stage.verdict == Verdict::Passed => String::new(),
            Some(stage) => {
                let text = format!("{}: {}", stage.verdict.text(), stage.text());
                visible_but(text, "\n\t")
            }
            None => "Not tried: a check ends at the first stage that fails.".into(),
        }
    }

    fn seconds(&self) -> f64 {
        self.played.map_or(0.0, |stage| stage.seconds)
    }
}

/// All stages of the submission. That the program does not build is in the place of the first.
fn tests(submission: &Submission) -> Vec<Test<'_>> {
    let played = submission.stages.iter().map(|played| Test {
        submission,
        name: &played.stage,
        played: Some(played),
    });
    let rest = submission.not_tried.iter().map(|name| Test {
        submission,
        name,
        played: None,
    });
    let begun = submission.stages.first().is_some_and(|one| one.is_start());
    // With the start there is one test more than there are stages.
    played.chain(rest.skip(usize::from(begun))).collect()
}

fn all_tests<'a>(all: &[&'a Submission]) -> Vec<Test<'a>> {
    all.iter().flat_map(|submission| tests(submission)).collect()
}

/// The status of all, with the words of Exercism's and GitHub's.
fn status(all: &[&Submission]) -> &'static str {
    let never_began = |one: &&Submission| {
        one.stages.last().is_some_and(|stage| {
            stage.is_start() && stage.verdict != Verdict::Passed
        })
    };
    if all.iter().all(|one| one.verdict == Verdict::Passed) {
        "pass"
    } else if all.iter().all(never_began) {
        "error"
    } else {
        "fail"
    }
}

fn gradescope(learner: &str, all: &[&Submission]) -> Value {
    let test = |test: &Test<'_>| {
        json!({
            "name": test.title(), "score": u32::from(test.passed()),
            "max_score": test.worth(), "output": test.text(),
            "status": if test.passed() || test.not_here() { "passed" } else { "failed" },
        })
    };
    json!({
        "execution_time": seconds(all).ceil() as u64,
        "tests": all_tests(all).iter().map(test).collect::<Vec<_>>(),
        "extra_data": { "learner": learner, "seeds": seeds(all) },
    })
}

/// With `learner`, where one is known: the form itself has no place for the name.
fn named(learner: &str, mut object: Value) -> Value {
    if !learner.is_empty() {
        object["learner"] = learner.into();
    }
    object
}

fn github(learner: &str, all: &[&Submission]) -> Value {
    let test = |test: &Test<'_>| {
        json!({
            "name": test.title(),
            "status": if test.passed() { "pass" } else { "fail" },
            "score": u32::from(test.passed()), "message": test.text(),
            "test_code": again(test), "filename": "", "line_no": 0,
            "execution_time": test.seconds(),
        })
    };
    let tests: Vec<_> =
        all_tests(all).into_iter().filter(|test| !test.not_here()).collect();
    named(
        learner,
        json!({
            "version": 1, "status": status(all), "max_score": tests.len(),
            "tests": tests.iter().map(test).collect::<Vec<_>>(),
        }),
    )
}

fn exercism(learner: &str, all: &[&Submission]) -> Value {
    if status(all) == "error" {
        let message: Vec<_> = all_tests(all)
            .iter()
            .filter(|test| test.played.is_some())
            .map(|test| format!("{}: {}", test.title(), test.text()))
            .collect();
        return named(
            learner,
            json!({
                "version": 3, "status": "error", "message": message.join("\n\n"),
            }),
        );
    }
    let test = |test: &Test<'_>| {
        let message = if test.passed() { None } else { Some(test.text()) };
        json!({
            "name": test.title(), "test_code": again(test), "message": message,
            "status": if test.passed() { "pass" } else { "fail" },
        })
    };
    named(
        learner,
        json!({
            "version": 3, "status": status(all), "message": null,
            "tests": all_tests(all).iter().map(test).collect::<Vec<_>>(),
        }),
    )
}

fn classroom50(learner: &str, all: &[&Submission]) -> Value {
    let given = |name: &str| std::env::var(name).unwrap_or_default();
    let or = |text: String, other: &str| {
        if text.is_empty() { other.to_owned() } else { text }
    };
    let (passed, of) = all
        .iter()
        .map(|one| one.points())
        .fold((0, 0), |(passed, of), (more, most)| (passed + more, of + most));
    let test = |test: &Test<'_>| {
        json!({
            "test-name": test.title(), "passed": test.passed(),
            "score": u32::from(test.passed()), "max-score": test.worth(),
            "message": test.text(),
        })
    };
    json!({
        "schema": "classroom50/result/v1",
        "classroom": given("CLASSROOM"),
        "assignment": given("ASSIGNMENT"),
        "assignment_type": or(given("ASSIGNMENT_TYPE"), "individual"),
        "owner": or(given("OWNER"), &or(given("USERNAME"), learner)),
        "submission": given("SUBMISSION_TAG"),
        "commit": given("COMMIT_URL"),
        "release": given("RELEASE_URL"),
        "review": or(given("REVIEW_URL"), &given("COMMIT_URL")),
        "datetime": utc(SystemTime::now()),
        "score": passed, "max-score": of,
        "tests": all_tests(all).iter().map(test).collect::<Vec<_>>(),
    })
}

/// The command that tries the stage again.
fn again(test: &Test<'_>) -> String {
    let Submission { exercise, seed, .. } = test.submission;
    let stage = match test.played {
        Some(stage) if stage.is_start() => String::new(),
        _ => format!(" --stage {}", test.name),
    };
    format!("ipclab exercise check {exercise}{stage} --seed {seed}")
}

fn seconds(all: &[&Submission]) -> f64 {
    all.iter().map(|one| one.seconds()).sum()
}

fn seeds(all: &[&Submission]) -> BTreeMap<String, String> {
    all.iter().map(|one| (one.exercise.clone(), one.seed.clone())).collect()
}

/// The time as RFC 3339 has it, in whole seconds.
fn utc(time: SystemTime) -> String {
    let all = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, rest) = (all / 86_400, all % 86_400);
    // From 1 March of the year 0 on, so that a leap day is the last day of its year.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn junit(all: &[Submission]) -> String {
    let mut text =
        String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for one in all {
        let tests = tests(one);
        let failed = |test: &&Test<'_>| {
            test.played.is_some() && !test.passed() && !test.not_here()
        };
        let failures = tests.iter().filter(failed).count();
        let skipped = tests.iter().filter(|test| !test.passed()).count() - failures;
        let learner = one.learner.as_deref().unwrap_or_default();
        text += &format!(
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" \
             skipped=\"{skipped}\" time=\"{:.3}\">\n",
            escaped(format!("{learner} {}", one.exercise).trim_start()),
            tests.len(),
            one.seconds()
        );
        for test in &tests {
            text += &format!(
                "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
                escaped(&one.exercise),
                escaped(test.name),
                test.seconds()
            );
            let verdict = test.played.map(|stage| stage.verdict.text());
            text += &match verdict {
                _ if test.passed() => "/>\n".to_owned(),
                Some(verdict) if failed(&test) => format!(
                    ">\n      <failure type=\"{verdict}\" message=\"{}\">{}</failure>\n    \
                     </testcase>\n",
                    escaped(
                        test.played
                            .and_then(|it| it.faults.first())
                            .map_or("", |it| it)
                    ),
                    escaped(&test.text())
                ),
                _ => format!(
                    ">\n      <skipped message=\"{}\"/>\n    </testcase>\n",
                    escaped(&test.text())
                ),
            };
        }
        text += "  </testsuite>\n";
    }
    text + "</testsuites>\n"
}

/// For XML, which has no control characters.
fn escaped(text: &str) -> String {
    visible_but(text, "\n\t")
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::utc;

    #[test]
    fn a_time_is_written_as_rfc_3339_has_it() {
        let at = |seconds| utc(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(951_868_799), "2000-02-29T23:59:59Z");
        assert_eq!(at(1_798_761_599), "2026-12-31T23:59:59Z");
    }
}
