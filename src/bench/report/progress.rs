//! How far a run is: a bar on the terminal's standard error, and nothing elsewhere.

use std::io::IsTerminal;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The bar. It is drawn when a step begins, and never by itself: what is measured must
/// not share its CPU with it.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    total: u64,
    begun: u64,
    since: Instant,
}

impl Progress {
    /// A run of `total` steps of about the same length, none of them begun.
    pub fn new(total: u64) -> Progress {
        let target = match rustix::stdio::stderr().is_terminal() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let style = ProgressStyle::with_template("{pos} of {len} {wide_bar} {msg}");
        let bar = ProgressBar::with_draw_target(Some(total), target)
            .with_style(style.expect("a valid template"));
        Progress { bar, total, begun: 0, since: Instant::now() }
    }

    /// The step before is done, and that of `what` begins: `pipe 64 B, same`.
    pub fn step(&mut self, what: &str) {
        let took = self.since.elapsed().as_secs_f64();
        let message = match self.begun {
            0 => what.to_owned(),
            done => {
                let rest = self.total.saturating_sub(done) as f64;
                format!("{what}, {:.0} s left", took / done as f64 * rest)
            }
        };
        self.bar.set_position(self.begun);
        self.bar.set_message(message);
        self.begun += 1;
    }

    /// All is done: the bar goes away, as it does when this is dropped on an error.
    pub fn done(self) {}
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
