//! What an experiment is: a question, its answers, and a run in which the kernel answers.

use anyhow::Result;

use super::stage::Stage;
use doctor::probe::Probe;

/// One pitfall, as a row of its chapter's list.
///
/// The listing, the quiz, the captured answers in the book and the tests are made from
/// it. Its run is ordinary code: real processes that make the system calls themselves.
#[derive(Debug)]
pub struct Experiment {
    /// Its name within the chapter: `no-reader-enxio`.
    pub name: &'static str,
    /// A few words for the listing and the page's heading, which give nothing away.
    pub title: &'static str,
    /// When it is asked: those of a level in the order of the chapter's list.
    pub level: Level,
    /// The situation in a sentence or two, then what is asked.
    pub question: &'static str,
    /// Two to four answers that people really believe; one is right. Over all rows
    /// each number is right as often as the others, so that none is a good guess.
    pub answers: &'static [Answer],
    /// What answers.
    pub kind: Kind,
    /// Does it for real, reports each call that matters to the [`Stage`], and returns the
    /// number, from 1, of the answer that came out. That number is computed from what was
    /// seen, never assumed.
    pub run: fn(&Stage) -> Result<usize>,
    /// What to take home, in a sentence or two.
    pub moral: &'static str,
    /// The man pages that describe it: `fifo(7), open(2)`.
    pub see: &'static str,
    /// Where the code is: `file!()`.
    pub file: &'static str,
    /// The ANCHOR regions of that file which its page shows. Two that end in `-broken`
    /// and `-cured` are shown as what they are.
    pub shows: &'static [&'static str],
}

/// One answer of an [`Experiment`].
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// What one can guess.
    pub text: &'static str,
    /// Why it is right, or why it is not.
    pub why: &'static str,
    /// Whether the book expects it to come out.
    pub right: bool,
}

/// The answer that the kernel is expected to give, and why it does.
pub const fn right(text: &'static str, why: &'static str) -> Answer {
    Answer { text, why, right: true }
}

/// An answer that people really believe, and what is wrong with it.
pub const fn wrong(text: &'static str, why: &'static str) -> Answer {
    Answer { text, why, right: false }
}

/// How much of its chapter's page an experiment takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// No more than the beginning of the page: three to five of a chapter.
    First,
    /// What is used every day, and what goes wrong then.
    Later,
    /// Limits, corners, and what few programs need.
    Deep,
}

impl Level {
    /// As the list shows it.
    pub fn text(self) -> &'static str {
        match self {
            Level::First => "first",
            Level::Later => "later",
            Level::Deep => "deep",
        }
    }
}

/// What answers the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The kernel that runs here.
    Kernel,
    /// A model: arithmetic, or a checker that tries every interleaving. It says so.
    Model,
    /// The kernel, if this process may, and there is what it needs: `ipclab doctor` asks the same
    /// probe.
    Needs(&'static Probe),
}

impl Experiment {
    /// The number, from 1, of the answer that the book expects.
    pub fn expected(&self) -> usize {
        let found = self.answers.iter().position(|answer| answer.right);
        found.map_or(0, |index| index + 1)
    }
}
