//! The loops around a one-way link: what to send, and where to put what arrives.

use std::ffi::OsString;
use std::io::{BufRead, IsTerminal, Read};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use rustix::stdio::{stderr, stdin};

use super::meet::Rendezvous;
use super::payload::{Payload, Printed, Style};
use super::say;
use super::standard::{self, Input};
use super::transfer;
use super::transport::{Receiver, Sender};
use crate::errors::{Advise, errno};

/// What a sender sends.
#[derive(Debug, Clone, clap::Args)]
pub struct MessageSource {
    /// Each argument is one message; without any, each line of standard input is one
    #[arg(value_name = "MESSAGE")]
    pub messages: Vec<OsString>,

    /// Send standard input as it is, in pieces of what the mechanism carries at once
    #[arg(long, conflicts_with = "messages")]
    pub bytes: bool,
}

/// What a receiver does with what arrives.
#[derive(Debug, Clone, clap::Args)]
pub struct Sink {
    /// Stop after at most N messages
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,

    /// Write exactly the bytes that were sent, without a newline after each message
    #[arg(long)]
    pub bytes: bool,

    /// Write one JSON object a message
    #[arg(long, conflicts_with = "bytes")]
    pub json: bool,
}

impl MessageSource {
    /// Whether it is standard input that is sent.
    pub fn reads_input(&self) -> bool {
        self.bytes || self.messages.is_empty()
    }
}

impl Sink {
    /// How the payload is written.
    pub fn style(&self) -> Style {
        match (self.bytes, self.json) {
            (true, _) => Style::Bytes,
            (_, true) => Style::Json,
            _ => Style::Lines,
        }
    }
}

/// Opens a link and sends all of `source` through it.
///
/// # Errors
/// A message that cannot travel (nothing of it is sent), a receiver that is gone.
pub fn send<S: Sender>(
    rendezvous: &Rendezvous,
    options: &S::Options,
    source: &MessageSource,
) -> Result<()> {
    // All arguments are checked before the first is sent, most even before we open.
    for message in &source.messages {
        S::check(options, message.as_bytes())?;
    }
    let done = S::is_done(options);
    if source.reads_input() && !done {
        standard::input()?;
    }
    let mut link = S::open(rendezvous, options)?;
    for message in &source.messages {
        let fits = within(link.largest(), message.len()).advise(|_| link.limit());
        if let Err(refused) = fits {
            link.abandon()?;
            return Err(refused);
        }
    }
    if source.reads_input() && !done {
        say::typing(!source.bytes);
    }
    let sent = if done { Ok(()) } else { send_all(&mut link, options, source) };
    let finished = link.finish();
    sent.and(finished)
}

fn send_all<S: Sender>(
    link: &mut S,
    options: &S::Options,
    source: &MessageSource,
) -> Result<()> {
    if source.bytes {
        return send_bytes(link);
    }
    if source.messages.is_empty() {
        return send_lines(link, options);
    }
    for (sent, message) in source.messages.iter().enumerate() {
        let all = source.messages.len();
        link.send(message.as_bytes()).map_err(|e| unsent(e, sent, Some(all)))?;
    }
    Ok(())
}

fn send_lines<S: Sender>(link: &mut S, options: &S::Options) -> Result<()> {
    let mut lines = Lines::new(Input::buffered()?);
    let mut line = Vec::new();
    while lines.next(&mut line, link.largest()).advise(|_| link.limit())? {
        let number = lines.number as usize;
        S::check(options, &line).with_context(|| format!("line {number}"))?;
        link.send(&line).map_err(|e| unsent(e, number - 1, None))?;
    }
    Ok(())
}

fn send_bytes<S: Sender>(link: &mut S) -> Result<()> {
    let stdin = standard::input()?;
    let mut buffer = vec![0; link.largest().min(link.block())];
    let mut progress = Progress::of_stdin();
    let mut sent = 0;
    loop {
        let n = transfer::read(stdin, &mut buffer).map_err(standard::unread)?;
        if n == 0 {
            return Ok(());
        }
        link.send(&buffer[..n]).map_err(|e| unsent(e, sent, None))?;
        progress.moved(n);
        sent += 1;
    }
}

