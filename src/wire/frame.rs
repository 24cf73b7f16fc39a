//! Where one message ends and the next begins, on a stream that knows only bytes.
//!
//! A pipe, a FIFO and a stream socket keep the order of the bytes and nothing else: two
//! writes may come out of one read, one write out of two. *Framing* is what both sides
//! agree on: a newline after each message, or its length before it, or nothing.

use std::ops::Range;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use clap::builder::ArgPredicate;
use rustix::buffer::{SpareCapacity, spare_capacity};

use super::say;
use crate::errors::Advise;
use os::memory;

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
pub struct FramingOptions {
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

/// Whether these bytes look like typed text: no length of less than 512 MiB does.
fn is_text(head: &[u8; 4]) -> bool {
    head.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t' | b'\n'))
}

/// Why what begins with text is no message with a length before it.
fn framing_differs(bytes: &[u8]) -> anyhow::Error {
    anyhow::anyhow!(
        "framing differs: a length was expected, and what came begins with {}; give both \
         roles the same --framing",
        say::bytes(&bytes[..4])
    )
}

impl FramingOptions {
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
                let Some(newline) = new.iter().position(|byte| *byte == b'\n')
                else {
                    *searched = bytes.len();
                    self.within_limit(bytes.len())?;
                    return Ok(None);
                };
                let length = *searched + newline;
                *searched = 0;
                self.within_limit(length)?;
                Ok(Some((0..length, length + 1)))
            }
            Framing::Length => {
                let Some((head, rest)) = bytes.split_first_chunk::<4>() else {
                    return Ok(None);
                };
                let length = u32::from_be_bytes(*head) as usize;
                self.within_limit(length).map_err(|error| match is_text(head) {
                    true => framing_differs(head),
                    false => error,
                })?;
                let whole = rest.len() >= length;
                Ok(whole.then_some((4..4 + length, 4 + length)))
            }
        }
    }

    /// What to say of the last bytes of a stream that the peer did not frame as we do.
    pub fn remark(&self, last: &[u8]) -> Option<&'static str> {
        let (head, rest) = last.split_first_chunk::<4>()?;
        let length = u32::from_be_bytes(*head) as usize;
        let framed = self.framing == Framing::Lines && head[0] == 0;
        (framed && length <= rest.len()).then_some(
            "framing differs: what came begins with 4 bytes of a length; give both roles the \
             same --framing",
        )
    }

    fn within_limit(&self, length: usize) -> Result<()> {
        if length > self.largest() {
            return Err(anyhow::anyhow!(
                "the peer sends a message of {length} bytes"
            ))
            .context(format!("over --max-message {}", self.max_message));
        }
        fits_in_memory(length)
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

    /// As [`FramingOptions::frame`], in the message's own memory.
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

/// How many times its length a message may take while it is printed and answered: with each
/// byte as an escape, in JSON, and framed.
const COPIES: usize = 8;

/// Refuses a message of `length` bytes for which there is no memory, before it is needed.
///
/// # Errors
/// ENOMEM.
pub fn fits_in_memory(length: usize) -> Result<()> {
    // What is short fits into what is kept spare.
    if length <= CHUNK || memory::is_there(length.saturating_mul(COPIES)) {
        return Ok(());
    }
    Err(nix::errno::Errno::ENOMEM)
        .with_context(|| format!("malloc for a message of {}", say::size(length)))
        .advise(|_| Some("ulimit -v raises RLIMIT_AS"))
}

/// Puts messages together again from what the reads return.
///
/// ```
/// use ipclab_wire::frame::{Framing, FramingOptions, ReassemblyBuffer};
///
/// let lines = FramingOptions { framing: Framing::Lines, max_message: 80 };
/// let mut incoming = ReassemblyBuffer::new(&lines);
/// let n = rustix::io::read(&pipe_with(b"one\ntwo\n")?, incoming.space()?)?;
/// assert_eq!(incoming.newest(n), b"one\ntwo\n"); // one read, two messages
///
/// let mut message = Vec::new();
/// assert!(incoming.next(&mut message)? && message == b"one");
/// assert!(incoming.next(&mut message)? && message == b"two");
/// assert!(!incoming.next(&mut message)?); // read again
/// # use std::io::Write;
/// # fn pipe_with(bytes: &[u8]) -> std::io::Result<std::io::PipeReader> {
/// #     let (reading, mut writing) = std::io::pipe()?;
/// #     writing.write_all(bytes).map(|()| reading)
/// # }
/// # anyhow::Ok(())
/// ```
#[derive(Debug)]
pub struct ReassemblyBuffer {
    stream: FramingOptions,
    /// What has arrived. A read goes into the memory after it, which nothing has filled
    /// before: zeros would cost as much as the copy out of the kernel.
    buffer: Vec<u8>,
    /// What comes before this index was taken.
    start: usize,
    /// No newline before this index: bytes already looked at are not looked at again.
    searched: usize,
    ended: bool,
    unterminated: bool,
    /// How much a read asks for.
    chunk: usize,
}

impl ReassemblyBuffer {
    /// Nothing has arrived yet, and no memory is taken before something does.
    pub fn new(stream: &FramingOptions) -> ReassemblyBuffer {
        ReassemblyBuffer {
            stream: *stream,
            buffer: Vec::new(),
            start: 0,
            searched: 0,
            ended: false,
            unterminated: false,
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
        self.empty();
        self.buffer.shrink_to(CHUNK);
        (self.ended, self.unterminated) = (false, false);
        self.chunk = CHUNK;
    }

    fn empty(&mut self) {
        self.buffer.clear();
        (self.start, self.searched) = (0, 0);
    }

    /// Room for the next read, [`CHUNK`] bytes or more where nothing waits before it.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn space(&mut self) -> nix::Result<SpareCapacity<'_, u8>> {
        if self.start == self.buffer.len() {
            self.empty();
            memory::reserve(&mut self.buffer, self.chunk)?;
        }
        if self.buffer.capacity() - self.buffer.len() < CHUNK / 2 {
            self.buffer.drain(..self.start);
            self.searched = self.searched.saturating_sub(self.start);
            self.start = 0;
            // Grows by what has really arrived, never by what a peer announced.
            memory::reserve(&mut self.buffer, CHUNK / 2)?;
        }
        Ok(spare_capacity(&mut self.buffer))
    }

    /// What the last read put into [`ReassemblyBuffer::space`]: `bytes` bytes.
    pub fn newest(&self, bytes: usize) -> &[u8] {
        &self.buffer[self.buffer.len() - bytes..]
    }

    /// Adds what was read elsewhere.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn add(&mut self, bytes: &[u8]) -> nix::Result<()> {
        self.space()?;
        memory::reserve(&mut self.buffer, bytes.len())?;
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Replaces `message` by the next whole one; `false` when more must be read first.
    /// Then `message` is of no use: it may be its memory that is read into.
    ///
    /// # Errors
    /// A message over the limit, refused before any memory is taken for it.
    pub fn next(&mut self, message: &mut Vec<u8>) -> Result<bool> {
        if self.stream.framing == Framing::None {
            return Ok(self.next_read(message));
        }
        let here = &self.buffer[self.start..];
        let mut searched = self.searched.max(self.start) - self.start;
        let first = self.stream.first(here, &mut searched)?;
        let Some((range, end)) = first else {
            self.searched = self.start + searched;
            return Ok(false);
        };
        message.clear();
        message.extend_from_slice(&here[range]);
        self.start += end;
        self.searched = self.start;
        Ok(true)
    }

    /// What one read returned is the message, so nothing is copied: the two change places,
    /// before the read and after it, and it goes into the message's own memory.
    fn next_read(&mut self, message: &mut Vec<u8>) -> bool {
        let arrived = !self.buffer.is_empty();
        if arrived || message.capacity() > self.buffer.capacity() {
            std::mem::swap(message, &mut self.buffer);
            self.buffer.clear();
        }
        arrived
    }

    /// The stream has ended: an unterminated last line is a message, half a frame is not.
    ///
    /// # Errors
    /// A frame that the end of the stream cut short.
    pub fn at_end(&mut self, message: &mut Vec<u8>) -> Result<bool> {
        self.ended = true;
        let left = &self.buffer[self.start..];
        if left.is_empty() {
            return Ok(false);
        }
        if self.stream.framing == Framing::Length {
            if left.first_chunk::<4>().is_some_and(is_text) {
                return Err(framing_differs(left));
            }
            let got = say::size(left.len());
            bail!("the stream ended within a message: only {got} of it came");
        }
        if let Some(remark) = self.stream.remark(left) {
            crate::say!("{remark}");
        }
        message.clear();
        message.extend_from_slice(left);
        self.empty();
        self.unterminated = self.stream.framing == Framing::Lines;
        Ok(true)
    }

    /// Whether the stream has ended; it is not read again.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether the last message was a line that ended with the stream, without a newline: a
    /// server that echoes it to the byte must not add one.
    pub fn is_unterminated(&self) -> bool {
        self.unterminated
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use rustix::io::read;

    use super::{CHUNK, Framing, FramingOptions, ReassemblyBuffer};

    #[test]
    fn without_framing_a_read_goes_into_the_memory_of_the_callers_message() {
        let (pipe, mut writing) = std::io::pipe().unwrap();
        let stream = FramingOptions { framing: Framing::None, max_message: 1 };
        let mut incoming = ReassemblyBuffer::new(&stream);
        let mut message = Vec::with_capacity(2 * CHUNK);
        let memory = message.as_ptr();
        for text in [&b"one"[..], b"three"] {
            assert!(!incoming.next(&mut message).unwrap());
            writing.write_all(text).unwrap();
            let n = read(&pipe, incoming.space().unwrap()).unwrap();
            assert_eq!(incoming.newest(n), text);
            assert!(incoming.next(&mut message).unwrap() && message == text);
            assert_eq!(message.as_ptr(), memory);
        }
        assert_eq!(incoming.buffer.capacity(), 0, "it has none of its own");
    }

    #[test]
    fn a_long_line_grows_the_buffer_and_a_reset_gives_it_back() {
        let lines = FramingOptions { framing: Framing::Lines, max_message: 1 << 20 };
        let mut incoming = ReassemblyBuffer::new(&lines);
        let (mut message, part) = (Vec::new(), [b'x'; 1000]);
        incoming.add(b"short\n").unwrap();
        assert!(incoming.next(&mut message).unwrap() && message == b"short");
        for _ in 0..300 {
            incoming.add(&part).unwrap();
            assert!(!incoming.next(&mut message).unwrap());
        }
        incoming.add(b"\nnext").unwrap();
        assert!(incoming.next(&mut message).unwrap() && message.len() == 300_000);
        assert!(incoming.at_end(&mut message).unwrap() && message == b"next");
        assert!(incoming.buffer.capacity() < 2 * 300_000 + 2 * CHUNK);
        incoming.reset();
        assert!(incoming.buffer.capacity() <= CHUNK);
    }
}
