//! What a probe answers.

use serde::{Deserialize, Serialize};

/// The three marks.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// It is there, and does what the book needs.
    Ok,
    /// It is there, with less than the book can use.
    Limited,
    /// It is not there, or it failed.
    Missing,
}

/// What came of one probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The mark.
    pub mark: Mark,
    /// What was seen: a value, an error by name and meaning.
    pub found: String,
    /// What helps, if anything does.
    pub cure: Option<String>,
}

impl Answer {
    /// It works: what was seen.
    pub fn ok(found: impl Into<String>) -> Answer {
        Answer { mark: Mark::Ok, found: found.into(), cure: None }
    }

    /// It works less well than it could.
    pub fn limited(found: impl Into<String>) -> Answer {
        Answer { mark: Mark::Limited, found: found.into(), cure: None }
    }

    /// It does not work: why.
    pub fn missing(found: impl Into<String>) -> Answer {
        Answer { mark: Mark::Missing, found: found.into(), cure: None }
    }

    /// It does not work: the error, and the way out that it comes with.
    pub fn failed(error: &anyhow::Error) -> Answer {
        Answer::of_text(&wire::errors::line(error))
    }

    /// It does not work: why, and after a semicolon the way out.
    pub fn of_text(text: &str) -> Answer {
        match text.split_once("; ") {
            Some((found, cure)) => Answer::missing(found).cure(cure),
            None => Answer::missing(text),
        }
    }

    /// What helps.
    #[must_use]
    pub fn cure(mut self, cure: impl Into<String>) -> Answer {
        self.cure = Some(cure.into());
        self
    }

    /// Whether it may be used: not [`Mark::Missing`].
    pub fn is_there(&self) -> bool {
        self.mark != Mark::Missing
    }
}

/// `there`, or what is missing.
pub fn needed(there: bool, found: impl Into<String>) -> Answer {
    if there { Answer::ok(found) } else { Answer::missing(found) }
}
