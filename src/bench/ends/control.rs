//! How the bench steers an end: one packet a command, one packet an answer, on descriptor 3.

use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};

use os::spawn;

/// The descriptor of the socket that leads to the bench.
pub const DESCRIPTOR: i32 = 3;
/// At most so many batches, or round trips, in a window: one packet has room for them.
pub const MOST_BATCHES: usize = 16_384;
/// As [`MOST_BATCHES`], of round trips that are timed one by one.
pub const MOST_TIMED: usize = 32_768;
/// Round trips in a batch: one reading of the clock for all of them.
pub const BATCH: usize = 16;

/// What an end is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Round trips for so long, timed in batches of [`BATCH`].
    Batches(Duration),
    /// Round trips for so long, each of them timed.
    Each(Duration),
    /// Messages one way for so long.
    Send(Duration),
    /// Nothing more.
    Quit,
}

impl Command {
    /// As it goes to the end.
    pub fn text(self) -> String {
        match self {
            Command::Batches(time) => format!("batches {}", time.as_millis()),
            Command::Each(time) => format!("each {}", time.as_millis()),
            Command::Send(time) => format!("send {}", time.as_millis()),
            Command::Quit => "quit".to_owned(),
        }
    }

    fn parse(text: &str) -> Result<Command> {
        let (word, time) = text.split_once(' ').unwrap_or((text, "0"));
        let time = time.parse().with_context(|| format!("a time: {text}"))?;
        let time = Duration::from_millis(time);
        Ok(match word {
            "batches" => Command::Batches(time),
            "each" => Command::Each(time),
            "send" => Command::Send(time),
            "quit" => Command::Quit,
            _ => bail!("no command of the bench: {text}"),
        })
    }
}

/// An end's socket to the bench.
#[derive(Debug)]
pub struct Control(OwnedFd);

impl Control {
    /// The socket that the bench gave us.
    ///
    /// # Errors
    /// When the bench did not give one: this program is not to be started by hand.
    pub fn inherited() -> Result<Control> {
        let socket = spawn::inherited(DESCRIPTOR);
        let socket =
            socket.context("descriptor 3: only `ipclab bench` starts this")?;
        Ok(Control(socket))
    }

    /// Sleeps until the next command; [`Command::Quit`] when the bench is gone.
    ///
    /// # Errors
    /// As recv(2).
    pub fn next(&self) -> Result<Command> {
        let mut bytes = [0; 64];
        loop {
            match recv(self.0.as_raw_fd(), &mut bytes, MsgFlags::empty()) {
                Ok(0) => return Ok(Command::Quit),
                Ok(n) => {
                    return Command::parse(&String::from_utf8_lossy(&bytes[..n]));
                }
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error).context("recv from the bench"),
            }
        }
    }

    /// Answers with `bytes`.
    ///
    /// # Errors
    /// As send(2).
    pub fn answer(&self, bytes: &[u8]) -> Result<()> {
        let sent = send(self.0.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL);
        sent.context("send to the bench").map(drop)
    }

    /// Answers with times in nanoseconds.
    ///
    /// # Errors
    /// As send(2).
    pub fn times(&self, times: &[u32]) -> Result<()> {
        let bytes: Vec<u8> =
            times.iter().flat_map(|time| time.to_ne_bytes()).collect();
        self.answer(&bytes)
    }
}
