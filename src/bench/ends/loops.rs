//! The loops of the four kinds of end. All that happens between two readings of the clock
//! is here, in the chapter's own `send` and `recv`, and in the check of what came.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::control::{BATCH, Command, Control, MOST_BATCHES, MOST_TIMED};
use super::exchange::Exchange;
use super::payload::{Check, LAST, Outgoing};
use crate::job::OTHER_LEFT;

// ANCHOR: loops
/// The end that asks: a message there, its answer back, again and again.
///
/// # Errors
/// As the mechanism's; an answer that is not what was sent.
pub(super) fn ask(
    mut end: impl Exchange,
    size: usize,
    mut check: Check,
    control: &Control,
) -> Result<()> {
    let (mut outgoing, mut bytes) = (Outgoing::new(size), Vec::new());
    let mut round_trip = || -> Result<()> {
        end.send(outgoing.next(0))?;
        let answered = check.messages;
        while check.messages == answered {
            if !end.recv(&mut bytes)? {
                bail!(OTHER_LEFT);
            }
            check.take(&bytes);
        }
        Ok(())
    };
    let mut times = Vec::with_capacity(MOST_TIMED);
    loop {
        let (window, batch, most) = match control.next()? {
            Command::Batches(window) => (window, BATCH, MOST_BATCHES),
            Command::Each(window) => (window, 1, MOST_TIMED),
            Command::Send(_) => bail!("this end asks"),
            Command::Quit => break,
        };
        times.clear();
        let began = Instant::now();
        let mut last = began;
        while times.len() < most && last - began < window {
            for _ in 0..batch {
                round_trip()?;
            }
            let now = Instant::now();
            times.push(nanoseconds(now - last) as u32);
            last = now;
        }
        control.times(&times)?;
    }
    control.answer(format!("bad {}", check.bad).as_bytes())?;
    end.finish()
}

/// The end that answers: each message that has come whole is answered by one.
///
/// # Errors
/// As the mechanism's; a message that is not what was sent.
pub(super) fn answer(
    mut end: impl Exchange,
    size: usize,
    mut check: Check,
) -> Result<()> {
    let (mut outgoing, mut bytes) = (Outgoing::new(size), Vec::new());
    let mut answered = 0;
    while end.recv(&mut bytes)? {
        check.take(&bytes);
        while answered < check.messages {
            end.send(outgoing.next(0))?;
            answered += 1;
        }
        if check.bad > 0 {
            bail!("message {} is not what was sent", check.messages);
        }
    }
    end.finish()
}

/// The end that sends, as fast as it can.
///
/// # Errors
/// As the mechanism's.
pub(super) fn send(
    mut end: impl Exchange,
    size: usize,
    control: &Control,
) -> Result<()> {
    let mut outgoing = Outgoing::new(size);
    // One reading of the clock for at least 64 KiB.
    let batch = (65_536 / size.max(1)).max(1);
    loop {
        let window = match control.next()? {
            Command::Send(window) => window,
            Command::Quit => break,
            _ => bail!("this end sends"),
        };
        let (began, mut sent) = (Instant::now(), 0);
        while began.elapsed() < window {
            for _ in 0..batch {
                end.send(outgoing.next(0))?;
            }
            sent += batch;
        }
        end.send(outgoing.next(LAST))?;
        let took = nanoseconds(began.elapsed());
        control.answer(format!("{} {took}", sent + 1).as_bytes())?;
    }
    control.answer(b"bad 0")?;
    end.finish()
}

/// The end that receives: it reads every byte, and counts.
///
/// # Errors
/// As the mechanism's.
pub(super) fn receive(
    mut end: impl Exchange,
    mut check: Check,
    control: &Control,
) -> Result<()> {
    let mut bytes = Vec::new();
    while end.recv(&mut bytes)? {
        // A window begins when its first bytes are here, and ends with its last message.
        // (What the link held by then counts as well: a full pipe or ring, at most.)
        let (began, before) = (Instant::now(), check.messages);
        let mut read = bytes.len();
        check.take(&bytes);
        while !check.last {
            if !end.recv(&mut bytes)? {
                return Ok(());
            }
            read += bytes.len();
            check.take(&bytes);
        }
        let took = nanoseconds(began.elapsed());
        let messages = check.messages - before;
        let report = format!("{messages} {read} {took} {}", check.bad);
        control.answer(report.as_bytes())?;
        check.last = false;
    }
    end.finish()
}
// ANCHOR_END: loops

/// A time in whole nanoseconds; at most 4.29 s, which no window is.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).min(u64::from(u32::MAX))
}
