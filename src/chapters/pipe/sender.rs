//! The write end.

use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};

use super::more::zero_copy::{self, VmspliceSender};
use super::terminal::no_pipe;
use wire::errors::usage;
use wire::frame::FramingOptions;
use wire::meet::Rendezvous;
use wire::say;
use wire::say::Commentary;
use wire::standard;
use wire::transfer::write_all;
use wire::transport::{BLOCK, Sender};

/// The options of the write end.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct PipeSenderOptions {
    /// How messages are told apart.
    #[command(flatten)]
    pub stream: FramingOptions,

    /// Lend long messages to the pipe (vmsplice) instead of copying them; for a reader that
    /// reads, or moves them into a file: in another pipe they could still change
    #[arg(long)]
    pub zero_copy: bool,
}

// ANCHOR: sender
/// The write end: standard output, which the shell made a pipe.
#[derive(Debug)]
pub struct PipeSender {
    pipe: File,
    stream: FramingOptions,
    frame: Vec<u8>,
    writes: Commentary,
    vmsplice: Option<VmspliceSender>,
}

impl Sender for PipeSender {
    type Options = PipeSenderOptions;

    fn check(options: &PipeSenderOptions, message: &[u8]) -> Result<()> {
        options.stream.check(message)
    }

    fn open(
        rendezvous: &Rendezvous,
        options: &PipeSenderOptions,
    ) -> Result<PipeSender> {
        let end = standard::output()?;
        if end.is_terminal() {
            return Err(no_pipe("standard output", rendezvous));
        }
        let end = end.try_clone_to_owned().context("dup standard output")?;
        say!("standard output is the pipe's write end: it was there before exec");
        let sender = PipeSender::on(end, &options.stream);
        if options.zero_copy { sender.by_vmsplice() } else { Ok(sender) }
    }

    fn largest(&self) -> usize {
        self.stream.largest()
    }

    fn block(&self) -> usize {
        if self.vmsplice.is_some() { zero_copy::BLOCK } else { BLOCK }
    }

    fn send(&mut self, message: &[u8]) -> Result<()> {
        let bytes = self.stream.frame(message, &mut self.frame);
        if let Some(vmsplice) = &mut self.vmsplice
            && bytes.len() >= vmsplice.least()
        {
            return vmsplice.send(&self.pipe, bytes);
        }
        self.writes.call(bytes.len(), || format!("write({})", say::data(bytes)));
        // Sleeps while the pipe is full; EPIPE once the last reader has closed.
        let written = write_all(&self.pipe, bytes);
        self.writes.returned(written).context("write the pipe")
    }
    // No goodbye: closing the last write end is the end of the stream.
}

impl PipeSender {
    /// The sender at the write end `end`.
    pub fn on(end: OwnedFd, stream: &FramingOptions) -> PipeSender {
        let (pipe, frame, writes) =
            (File::from(end), Vec::new(), Commentary::of("write"));
        PipeSender { pipe, stream: *stream, frame, writes, vmsplice: None }
    }

    /// The same sender, which sends long messages by vmsplice(2) instead of copying them.
    ///
    /// # Errors
    /// A usage error when the end is no pipe's.
    pub fn by_vmsplice(mut self) -> Result<PipeSender> {
        self.vmsplice = Some(VmspliceSender::of(&self.pipe).map_err(|_| {
            usage("--zero-copy needs a pipe to lend pages to, and this is none")
        })?);
        Ok(self)
    }
}
// ANCHOR_END: sender
