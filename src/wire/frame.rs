//! Where one message ends and the next begins, on a stream that knows only bytes.
//!
//! A pipe, a FIFO and a stream socket keep the order of the bytes and nothing else: two
//! writes may come out of one read, one write out of two. *Framing* is what both sides
//! agree on: a newline after each message, or its length before it, or nothing.

use std::ops::Range;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use clap::builder::ArgPredicate;

use super::say;

/// How messages are told apart on a byte stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Framing {
    /// Each message ends with a newline, so `echo`, `cat` and `nc` can be the peer
    Lines,
    /// A 4-byte big-endian length goes before each message
    Length,
    /// No boundaries: a message is whatever one read returned
    None,
}

/// The options of every chapter whose link is a stream of bytes.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Stream {
    /// How messages are told apart; `--bytes` implies `none`
    #[arg(long, value_enum, default_value = "lines")]
    #[arg(default_value_if("bytes", ArgPredicate::Equals("true".into()), "none"))]
    pub framing: Framing,

    /// The longest message that is sent or taken, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 20)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub max_message: u32,
}

/// How much one read of a link asks for, in bytes: what a pipe holds (pipe(7)).
pub const CHUNK: usize = 64 * 1024;

impl Stream {
    /// The longest message, in bytes.
    pub fn largest(&self) -> usize {
        self.max_message as usize
    }

    /// Refuses a message that this framing cannot carry.
    ///
    /// # Errors
    /// A newline within a line, an empty message without boundaries, one too long.
    pub fn check(&self, message: &[u8]) -> Result<()> {
        if message.len() > self.largest() {
            let (size, most) = (say::size(message.len()), self.max_message);
            bail!(
                "a message of {size} is over --max-message {most}; raise it there"
            );
        }
        match self.framing {
            Framing::Lines if message.contains(&b'\n') => {
                bail!("a line cannot carry a newline; --framing length can")
            }
            Framing::None if message.is_empty() => {
                bail!(
                    "without framing an empty message is nothing; use another --framing"
                )
            }
            _ => Ok(()),
        }
    }

    /// The first whole message in `bytes`: where it is, and where the next one begins;
    /// `None` when more must be read first. No newline comes before `searched`, which is
    /// moved on, so that no byte is looked at twice.
    ///
    /// # Errors
    /// A message over the limit, refused before any memory is taken for it.
    pub fn first(
        &self,
        bytes: &[u8],
        searched: &mut usize,
    ) -> Result<Option<(Range<usize>, usize)>> {
        match self.framing {
            Framing::None if bytes.is_empty() => Ok(None),
            Framing::None => Ok(Some((0..bytes.len(), bytes.len()))),
            Framing::Lines => {
                let new = &bytes[*searched..];
                let Some(place) = new.iter().position(|byte| *byte == b'\n') else {
                    *searched = bytes.len();
                    self.within_limit(bytes.len())?;
                    return Ok(None);
                };
                let length = *searched + place;
                *searched = 0;
                self.within_limit(length)?;
                Ok(Some((0..length, length + 1)))
            }
            Framing::Length => {
                let Some((head, rest)) = bytes.split_first_chunk::<4>() else {
                    return Ok(None);
                };
                let length = u32::from_be_bytes(*head) as usize;
                self.within_limit(length)?;
                let whole = rest.len() >= length;
                Ok(whole.then_some((4..4 + length, 4 + length)))
            }
        }
    }

    fn within_limit(&self, length: usize) -> Result<()> {
        if length > self.largest() {
            return Err(anyhow::anyhow!(
                "the peer sends a message of {length} bytes"
            ))
            .context(format!("over --max-message {}", self.max_message));
        }
        Ok(())
    }

    /// The message as it goes on the wire; `scratch` holds it where bytes are added.
    pub fn frame<'a>(
        &self,
        message: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> &'a [u8] {
        if self.framing == Framing::None {
            return message;
        }
        scratch.clear();
        scratch.extend_from_slice(message);
        self.frame_in_place(scratch);
        scratch
    }

    /// As [`Stream::frame`], in the message's own memory.
    pub fn frame_in_place(&self, message: &mut Vec<u8>) {
        match self.framing {
            Framing::None => {}
            Framing::Lines => message.push(b'\n'),
            Framing::Length => {
                let length = message.len() as u32;
                message.splice(..0, length.to_be_bytes());
            }
        }
    }
}

