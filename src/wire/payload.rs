//! What a receiver prints on standard output: the payload, and nothing else.

use std::io::IsTerminal;

use anyhow::Result;
use nix::errno::Errno;
use rustix::stdio::stdout;

use super::standard::{self, unprinted};
use super::transfer::write_all;
use super::visible::{self, visible_but};

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
    /// Standard output has no reader any more (`| head`): a quiet end.
    NoReader,
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
    /// ENOSPC and the like; EPIPE is [`Printed::NoReader`].
    pub fn print(&mut self, message: &[u8]) -> Result<Printed> {
        print(self.text(message))
    }

    /// The next message as it is printed, for a caller that writes it itself.
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
        Err(Errno::EPIPE) => Ok(Printed::NoReader),
        Err(error) => Err(unprinted(error)),
    }
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
