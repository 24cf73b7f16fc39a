//! Signals: which kill sent the one that came.

use super::super::event::Event;
use super::found::{Found, ORDER, UNSEEN};

/// What happened to one signal of one process or thread: in which event, and what siginfo
/// holds of it.
#[derive(Debug, Clone, Copy)]
pub(super) enum SignalStep<'a> {
    /// It was sent.
    Sent(usize, &'a str),
    /// It came.
    Received(usize, &'a str),
    /// Whatever was pending is not any more.
    Dropped(usize),
}

impl SignalStep<'_> {
    fn event(&self) -> usize {
        match self {
            SignalStep::Sent(event, _)
            | SignalStep::Received(event, _)
            | SignalStep::Dropped(event) => *event,
        }
    }
}

/// Whether a second one is lost while the first is pending: a standard signal.
fn is_merged(key: &str) -> bool {
    let number = key.rsplit(' ').next().and_then(|number| number.parse().ok());
    number.is_some_and(|number: i32| number < 32)
}

/// Joins each that came with the one that was sent first since the last time.
pub(super) fn paired(
    all: &[Event],
    key: &str,
    steps: &[SignalStep<'_>],
    found: &mut Found,
) {
    let end = |event: usize| all[event].end.unwrap_or(u64::MAX);
    let mut sent: Vec<(usize, &str)> = Vec::new();
    let mut out: Vec<SignalStep<'_>> = Vec::new();
    for step in steps {
        match step {
            SignalStep::Sent(event, said) => sent.push((*event, said)),
            other => out.push(*other),
        }
    }
    if sent.is_empty() {
        return;
    }
    sent.sort_by_key(|(event, _)| all[*event].begin);
    out.sort_by_key(|step| end(step.event()));
    for step in out {
        let at = step.event();
        let begun = sent.partition_point(|(from, _)| all[*from].begin < end(at));
        let candidates = &sent[..begun];
        if let SignalStep::Received(_, said) = step {
            let first = candidates.first();
            let next = candidates.get(1);
            let ordered = first
                .zip(next)
                .is_none_or(|((one, _), (other, _))| end(*one) <= all[*other].begin);
            match first {
                Some((from, what)) if ordered && *what == said => {
                    found.arrow(*from, at)
                }
                Some(_) if !ordered => found.doubt([at], ORDER),
                Some(_) => found.doubt([at], UNSEEN),
                None => {}
            }
        }
        // One that was still being sent may be pending now, or lost in the one that came.
        let past = |(from, _): &&(usize, &str)| end(*from) > all[at].begin;
        let rest: Vec<_> = match (is_merged(key), step) {
            (false, SignalStep::Received(..)) => {
                candidates.iter().skip(1).copied().collect()
            }
            (false, _) => Vec::new(),
            (true, _) => candidates.iter().skip(1).filter(past).copied().collect(),
        };
        sent.splice(..begun, rest);
    }
}
