//! What a handler may do.

use std::sync::Mutex;

use anyhow::Result;
use nix::sys::signal::{Signal, raise};
use syscalls::Sysno;

use crate::child::End;
use crate::row::{Experiment, Kind, Level, right, wrong};
use crate::stage::Stage;
use os::handlers;

pub(super) const LOCK_IN_HANDLER: Experiment = Experiment {
    name: "lock-in-handler",
    title: "A lock that a handler wants too",
    level: Level::Later,
    question: "A program holds a mutex, of the usual kind. A signal comes, and its \
               handler, on the same thread, locks the same mutex to add a line to a \
               shared list. Nothing is printed. What does the handler's lock do?",
    answers: &[
        wrong(
            "it waits until the program unlocks",
            "The main program is what the handler has interrupted. It runs again when \
             the handler returns.",
        ),
        wrong(
            "it returns an error like EDEADLK",
            "An error-checking pthread mutex would return EDEADLK. The usual kind, and \
             Rust's, waits.",
        ),
        right(
            "it waits and never gets the lock",
            "A mutex knows locked and unlocked, not which thread asks. It sleeps in \
             futex(2) until it is woken, and only its own thread could do that.",
        ),
    ],
    kind: Kind::Kernel,
    run: lock_in_handler,
    moral: "A handler may call what signal-safety(7) lists, and take no lock that the rest of \
            the program takes. malloc has one. Rust's println! re-enters its own lock, so it \
            does not hang, but interrupted in mid-write it may panic or mix its output.",
    see: "signal-safety(7)",
    file: file!(),
    shows: &["lock-in-handler"],
};

// ANCHOR: lock-in-handler
/// What the handler locks, to add the number of its signal.
static LINES: Mutex<Vec<i32>> = Mutex::new(Vec::new());

fn lock_in_handler(stage: &Stage) -> Result<usize> {
    let held = stage.fork("holds it", |_| {
        handlers::add_a_line(libc::SIGUSR1, &LINES)?;
        let lines = LINES.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
        raise(Signal::SIGUSR1)?; // returns once the handler has
        Ok(lines.len())
    })?;
    let hangs = held.until_asleep_in(&[Sysno::futex]).is_ok();
    stage.event("holds it", "sleeps in futex(), inside its handler");
    held.kill(Signal::SIGKILL)?;
    let hangs = hangs && held.end()? == End::Killed(Signal::SIGKILL);

    let free = stage.fork("does not", |_| {
        handlers::add_a_line(libc::SIGUSR1, &LINES)?;
        raise(Signal::SIGUSR1)?;
        Ok(LINES.lock().map_or(0, |lines| lines.len()))
    })?;
    let lines = free.join()?;
    stage.event("does not", format!("its handler has run: {lines} line"));
    stage.saw("with the mutex held, it hangs", hangs);
    stage.saw("without, lines", lines);
    Ok(if hangs { 3 } else { 1 })
}
// ANCHOR_END: lock-in-handler
