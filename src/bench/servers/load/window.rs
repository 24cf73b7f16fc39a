//! What the clients have seen in one window.

use serde::{Deserialize, Serialize};

/// At most so many requests in one window of one thread.
pub(super) const MOST: u64 = 2_000_000;

/// What one window has shown.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Answers {
    /// How many requests were answered, each as it should be.
    pub requests: u64,
    /// From before the first to after the last.
    pub nanoseconds: u64,
    /// How long each took; in an open loop from when it was due. Values, and how often.
    pub honest: Vec<(u64, u64)>,
    /// In an open loop, how long each took from when it was sent.
    pub naive: Vec<(u64, u64)>,
}

/// [`Answers`], and what it has cost the load.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Window {
    /// By all threads together.
    #[serde(flatten)]
    pub answers: Answers,
    /// The CPU time of the load's process in this window, in nanoseconds.
    pub cpu: u64,
}
