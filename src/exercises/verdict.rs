//! What came of a stage, and how it is told.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use wire::say::{count, grouped};
use wire::visible::visible;

/// What came of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All was as it should be.
    Passed,
    /// Something was not as it should be.
    Wrong,
    /// It was not done by the deadline, or all of its processes sleep for good.
    Hung,
    /// A signal ended the program that the partner did not send.
    Crashed,
    /// The program could not be built or started.
    CouldNotRun,
    /// This machine cannot check it: no fault of the program's.
    NotHere,
}

impl Verdict {
    /// As it is printed.
    pub fn text(self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Wrong => "wrong",
            Verdict::Hung => "hung",
            Verdict::Crashed => "crashed",
            Verdict::CouldNotRun => "could not run",
            Verdict::NotHere => "could not be checked here",
        }
    }
}

/// A stage that was played.
#[derive(Debug, Clone)]
pub struct Report {
    /// What came of it.
    pub verdict: Verdict,
    /// What was not as it should be, a sentence each.
    pub faults: Vec<String>,
    /// Parts of the story, each with its title: what differs, who sleeps where, what the partner
    /// did, what the program said.
    pub story: Vec<(String, String)>,
    /// How long it took.
    pub took: Duration,
}

impl Report {
    /// Of a stage in which this is wrong.
    pub(super) fn new(verdict: Verdict, fault: String) -> Report {
        let faults = vec![fault];
        Report { verdict, faults, story: Vec::new(), took: Duration::ZERO }
    }

    /// Of a stage in which nothing has been wrong so far.
    pub(super) fn well() -> Report {
        let verdict = Verdict::Passed;
        Report {
            verdict,
            faults: Vec::new(),
            story: Vec::new(),
            took: Duration::ZERO,
        }
    }

    /// Adds a fault; the first one's verdict stays.
    pub(super) fn fault(&mut self, verdict: Verdict, what: String) {
        if self.verdict == Verdict::Passed {
            self.verdict = verdict;
        }
        self.faults.push(what);
    }

    /// That it hung comes before the faults that follow from it.
    pub(super) fn hung(&mut self, what: &str) {
        if self.verdict != Verdict::Crashed {
            self.verdict = Verdict::Hung;
        }
        self.faults.insert(0, what.to_owned());
    }

    /// Adds a part of the story, if there is anything to tell.
    pub(super) fn tell(&mut self, title: &str, text: &str) {
        if !text.trim().is_empty() {
            self.story.push((title.to_owned(), text.to_owned()));
        }
    }
}

/// The longest text that is shown whole.
const WHOLE: usize = 2000;

/// What is shown around a difference in a longer one.
const AROUND: usize = 60;

/// Where `got` differs from `expected`, with both; `None` if they are the same.
pub(super) fn difference(expected: &[u8], got: &[u8]) -> Option<String> {
    if expected == got {
        return None;
    }
    let same = expected.iter().zip(got).take_while(|(a, b)| a == b).count();
    let line = 1 + expected[..same].iter().filter(|byte| **byte == b'\n').count();
    let mut text = format!(
        "They differ from byte {} on, in line {line}.\n",
        grouped(same as u64 + 1)
    );
    for (name, bytes) in [("expected", expected), ("got", got)] {
        let (from, to) = match bytes.len() <= WHOLE {
            true => (0, bytes.len()),
            false => {
                let from = same.saturating_sub(AROUND).min(bytes.len());
                (from, (same + AROUND).min(bytes.len()))
            }
        };
        let length = count(bytes.len() as u64, "byte");
        let part = if to - from == bytes.len() {
            length
        } else {
            format!(
                "bytes {} to {} of {length}",
                grouped(from as u64 + 1),
                grouped(to as u64)
            )
        };
        text += &format!("{name}, {part}:\n");
        // A line of the data each, so that the two stand below each other.
        for line in bytes[from..to].split_inclusive(|byte| *byte == b'\n') {
            text += &format!("  {}\n", visible(line));
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn a_difference_is_shown_from_its_first_byte_on() {
        assert_eq!(difference(b"same", b"same"), None);
        let text = difference(b"one\ntwo\n", b"one\ntw").unwrap();
        assert!(
            text.starts_with("They differ from byte 7 on, in line 2.\n"),
            "{text}"
        );
        assert!(text.contains("expected, 8 bytes:\n  one\\n\n  two\\n\n"), "{text}");
        assert!(text.ends_with("got, 6 bytes:\n  one\\n\n  tw\n"), "{text}");
        let long = vec![b'x'; 5000];
        let text = difference(&long, &long[..4000]).unwrap();
        assert!(text.contains("got, bytes 3,941 to 4,000 of 4,000 bytes"), "{text}");
    }
}
