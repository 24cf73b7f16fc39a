//! What goes wrong with clients that connect.

use anyhow::Error;

use wire::errors::line;
use wire::say::{self, Commentary};

/// The first time is worth a line of its own, even under `-q`; the rest is commentary.
#[derive(Debug)]
pub(super) struct Complaint {
    made: bool,
    rest: Commentary,
}

impl Complaint {
    /// No error yet; `step` is what the later ones are counted as.
    pub(super) const fn of(step: &'static str) -> Complaint {
        Complaint { made: false, rest: Commentary::steps(step) }
    }

    /// Reports `error`, or counts it.
    pub(super) fn about(&mut self, error: Error) {
        if self.made {
            self.rest.call(0, || line(&error));
        } else {
            say::complain(&error);
        }
        self.made = true;
    }
}
