//! What a receiver prints on standard output: the payload, and nothing else.

use std::io::IsTerminal;
use std::os::fd::{AsFd, AsRawFd};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{MsgFlags, send};
use rustix::stdio::stdout;

use super::standard;
use super::visible::{self, visible_but};
use crate::errors::Advise;

/// How messages are written to standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// One message a line.
    Lines,
    /// The messages' bytes alone.
    Bytes,
    /// One JSON object a message: its number from 1, its length in bytes, and `text`,
    /// or `hex` where it is not UTF-8.
    Json,
}

/// Standard output, as the place of the payload.
#[derive(Debug)]
pub struct Payload {
    style: Style,
    terminal: bool,
    count: u64,
    scratch: Vec<u8>,
}

/// What became of a message that was to be printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Printed {
    /// It is on standard output.
    Yes,
    /// Nobody reads standard output any more (`| head`): a quiet end.
    NobodyReads,
}

impl Payload {
    /// Standard output, written in `style`. Asked for before anything is received: what
    /// comes is not to be lost.
    ///
    /// # Errors
    /// As [`standard::output`].
    pub fn new(style: Style) -> Result<Payload> {
        let terminal = standard::output()?.is_terminal();
        Ok(Payload { style, terminal, count: 0, scratch: Vec::new() })
    }

    /// How many messages have been printed.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The next message has this number, where other processes count on as well.
    pub fn next_is(&mut self, number: u64) {
        self.count = number.saturating_sub(1);
    }

    /// Prints one message, at once: nothing is held back that a signal could lose.
    ///
    /// # Errors
    /// ENOSPC and the like; EPIPE is [`Printed::NobodyReads`].
    pub fn print(&mut self, message: &[u8]) -> Result<Printed> {
        print(self.text(message))
    }

    /// The next message as it is printed, for one who writes it himself.
    pub fn text<'a>(&'a mut self, message: &'a [u8]) -> &'a [u8] {
        self.count += 1;
        self.scratch.clear();
        match self.style {
            // A stranger may send escape sequences that reprogram a terminal.
            Style::Bytes if !self.terminal => message,
            Style::Bytes => {
                escape(message, &mut self.scratch);
                &self.scratch
            }
            Style::Lines => {
                if self.terminal {
                    escape(message, &mut self.scratch);
                } else {
                    self.scratch.extend_from_slice(message);
                }
                self.scratch.push(b'\n');
                &self.scratch
            }
            Style::Json => {
                let mut object = serde_json::json!({
                    "number": self.count,
                    "length": message.len(),
                });
                match std::str::from_utf8(message) {
                    Ok(text) => object["text"] = text.into(),
                    Err(_) => object["hex"] = hex(message).into(),
                }
                self.scratch.extend_from_slice(visible::json(&object).as_bytes());
                self.scratch.push(b'\n');
                &self.scratch
            }
        }
    }
}

/// Prints `text` on standard output, all of it.
///
/// # Errors
/// As [`Payload::print`].
pub fn print(text: &[u8]) -> Result<Printed> {
    match write_all(stdout(), text) {
        Ok(()) => Ok(Printed::Yes),
        Err(Errno::EPIPE) => Ok(Printed::NobodyReads),
        Err(error) => Err(unprinted(error)),
    }
}

/// Why standard output took no more. The way out is not another meeting place.
pub fn unprinted(error: Errno) -> anyhow::Error {
    let failed = Err::<(), _>(error).context("write standard output");
    let failed = failed.advise(|_| match error {
        Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG => {
            Some("there is no room for more in the file that it goes to")
        }
        Errno::EBADF => Some("it is closed, or open for reading only"),
        _ => None,
    });
    failed.expect_err("it is one")
}

/// write(2) until all of `bytes` is written: a pipe or socket may take a part, and where
/// O_NONBLOCK is set, nothing for now.
///
/// # Errors
/// As write(2); EINTR is tried again.
pub fn write_all(to: impl AsFd, bytes: &[u8]) -> nix::Result<()> {
    in_parts(to, bytes, |to, bytes| nix::unistd::write(to, bytes))
}

/// As [`write_all`], by send(2), which a socket takes in less time: write(2) goes through the
/// checks for all files first. EPIPE raises no SIGPIPE.
///
/// # Errors
/// As send(2); EINTR is tried again.
pub fn send_all(to: impl AsFd, bytes: &[u8]) -> nix::Result<()> {
    in_parts(to, bytes, |to, bytes| {
        send(to.as_fd().as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL)
    })
}

#[inline]
fn in_parts<T: AsFd>(
    to: T,
    mut bytes: &[u8],
    call: impl Fn(&T, &[u8]) -> nix::Result<usize>,
) -> nix::Result<()> {
    while !bytes.is_empty() {
        match call(&to, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => standard::until_ready(&to, PollFlags::POLLOUT)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Control characters become visible; newline and tab are left alone, and so is UTF-8.
fn escape(message: &[u8], out: &mut Vec<u8>) {
    out.extend(visible_but(message, "\n\t").into_bytes());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(any(test, fuzzing))]
#[path = "../../tests/fuzz/targets/escape.rs"]
pub(crate) mod fuzz;

#[cfg(test)]
mod tests {
    #[test]
    fn a_terminal_never_gets_an_escape_character() {
        let mut out = Vec::new();
        super::escape("a\x1b[2Jé\n\t".as_bytes(), &mut out);
        assert_eq!(out, "a\\x1b[2Jé\n\t".as_bytes());
        out.clear();
        super::escape(b"\xff\x9b", &mut out);
        assert_eq!(out, br"\xff\x9b");
    }
}
