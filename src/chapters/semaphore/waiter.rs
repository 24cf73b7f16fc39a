//! The role that takes.

use std::time::Duration;

use anyhow::Result;

use super::any::Semaphore;
use super::enter::enter;
use super::options::SemaphoreOptions;
use wire::meet::Rendezvous;
use wire::payload::{Payload, Printed, Style};
use wire::say;

// ANCHOR: waiter
/// Plays the role.
pub(super) fn wait<S: Semaphore>(
    rendezvous: &Rendezvous,
    options: &SemaphoreOptions,
    patience: Option<Duration>,
) -> Result<()> {
    let mut payload = Payload::new(Style::Lines)?;
    let mut here = enter::<S>(rendezvous, options)?;
    let value = here.semaphore.value()?;
    let mut told = u64::from(value) < options.times;
    if told {
        let waits = say::count(options.times, "wait");
        say::waiting(
            format_args!(
                "{waits} on a value of {value}: at 0 a wait sleeps until a post"
            ),
            &rendezvous.peer("poster"),
        );
    }
    if options.undo {
        say!("SEM_UNDO: the kernel gives back what we take when this process ends");
    }
    for number in 1..=options.times {
        // A semaphore does not say that its poster has died. The lock file does.
        let mut look = || {
            if !told && !here.presence.has_peers() {
                say::waiting(
                    "nobody else is here any more",
                    &rendezvous.peer("poster"),
                );
                told = true;
            }
        };
        here.semaphore.wait(patience, &mut look)?;
        // Beyond the first value, each take is a post of a role that was here.
        told &= number <= u64::from(value);
        let took = format!("took {number}");
        if payload.print(took.as_bytes())? == Printed::NoReader {
            break;
        }
    }
    say!("done: {}", say::count(payload.count(), "wait"));
    Ok(())
}
// ANCHOR_END: waiter
