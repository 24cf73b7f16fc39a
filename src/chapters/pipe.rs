//! A pipe is a buffer of 16 pages in the kernel with a writing and a reading end (pipe(7)).
//! It has no name: its two processes got their ends from the one that made it, which is
//! the shell in `ipclab pipe sender | ipclab pipe receiver`, and a parent in
//! `ipclab pipe fork`.

use std::fs::File;
use std::io::{IsTerminal, stdin, stdout};
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use rustix::io::{Errno, read};

use crate::chapter::{OnPeerDeath, OneWay, Part, Role, Row, Script};
use crate::errors::usage;
use crate::say;
use crate::wire::frame::{Incoming, Stream};
use crate::wire::meet::{At, Meets};
use crate::wire::payload::write_all;
use crate::wire::say::{self, Tally};
use crate::wire::transport::{Receiver, Sender};

pub mod fork;

/// The chapter.
#[derive(Debug)]
pub struct Pipe;

impl OneWay for Pipe {
    const ROW: Row = Row {
        name: "pipe",
        summary: "a nameless buffer between relatives (pipe, fork)",
        wire: "a byte stream; by default one message a line, so any filter is a peer",
        roles: &[
            Role {
                name: "sender",
                does: "writes messages into the pipe on its standard output",
                examples: &[
                    "pipe sender hello | ipclab pipe receiver",
                    "pipe sender one two three | tr a-z A-Z",
                ],
            },
            Role {
                name: "receiver",
                does: "prints what comes out of the pipe on its standard input",
                examples: &[
                    "pipe receiver < file",
                    "pipe sender hi | ipclab pipe receiver",
                ],
            },
            Role {
                name: "fork",
                does: "makes the pipe, forks, and plays both roles",
                examples: &[
                    "pipe fork hello world",
                    "pipe fork --duplex socketpair hello",
                ],
            },
        ],
        meets: Meets::Nowhere,
        on_peer_death: OnPeerDeath::EndOfStream,
        needs: None,
        script: Script {
            parts: &[
                Part { role: "sender", args: &["hello", "through a pipe"] },
                Part { role: "receiver", args: &[] },
            ],
            prints: "receiver",
            expect: "hello\nthrough a pipe\n",
        },
    };
    type Sender = PipeSender;
    type Receiver = PipeReceiver;
    type More = fork::More;
}

// ANCHOR: sender
/// The writing end: standard output, which the shell made a pipe.
#[derive(Debug)]
pub struct PipeSender {
    pipe: File,
    stream: Stream,
    frame: Vec<u8>,
    writes: Tally,
}

impl Sender for PipeSender {
    type Options = Stream;

    fn check(stream: &Stream, message: &[u8]) -> Result<()> {
        stream.check(message)
    }

    fn open(at: &At, stream: &Stream) -> Result<PipeSender> {
        if stdout().is_terminal() {
            return Err(no_pipe("standard output", at));
        }
        let end =
            stdout().as_fd().try_clone_to_owned().context("dup standard output")?;
        say!("standard output is the pipe's writing end: it was there before exec");
        Ok(PipeSender::on(end, stream))
    }

    fn largest(&self) -> usize {
        self.stream.largest()
    }

    fn send(&mut self, message: &[u8]) -> Result<()> {
        let bytes = self.stream.frame(message, &mut self.frame);
        self.writes.call(bytes.len(), || {
            format!("write({}, {})", say::bytes(bytes), bytes.len())
        });
        // Sleeps while the pipe is full; EPIPE once the last reader has closed.
        write_all(&self.pipe, bytes).context("write the pipe")
    }
    // No goodbye: closing the last writing end is the end of the stream.
}

impl PipeSender {
    /// The sender at the writing end `end`.
    pub fn on(end: OwnedFd, stream: &Stream) -> PipeSender {
        let (pipe, frame, writes) =
            (File::from(end), Vec::new(), Tally::of("write"));
        PipeSender { pipe, stream: *stream, frame, writes }
    }
}
// ANCHOR_END: sender

// ANCHOR: receiver
/// The reading end: standard input, which the shell made a pipe.
#[derive(Debug)]
pub struct PipeReceiver {
    pipe: File,
    incoming: Incoming,
    reads: Tally,
}

impl Receiver for PipeReceiver {
    type Options = Stream;

    fn open(at: &At, stream: &Stream) -> Result<PipeReceiver> {
        if stdin().is_terminal() {
            return Err(no_pipe("standard input", at));
        }
        let end =
            stdin().as_fd().try_clone_to_owned().context("dup standard input")?;
        say!("standard input is the pipe's reading end: it was there before exec");
        Ok(PipeReceiver::on(end, stream))
    }

    fn recv(&mut self, message: &mut Vec<u8>) -> Result<bool> {
        while !self.incoming.next(message)? {
            let n = match read(&self.pipe, self.incoming.space()) {
                Err(Errno::INTR) => continue,
                result => result.context("read the pipe")?,
            };
            if n == 0 {
                say!("read() = 0: the last writer has closed its end");
                return self.incoming.at_end(message);
            }
            let newest = self.incoming.newest(n);
            self.reads.call(n, || format!("read() = {n}: {}", say::bytes(newest)));
        }
        Ok(true)
    }
}

impl PipeReceiver {
    /// The receiver at the reading end `end`.
    pub fn on(end: OwnedFd, stream: &Stream) -> PipeReceiver {
        let (incoming, reads) = (Incoming::new(stream), Tally::of("read"));
        PipeReceiver { pipe: File::from(end), incoming, reads }
    }
}
// ANCHOR_END: receiver

/// A pipe has no name, so a role at a terminal cannot find its peer.
fn no_pipe(end: &str, at: &At) -> anyhow::Error {
    let (sender, receiver) = (at.peer("sender"), at.peer("receiver"));
    usage(format!(
        "{end} is a terminal, not a pipe: a pipe has no name, the shell makes it; \
         type: {sender} hello | {receiver}"
    ))
}
