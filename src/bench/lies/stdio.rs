//! The lie of a famous benchmark: each message of its pipe goes through stdio, and comes
//! with a signal that announces it. What is timed is mostly the signal.

use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind, Read, Write};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::stdio::{stdin, stdout};

use super::runner::{Runner, median, pipe};
use super::tell::{LieReport, Line, Method, off, time};
use crate::ends;
use crate::ends::control::Control;
use crate::ends::exchange::Exchange;
use crate::job::Job;
use os::signal::{Set, sigwaitinfo};

const SIZE: u64 = 64;

/// Tells it.
pub(super) fn tell(runner: &mut Runner) -> Result<LieReport> {
    let cpus = runner.same();
    let [lie, buffers, plain] = runner.round_trips([
        pipe("lie:stdio", SIZE, cpus),
        pipe("lie:buffers", SIZE, cpus),
        pipe("pipe", SIZE, cpus),
    ])?;
    let (lie, buffers, plain) = (median(&lie), median(&buffers), median(&plain));
    let line = |by, figure, how| Line::new(by, "pipe, 64 B", time(figure), how);
    Ok(LieReport {
        title: "stdio: signals and stdio, timed together with the pipe",
        lines: vec![
            line(
                Method::Published,
                lie,
                "stdio, and SIGUSR1 to tell of each message",
            ),
            line(Method::Beside, buffers, "stdio alone, flushed after each message"),
            line(Method::Honest, plain, "one write and one read a message"),
        ],
        facts: vec![off(lie, plain)],
        why: "The read of a pipe sleeps until a message is there. This program sends a \
              signal beside each one, and waits for that first: kill and sigwait, two \
              more system calls a side, for nothing. It times a signal and calls it a \
              pipe. stdio's buffers, flushed each time, only add a copy.",
        see: "no tripwire: it does wait, once a round trip. Look at the code, or count: \
              strace -f -c shows four calls a message and side, not two.",
    })
}

/// Plays an end.
pub(super) fn play(job: &Job, control: &Control, signals: bool) -> Result<()> {
    ends::run(job, control, Stdio::open(job.size, signals)?)
}

/// A pipe's two ends through stdio.
struct Stdio {
    out: BufWriter<File>,
    into: BufReader<File>,
    size: usize,
    /// The process to signal, and the signals to wait for.
    signals: Option<(Pid, Set)>,
}

impl Stdio {
    fn open(size: usize, signals: bool) -> Result<Stdio> {
        let out = stdout().try_clone_to_owned().context("dup")?;
        let into = stdin().try_clone_to_owned().context("dup")?;
        let mut out = BufWriter::new(File::from(out));
        let mut into = BufReader::new(File::from(into));
        let mut other = None;
        if signals {
            let set = Set::of(&[libc::SIGUSR1]);
            // Before the other side knows our process ID.
            set.block().context("sigprocmask")?;
            out.write_all(&std::process::id().to_ne_bytes()).context("write")?;
            out.flush().context("write the pipe")?;
            let mut pid = [0; 4];
            into.read_exact(&mut pid).context("read the pipe")?;
            other = Some((Pid::from_raw(i32::from_ne_bytes(pid)), set));
        }
        Ok(Stdio { out, into, size, signals: other })
    }

    fn tell(&self) -> Result<()> {
        let Some((pid, _)) = &self.signals else { return Ok(()) };
        match kill(*pid, Signal::SIGUSR1) {
            // It has left already.
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => Err(error).context("kill"),
        }
    }
}

impl Exchange for Stdio {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        self.out.write_all(message).context("write the pipe")?;
        self.out.flush().context("write the pipe")?;
        self.tell()
    }

    fn recv(&mut self, bytes: &mut Vec<u8>) -> Result<bool> {
        if let Some((_, set)) = &self.signals {
            while let Err(error) = sigwaitinfo(set) {
                if error.kind() != ErrorKind::Interrupted {
                    return Err(error).context("sigwaitinfo");
                }
            }
        }
        bytes.resize(self.size, 0);
        match self.into.read_exact(bytes) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error).context("read the pipe"),
        }
    }

    fn finish(self) -> Result<()> {
        // A side that waits for a signal sees the end of the stream only after a signal.
        self.tell()
    }
}
