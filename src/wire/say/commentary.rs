//! Calls of one kind: named one by one as long as they come at the pace of a person, summed
//! up when they come fast.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::{count, grouped, line, on};

/// Whether every call is named, however fast they come (`--all`).
static ALL: AtomicBool = AtomicBool::new(false);

/// From now on every call is named.
pub fn name_all() {
    ALL.store(true, Ordering::Relaxed);
}

/// Counts the calls of one kind; of a burst it names the first three, and sums up the rest.
#[derive(Debug)]
pub struct Commentary {
    call: &'static str,
    client: String,
    unit: &'static str,
    calls: u64,
    bytes: u64,
    burst: Burst,
}

/// How many calls of a burst are named one by one, unless its commentary has another number.
const NAMED: u64 = 3;

/// A call that comes so long after the one before it begins a new burst.
const PAUSE: Duration = Duration::from_millis(200);

/// Calls that come one after the other without a pause.
#[derive(Debug)]
struct Burst {
    /// How many of it are named.
    most: u64,
    calls: u64,
    last: Option<Instant>,
    /// Whether any call of any burst was not named.
    hid: bool,
}

/// What is said of a call.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    /// The call, and before it, how many of the last burst were not named.
    Named {
        unnamed: u64,
    },
    /// That it and those after it are not named.
    AndSoOn,
    Nothing,
}

impl Burst {
    /// One more call, at this time.
    fn call(&mut self, now: Instant) -> Said {
        let last = self.last.replace(now);
        let mut unnamed = 0;
        if last.is_some_and(|last| now.duration_since(last) >= PAUSE) {
            unnamed = self.calls.saturating_sub(self.most);
            self.calls = 0;
        }
        self.calls += 1;
        let over = self.calls.saturating_sub(self.most);
        self.hid |= over > 0;
        match over {
            0 => Said::Named { unnamed },
            1 => Said::AndSoOn,
            _ => Said::Nothing,
        }
    }
}

impl Commentary {
    /// The commentary on the system call named `call`.
    pub const fn of(call: &'static str) -> Commentary {
        let burst = Burst { most: NAMED, calls: 0, last: None, hid: false };
        let client = String::new();
        Commentary { call, unit: " calls", client, calls: 0, bytes: 0, burst }
    }

    /// The commentary on steps that are no system calls.
    pub const fn steps(step: &'static str) -> Commentary {
        let mut commentary = Commentary::of(step);
        commentary.unit = "";
        commentary
    }

    /// The same commentary, whose lines begin with `client`: a server has one for each
    /// client.
    #[must_use]
    pub fn with(mut self, client: &str) -> Commentary {
        if on() {
            self.client = format!("{client}: ");
        }
        self
    }

    /// The same commentary, which names `calls` calls of a burst instead of three.
    #[must_use]
    pub const fn naming(mut self, calls: u64) -> Commentary {
        self.burst.most = calls;
        self
    }

    /// One more call, that moved `bytes`; `text` is asked only if it will be said.
    #[inline]
    pub fn call<D: fmt::Display>(&mut self, bytes: usize, text: impl FnOnce() -> D) {
        if on() {
            self.count(bytes, text);
        }
    }

    /// Cold: what makes the texts stays out of the way of the code that is timed.
    #[cold]
    fn count<D: fmt::Display>(&mut self, bytes: usize, text: impl FnOnce() -> D) {
        if ALL.load(Ordering::Relaxed) {
            return self.always(bytes, text);
        }
        match self.burst.call(Instant::now()) {
            Said::Named { unnamed } => {
                if unnamed > 0 {
                    self.sum(&format!("{} more", grouped(unnamed)));
                }
                line(format_args!("{}{}", self.client, text()));
            }
            Said::AndSoOn => {
                line(format_args!("{}{}: … and so on", self.client, self.call));
            }
            Said::Nothing => {}
        }
        self.calls += 1;
        self.bytes += bytes as u64;
    }

    /// One more call, which is named however many came before it: the end of a stream, a
    /// goodbye.
    pub fn always<D: fmt::Display>(
        &mut self,
        bytes: usize,
        text: impl FnOnce() -> D,
    ) {
        if on() {
            self.again(bytes);
            line(format_args!("{}{}", self.client, text()));
        }
    }

    /// One more call, which goes on with what the last one did.
    pub fn again(&mut self, bytes: usize) {
        self.calls += 1;
        self.bytes += bytes as u64;
    }

    /// The last call moved `bytes` more: what is only known once it has returned.
    pub fn moved(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// What the last call returned. Its line was said before it, since it may sleep: so an error
    /// is said as well.
    ///
    /// # Errors
    /// That of `result`.
    pub fn returned<T>(&self, result: nix::Result<T>) -> nix::Result<T> {
        result.inspect_err(|error| {
            if on() {
                self.failed(*error);
            }
        })
    }

    #[cold]
    fn failed(&self, error: Errno) {
        let call = self.call.split(' ').next().unwrap_or_default();
        let why = match error {
            Errno::EPIPE => "nobody is there to read it",
            error => error.desc(),
        };
        line(format_args!("{}{call}() = {error:?}: {why}", self.client));
    }

    /// Says how many calls there were: `recv: 1,000 calls in all`.
    fn sum(&self, calls: &str) {
        let Commentary { client, call, unit, .. } = self;
        line(format_args!("{client}{call}: {calls}{unit}"));
    }
}

impl Drop for Commentary {
    fn drop(&mut self) {
        if self.burst.hid {
            let Commentary { client, call, unit, .. } = self;
            let calls = grouped(self.calls);
            let moved = match self.bytes {
                0 => String::new(),
                bytes => format!(", {}", count(bytes, "byte")),
            };
            line(format_args!("{client}{call}: {calls}{unit} in all{moved}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn burst() -> Burst {
        Burst { most: NAMED, calls: 0, last: None, hid: false }
    }

    #[test]
    fn every_call_that_comes_at_the_pace_of_a_person_is_named() {
        let (mut burst, start) = (burst(), Instant::now());
        for call in 0..1000 {
            let now = start + call * PAUSE;
            assert_eq!(burst.call(now), Said::Named { unnamed: 0 });
        }
        assert!(!burst.hid);
    }

    #[test]
    fn calls_that_come_fast_are_summed_up_and_the_next_burst_is_named_again() {
        let (mut burst, start) = (burst(), Instant::now());
        let said: Vec<Said> = (0..30).map(|_| burst.call(start)).collect();
        assert!(said[..3].iter().all(|said| *said == Said::Named { unnamed: 0 }));
        assert_eq!(said[3], Said::AndSoOn);
        assert!(said[4..].iter().all(|said| *said == Said::Nothing));
        assert!(burst.hid);
        assert_eq!(burst.call(start + PAUSE), Said::Named { unnamed: 27 });
        assert_eq!(burst.call(start + 2 * PAUSE), Said::Named { unnamed: 0 });
    }
}