/// Opens a link and prints what comes out of it.
///
/// # Errors
/// Those of the link, or of standard output (but EPIPE there is a quiet end).
pub fn receive<R: Receiver>(
    rendezvous: &Rendezvous,
    options: &R::Options,
    sink: &Sink,
) -> Result<()> {
    let mut payload = Payload::new(sink.style())?;
    let mut link = R::open(rendezvous, options)?;
    if link.moved_on(sink.bytes && sink.count.is_none())? {
        return Ok(());
    }
    let mut message = Vec::new();
    while sink.count.is_none_or(|most| payload.count() < most) {
        if !link.recv(&mut message)? {
            crate::say!("done: {} in all", messages(payload.count()));
            break;
        }
        if payload.print(&message)? == Printed::NoReader {
            break;
        }
    }
    Ok(())
}

/// Reads an option in seconds, fractions allowed, more than 0.
///
/// # Errors
/// What is wrong with it.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds")?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("it must be more than 0 seconds".into()),
    }
}

/// `1 message`, `2 messages`.
pub fn messages(count: u64) -> String {
    say::count(count, "message")
}

/// Refuses a message of `length` bytes where at most `largest` fit.
///
/// # Errors
/// When it is too long.
pub fn within(largest: usize, length: usize) -> Result<()> {
    if length > largest {
        let (length, largest) = (say::size(length), say::size(largest));
        bail!(
            "a message of {length} is too large: this link carries at most {largest}"
        );
    }
    Ok(())
}

/// Adds to an error how much had been handed over before it.
fn unsent(error: anyhow::Error, sent: usize, all: Option<usize>) -> anyhow::Error {
    use nix::errno::Errno;
    let gone = matches!(
        errno(&error),
        Some(Errno::EPIPE | Errno::ECONNRESET | Errno::ECONNREFUSED | Errno::ESRCH)
    );
    if !gone {
        return error;
    }
    let of = all.map_or(String::new(), |all| format!(" of {all}"));
    let messages = say::plural(all.unwrap_or(sent) as u64, "message");
    Err::<(), _>(error)
        .advise(|_| {
            Some(format!("the peer is gone; {sent}{of} {messages} handed over"))
        })
        .unwrap_err()
}

/// The lines of standard input, each at most as long as the link can carry.
#[derive(Debug)]
pub struct Lines<R> {
    input: R,
    /// The number of the last line returned, from 1.
    pub number: u64,
}

impl<R: BufRead> Lines<R> {
    /// The lines of `input`.
    pub fn new(input: R) -> Lines<R> {
        Lines { input, number: 0 }
    }

    /// Replaces `line` by the next one, without its newline; `false` at the end.
    ///
    /// # Errors
    /// A line of more than `largest` bytes, which is not read further than that.
    pub fn next(&mut self, line: &mut Vec<u8>, largest: usize) -> Result<bool> {
        line.clear();
        self.number += 1;
        let room = (largest as u64).saturating_add(2);
        let mut limited = (&mut self.input).take(room);
        limited.read_until(b'\n', line).context("read standard input")?;
        if line.is_empty() {
            return Ok(false);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        if line.len() > largest {
            let (number, largest) = (self.number, say::size(largest));
            bail!("line {number} is too large: this link carries at most {largest}");
        }
        Ok(true)
    }
}

/// A progress bar on a terminal's stderr, once something has taken two seconds.
#[derive(Debug)]
pub struct Progress {
    total: Option<u64>,
    moved: u64,
    since: Instant,
    bar: Option<ProgressBar>,
    wanted: bool,
}

impl Progress {
    /// The progress of reading standard input, whose size is known if it is a file.
    pub fn of_stdin() -> Progress {
        let about = nix::sys::stat::fstat(stdin()).ok();
        let total = about
            .filter(|about| about.st_mode & libc::S_IFMT == libc::S_IFREG)
            .map(|about| about.st_size as u64);
        let wanted = say::on() && stderr().is_terminal();
        Progress { total, moved: 0, since: Instant::now(), bar: None, wanted }
    }

    /// `bytes` more have been moved.
    pub fn moved(&mut self, bytes: usize) {
        self.moved += bytes as u64;
        if !self.wanted {
            return;
        }
        match &self.bar {
            Some(bar) => bar.set_position(self.moved),
            None if self.since.elapsed() > Duration::from_secs(2) => {
                self.bar = Some(self.show());
            }
            None => {}
        }
    }

    fn show(&self) -> ProgressBar {
        let (bar, style) = match self.total {
            Some(total) => (
                ProgressBar::new(total),
                "{bytes} of {total_bytes} {wide_bar} {bytes_per_sec} {eta}",
            ),
            None => {
                (ProgressBar::new_spinner(), "{spinner} {bytes} {bytes_per_sec}")
            }
        };
        bar.with_style(
            ProgressStyle::with_template(style).expect("a valid template"),
        )
        .with_elapsed(self.since.elapsed())
        .with_position(self.moved)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
