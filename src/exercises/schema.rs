//! What a check came to, as data: `--json`, and what each other format is written from. The book's
//! page "Exercises" tells the fields.

use serde::{Deserialize, Serialize};

use super::verdict::{Report, Verdict};

/// The version of the form; it grows with each change that a reader must know of.
pub const VERSION: u32 = 1;

/// What comes before the stages: the program is built, and started without arguments.
pub const START: &str = "start";

/// One check of one program.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Submission {
    /// [`VERSION`].
    pub version: u32,
    /// Whose it is: the folder's name below that of `--all`.
    pub learner: Option<String>,
    /// The folder of the exercise, below that of `--all`.
    pub folder: Option<String>,
    /// CHAPTER/NAME.
    pub exercise: String,
    /// The language; none for a command of the learner's own.
    pub language: Option<String>,
    /// What repeats the run: `--seed`.
    pub seed: String,
    /// Whether it ran in namespaces of its own.
    pub isolated: bool,
    /// The last stage's verdict.
    pub verdict: Verdict,
    /// How many stages it has passed.
    pub passed: usize,
    /// How many there are.
    pub of: usize,
    /// The stages that were played. If the last of them has failed, the check ended there.
    pub stages: Vec<Played>,
    /// The stages behind the one that failed, by name.
    pub not_tried: Vec<String>,
    /// Names in the kernel and in /dev/shm that were not there before; looked for with `--all`.
    pub left: Vec<String>,
}

/// A stage that was played.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Played {
    /// Its name.
    pub stage: String,
    /// What is tried in it.
    pub about: String,
    /// What came of it.
    pub verdict: Verdict,
    /// What was not as it should be, a sentence each.
    pub faults: Vec<String>,
    /// What happened: what differs, who sleeps where, what was done and said.
    pub story: Vec<Part>,
    /// How long it took.
    pub seconds: f64,
}

/// A part of the story.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Part {
    /// What it is.
    pub title: String,
    /// The part.
    pub text: String,
}

impl Played {
    /// The stage with its report.
    pub(super) fn new(stage: &str, about: &str, report: &Report) -> Played {
        let part = |(title, text): &(String, String)| Part {
            title: title.clone(),
            text: text.clone(),
        };
        Played {
            stage: stage.to_owned(),
            about: about.to_owned(),
            verdict: report.verdict,
            faults: report.faults.clone(),
            story: report.story.iter().map(part).collect(),
            seconds: report.took.as_secs_f64(),
        }
    }

    /// Whether it is what comes before the stages.
    pub fn is_start(&self) -> bool {
        self.stage == START
    }

    /// Its faults and its story as one text.
    pub fn text(&self) -> String {
        let mut text = self.faults.join("\n");
        for Part { title, text: part } in &self.story {
            text += &format!("\n\n{title}:\n{}", part.trim_end());
        }
        text
    }
}

impl Submission {
    /// How long all stages took.
    pub fn seconds(&self) -> f64 {
        self.stages.iter().map(|stage| stage.seconds).sum()
    }

    /// What the program passed of what can be checked on this machine.
    pub fn points(&self) -> (usize, usize) {
        match self.verdict {
            Verdict::NotHere => (0, 0),
            _ => (self.passed, self.of),
        }
    }
}

/// What `--all` came to.
#[derive(Debug, Serialize, Deserialize)]
pub struct Class {
    /// [`VERSION`].
    pub version: u32,
    /// The checks, by learner and exercise.
    pub submissions: Vec<Submission>,
    /// The learners in whose folders there is no exercise.
    pub without: Vec<String>,
}
