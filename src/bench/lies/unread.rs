//! The lie of the receiver that receives nothing: it looks at a message's first bytes, and
//! lets the kernel throw the rest away.

use std::fs::File;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{SpliceFFlags, splice};
use nix::unistd::read;
use rustix::stdio::{stdin, stdout};

use super::runner::{PairPlan, Runner, pipe};
use super::tell::{LieReport, Line, Method, off};
use crate::ends;
use crate::ends::control::Control;
use crate::ends::exchange::Exchange;
use crate::job::{Job, Mode, Side};
use crate::model::Unit;
use crate::pair::OneWayWindow;
use crate::report::units;
use crate::spread;
use wire::say::grouped;
use wire::transfer::write_all;

const SIZE: u64 = 64 << 10;
/// What the receiver looks at: the number of the message.
const HEADER: usize = 8;
const WINDOW: Duration = Duration::from_millis(30);
/// How often each of the two runs.
const TURNS: usize = 4;

/// Tells it.
pub(super) fn tell(runner: &mut Runner) -> Result<LieReport> {
    let cpus = runner.same();
    let one_way = |name| PairPlan { mode: Mode::Oneway, ..pipe(name, SIZE, cpus) };
    let mut lie = runner.start(one_way("lie:unread"))?;
    let mut plain = runner.start(one_way("pipe"))?;
    for pair in [&mut lie, &mut plain] {
        pair.one_way(WINDOW, runner.stop)?;
    }
    let (mut unread, mut read) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        unread.push(lie.one_way(WINDOW, runner.stop)?);
        read.push(plain.one_way(WINDOW, runner.stop)?);
    }
    lie.quit(runner.stop)?;
    plain.quit(runner.stop)?;
    let (published, honest) = (rate(&unread), rate(&read));
    let figure = |rate| units::figure(rate, Unit::BytesPerSecond);
    let line = |by, rate, how| Line::new(by, "pipe, 64 KiB", figure(rate), how);
    Ok(LieReport {
        title: "unread: a throughput of bytes that nobody reads",
        lines: vec![
            line(
                Method::Published,
                published,
                "8 bytes read, the rest spliced away",
            ),
            line(Method::Honest, honest, "every byte read, and checked"),
        ],
        facts: vec![
            off(published, honest),
            format!("published bytes read: {}", counted(&unread)),
            format!("honest bytes read: {}", counted(&read)),
        ],
        why: "splice(2) to /dev/null drops the pipe's pages unread: there is no second \
              copy, and nobody looks. Shared memory whose receiver reads an index and \
              no message is the same lie, and has no limit: twice the size is twice \
              the figure.",
        see: "the bytes that the receiver counts, not the sender. Or spoil one byte in \
              the middle of a message: an honest receiver must fail. A throughput that \
              grows with the size for ever, past memcpy, is the sign.",
    })
}

/// Bytes per second, as one would publish them.
fn rate(all: &[OneWayWindow]) -> f64 {
    let rates: Vec<f64> = all
        .iter()
        .map(|moved| (moved.messages * SIZE) as f64 * 1e9 / moved.nanoseconds as f64)
        .collect();
    spread::median(&rates)
}

fn counted(all: &[OneWayWindow]) -> String {
    let sent: u64 = all.iter().map(|moved| moved.messages * SIZE).sum();
    let read: u64 = all.iter().map(|moved| moved.bytes).sum();
    format!("{} of {}", grouped(read), grouped(sent))
}

/// Plays an end: the sender sends all, the receiver counts what it looks at.
pub(super) fn play(job: &Job, control: &Control) -> Result<()> {
    let size = if job.side == Side::B { HEADER } else { job.size };
    let out = stdout().try_clone_to_owned().context("dup")?;
    let into = stdin().try_clone_to_owned().context("dup")?;
    let nowhere = File::options().write(true).open("/dev/null");
    let end = Unread {
        out: out.into(),
        into: into.into(),
        nowhere: nowhere.context("open /dev/null")?,
        rest: job.size.checked_sub(HEADER).context("too small a message")?,
    };
    ends::run(&Job { size, ..job.clone() }, control, end)
}

/// A pipe's two ends, one of which looks at the first bytes of each message alone.
struct Unread {
    out: File,
    into: File,
    nowhere: File,
    /// How many bytes of a message are thrown away.
    rest: usize,
}

impl Exchange for Unread {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        write_all(&self.out, message).context("write the pipe")
    }

    fn recv(&mut self, bytes: &mut Vec<u8>) -> Result<bool> {
        bytes.resize(HEADER, 0);
        let mut got = 0;
        while got < HEADER {
            match read(&self.into, &mut bytes[got..]) {
                Ok(0) => return Ok(false),
                Ok(n) => got += n,
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error).context("read the pipe"),
            }
        }
        let mut left = self.rest;
        while left > 0 {
            let flags = SpliceFFlags::empty();
            match splice(&self.into, None, &self.nowhere, None, left, flags) {
                Ok(0) => bail!("the pipe ended within a message"),
                Ok(n) => left -= n,
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error).context("splice"),
            }
        }
        Ok(true)
    }

    fn finish(self) -> Result<()> {
        Ok(())
    }
}
