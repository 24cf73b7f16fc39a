//! A pipe is a buffer of 16 pages in the kernel with a writing and a reading end (pipe(7)).
//! It has no name: its two processes got their ends from the one that made it, which is
//! the shell in `ipclab pipe sender | ipclab pipe receiver`, and a parent in
//! `ipclab pipe fork`.

use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use nix::poll::PollFlags;
use rustix::io::{Errno, read};
use rustix::pipe::fcntl_getpipe_size;

use crate::row::{OnPeerDeath, OneWay, Part, Role, Row, Script};
use wire::errors::usage;
use wire::frame::{CHUNK, FramingOptions, ReassemblyBuffer};
use wire::meet::{Meets, Rendezvous};
use wire::payload::write_all;
use wire::say;
use wire::say::Commentary;
use wire::standard;
use wire::transport::{BLOCK, Receiver, Sender};

pub mod fork;
mod zero_copy;

use zero_copy::VmspliceSender;

/// The chapter.
#[derive(Debug)]
pub struct Pipe;

impl OneWay for Pipe {
    const ROW: Row = Row {
        name: "pipe",
        summary: "a nameless buffer between relatives (pipe, fork)",
        also: &[
            "anonymous pipe",
            "unnamed pipe",
            "nameless pipe",
            "popen",
            "pipe2",
            "stdin",
            "stdout",
            "fork",
            "splice",
        ],
        wire: "a byte stream; by default one message a line, so any filter is a peer",
        roles: &[
            Role {
                name: "sender",
                does: "writes messages into the pipe on its standard output",
                examples: &[
                    "pipe sender hello | ipclab pipe receiver",
                    "pipe sender one two three | tr a-z A-Z",
                    "pipe sender --zero-copy --bytes < file | sha256sum",
                ],
            },
            Role {
                name: "receiver",
                does: "prints what comes out of the pipe on its standard input",
                examples: &[
                    "pipe receiver < file",
                    "pipe sender hi | ipclab pipe receiver",
                    "pipe receiver --zero-copy --bytes > copy",
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

/// The options of the writing end.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Sending {
    /// How messages are told apart.
    #[command(flatten)]
    pub stream: FramingOptions,

    /// Lend long messages to the pipe (vmsplice) instead of copying them; for a reader that
    /// reads, or moves them into a file: in another pipe they could still change
    #[arg(long)]
    pub zero_copy: bool,
}

/// The options of the reading end.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Receiving {
    /// How messages are told apart.
    #[command(flatten)]
    pub stream: FramingOptions,

    /// Move what comes into the file on standard output, unread (splice); needs `--bytes`
    #[arg(long)]
    pub zero_copy: bool,
}

// ANCHOR: sender
/// The writing end: standard output, which the shell made a pipe.
#[derive(Debug)]
pub struct PipeSender {
    pipe: File,
    stream: FramingOptions,
    frame: Vec<u8>,
    writes: Commentary,
    lender: Option<VmspliceSender>,
}

impl Sender for PipeSender {
    type Options = Sending;

    fn check(options: &Sending, message: &[u8]) -> Result<()> {
        options.stream.check(message)
    }

    fn open(rendezvous: &Rendezvous, options: &Sending) -> Result<PipeSender> {
        let end = standard::output()?;
        if end.is_terminal() {
            return Err(no_pipe("standard output", rendezvous));
        }
        let end = end.try_clone_to_owned().context("dup standard output")?;
        say!("standard output is the pipe's writing end: it was there before exec");
        let sender = PipeSender::on(end, &options.stream);
        if options.zero_copy { sender.lending() } else { Ok(sender) }
    }

    fn largest(&self) -> usize {
        self.stream.largest()
    }

    fn block(&self) -> usize {
        if self.lender.is_some() { zero_copy::BLOCK } else { BLOCK }
    }

    fn send(&mut self, message: &[u8]) -> Result<()> {
        let bytes = self.stream.frame(message, &mut self.frame);
        if let Some(lender) = &mut self.lender
            && bytes.len() >= lender.least()
        {
            return lender.send(&self.pipe, bytes);
        }
        self.writes.call(bytes.len(), || format!("write({})", say::data(bytes)));
        // Sleeps while the pipe is full; EPIPE once the last reader has closed.
        let written = write_all(&self.pipe, bytes);
        self.writes.returned(written).context("write the pipe")
    }
    // No goodbye: closing the last writing end is the end of the stream.
}

impl PipeSender {
    /// The sender at the writing end `end`.
    pub fn on(end: OwnedFd, stream: &FramingOptions) -> PipeSender {
        let (pipe, frame, writes) =
            (File::from(end), Vec::new(), Commentary::of("write"));
        PipeSender { pipe, stream: *stream, frame, writes, lender: None }
    }

    /// The same sender, which lends long messages to the pipe instead of copying them.
    ///
    /// # Errors
    /// A usage error when the end is no pipe's.
    pub fn lending(mut self) -> Result<PipeSender> {
        self.lender = Some(VmspliceSender::of(&self.pipe).map_err(|_| {
            usage("--zero-copy needs a pipe to lend pages to, and this is none")
        })?);
        Ok(self)
    }
}
// ANCHOR_END: sender

/// The most that one read asks for, in bytes: what a user may make of a pipe
/// (/proc/sys/fs/pipe-max-size). Root may make more of it, but is no measure for us.
const MOST: usize = 1 << 20;

// ANCHOR: receiver
/// The reading end: standard input, which the shell made a pipe.
#[derive(Debug)]
pub struct PipeReceiver {
    pipe: File,
    incoming: ReassemblyBuffer,
    reads: Commentary,
    zero_copy: bool,
    /// Whether what the pipe holds is known.
    measured: bool,
}

impl Receiver for PipeReceiver {
    type Options = Receiving;

    fn open(rendezvous: &Rendezvous, options: &Receiving) -> Result<PipeReceiver> {
        let end = standard::input()?;
        if end.is_terminal() {
            return Err(no_pipe("standard input", rendezvous));
        }
        let end = end.try_clone_to_owned().context("dup standard input")?;
        say!("standard input is the pipe's reading end: it was there before exec");
        let receiver = PipeReceiver::on(end, &options.stream);
        Ok(PipeReceiver { zero_copy: options.zero_copy, ..receiver })
    }

    fn recv(&mut self, message: &mut Vec<u8>) -> Result<bool> {
        while !self.incoming.next(message)? {
            if self.incoming.has_ended() {
                return Ok(false);
            }
            let n = match read(&self.pipe, self.incoming.space()?) {
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => {
                    standard::until_ready(&self.pipe, PollFlags::POLLIN)?;
                    continue;
                }
                result => result.context("read the pipe")?,
            };
            if n == 0 {
                say!("read() = 0: the last writer has closed its end");
                return self.incoming.at_end(message);
            }
            let newest = self.incoming.newest(n);
            self.reads.call(n, || format!("read() = {n}: {}", say::bytes(newest)));
            if n >= CHUNK && !self.measured {
                // A sender may have made its pipe larger: then there is more to be had at
                // once. It does so before it writes, so it is enough to ask once.
                let holds = fcntl_getpipe_size(&self.pipe).unwrap_or(CHUNK);
                self.incoming.asks_for(holds.min(MOST));
                self.measured = true;
            }
        }
        Ok(true)
    }

    fn moved_on(&mut self, unseen: bool) -> Result<bool> {
        if self.zero_copy && !unseen {
            return Err(usage(
                "--zero-copy looks at no byte, so it can neither count messages nor \
                 print one a line: use it with --bytes, and without --count",
            ));
        }
        if self.zero_copy {
            zero_copy::move_on(&self.pipe)?;
        }
        Ok(self.zero_copy)
    }
}

impl PipeReceiver {
    /// The receiver at the reading end `end`.
    pub fn on(end: OwnedFd, stream: &FramingOptions) -> PipeReceiver {
        let (incoming, reads) =
            (ReassemblyBuffer::new(stream), Commentary::of("read"));
        let (pipe, zero_copy, measured) = (File::from(end), false, false);
        PipeReceiver { pipe, incoming, reads, zero_copy, measured }
    }

    /// splice(2): moves what the pipe holds to `to`, and says how many bytes; sleeps while
    /// it holds nothing. 0 is the end of the stream.
    ///
    /// # Errors
    /// EINVAL when this end is no pipe's, or when `to` cannot be moved into.
    pub fn move_some(&self, to: impl AsFd) -> Result<usize> {
        zero_copy::move_some(&self.pipe, to).context("splice the pipe")
    }
}
// ANCHOR_END: receiver

/// A pipe has no name, so a role at a terminal cannot find its peer.
fn no_pipe(end: &str, rendezvous: &Rendezvous) -> anyhow::Error {
    let (sender, receiver) =
        (rendezvous.peer("sender"), rendezvous.peer("receiver"));
    usage(format!(
        "{end} is a terminal, not a pipe: a pipe has no name, the shell makes it; \
         type: {sender} | {receiver}"
    ))
}