/// Puts messages together again from what the reads return.
///
/// ```
/// use ipclab::wire::frame::{Framing, Incoming, Stream};
///
/// let lines = Stream { framing: Framing::Lines, max_message: 80 };
/// let mut incoming = Incoming::new(&lines);
/// incoming.space()[..8].copy_from_slice(b"one\ntwo\n"); // one read, two messages
/// incoming.filled(8);
///
/// let mut message = Vec::new();
/// assert!(incoming.next(&mut message)? && message == b"one");
/// assert!(incoming.next(&mut message)? && message == b"two");
/// assert!(!incoming.next(&mut message)?); // read again
/// # anyhow::Ok(())
/// ```
#[derive(Debug)]
pub struct Incoming {
    stream: Stream,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// No newline before this index: bytes already looked at are not looked at again.
    searched: usize,
    cut_short: bool,
    /// How much a read asks for.
    chunk: usize,
}

impl Incoming {
    /// Nothing has arrived yet.
    pub fn new(stream: &Stream) -> Incoming {
        let buffer = vec![0; CHUNK];
        Incoming {
            stream: *stream,
            buffer,
            start: 0,
            end: 0,
            searched: 0,
            cut_short: false,
            chunk: CHUNK,
        }
    }

    /// From now on a read asks for `bytes` bytes, if they are more than [`CHUNK`].
    pub fn asks_for(&mut self, bytes: usize) {
        self.chunk = bytes.max(CHUNK);
    }

    /// Forgets what has arrived, and memory that a long message took: the next message is
    /// another stream's.
    pub fn reset(&mut self) {
        self.buffer.truncate(CHUNK);
        self.buffer.shrink_to(CHUNK);
        (self.start, self.end, self.searched) = (0, 0, 0);
        self.cut_short = false;
        self.chunk = CHUNK;
    }

    /// Room for the next read, at least [`CHUNK`] bytes where memory is already there.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start > 0 && self.start == self.end {
            (self.start, self.end, self.searched) = (0, 0, 0);
        }
        if self.buffer.len() - self.end < self.chunk / 2 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.searched = self.searched.saturating_sub(self.start);
            self.start = 0;
            if self.buffer.len() - self.end < self.chunk / 2 {
                // Grows by what has really arrived, never by what a peer announced.
                let larger = (self.buffer.len() * 2).max(self.chunk);
                self.buffer.resize(larger, 0);
            }
        }
        &mut self.buffer[self.end..]
    }

    /// The read put `bytes` bytes into [`Incoming::space`].
    pub fn filled(&mut self, bytes: usize) {
        self.end = (self.end + bytes).min(self.buffer.len());
    }

    /// Replaces `message` by the next whole one; `false` when more must be read first.
    ///
    /// # Errors
    /// A message over the limit, refused before any memory is taken for it.
    pub fn next(&mut self, message: &mut Vec<u8>) -> Result<bool> {
        let here = &self.buffer[self.start..self.end];
        match self.stream.framing {
            Framing::None => {
                if here.is_empty() {
                    return Ok(false);
                }
                if self.start == 0 && here.len() > CHUNK / 2 {
                    // The two buffers change places, which is cheaper than to copy.
                    std::mem::swap(message, &mut self.buffer);
                    message.truncate(self.end);
                    self.buffer.resize(self.chunk, 0);
                } else {
                    message.clear();
                    message.extend_from_slice(here);
                }
                (self.start, self.end) = (0, 0);
                Ok(true)
            }
            Framing::Lines | Framing::Length => {
                let mut searched = self.searched.max(self.start) - self.start;
                let first = self.stream.first(here, &mut searched)?;
                let Some((place, end)) = first else {
                    self.searched = self.start + searched;
                    return Ok(false);
                };
                message.clear();
                message.extend_from_slice(&here[place]);
                self.start += end;
                self.searched = self.start;
                Ok(true)
            }
        }
    }

    /// The stream has ended: an unterminated last line is a message, half a frame is not.
    ///
    /// # Errors
    /// A frame that the end of the stream cut short.
    pub fn at_end(&mut self, message: &mut Vec<u8>) -> Result<bool> {
        let left = self.end - self.start;
        if left == 0 {
            return Ok(false);
        }
        if self.stream.framing == Framing::Length {
            let got = say::size(left);
            bail!("the stream ended within a message: only {got} of it came");
        }
        message.clear();
        message.extend_from_slice(&self.buffer[self.start..self.end]);
        self.start = self.end;
        self.cut_short = self.stream.framing == Framing::Lines;
        Ok(true)
    }

    /// Whether the last message was a line that ended with the stream, without a newline:
    /// who echoes it to the byte must not add one.
    pub fn is_cut_short(&self) -> bool {
        self.cut_short
    }
}
