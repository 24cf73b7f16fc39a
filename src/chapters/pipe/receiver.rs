//! The read end.

use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::PollFlags;
use rustix::pipe::fcntl_getpipe_size;

use super::more::zero_copy;
use super::terminal::no_pipe;
use os::calls::read;
use wire::errors::usage;
use wire::frame::{CHUNK, FramingOptions, ReassemblyBuffer};
use wire::meet::Rendezvous;
use wire::say;
use wire::say::Commentary;
use wire::standard;
use wire::transfer;
use wire::transport::Receiver;

/// The options of the read end.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct PipeReceiverOptions {
    /// How messages are told apart.
    #[command(flatten)]
    pub stream: FramingOptions,

    /// Move what comes into the file on standard output, unread (splice); needs `--bytes`
    #[arg(long)]
    pub zero_copy: bool,
}

/// The most that one read asks for, in bytes: the largest pipe that a user may make
/// (/proc/sys/fs/pipe-max-size). Root may make a larger one, but is no measure for us.
const MOST: usize = 1 << 20;

// ANCHOR: receiver
/// The read end: standard input, which the shell made a pipe.
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
    type Options = PipeReceiverOptions;

    fn open(
        rendezvous: &Rendezvous,
        options: &PipeReceiverOptions,
    ) -> Result<PipeReceiver> {
        let end = standard::input()?;
        if end.is_terminal() {
            return Err(no_pipe("standard input", rendezvous));
        }
        let end = end.try_clone_to_owned().context("dup standard input")?;
        say!("standard input is the pipe's read end: it was there before exec");
        let receiver = PipeReceiver::on(end, &options.stream);
        Ok(PipeReceiver { zero_copy: options.zero_copy, ..receiver })
    }

    fn recv(&mut self, message: &mut Vec<u8>) -> Result<bool> {
        while !self.incoming.next(message)? {
            if self.incoming.has_ended() {
                return Ok(false);
            }
            let n = match read(&self.pipe, self.incoming.space()?) {
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => {
                    transfer::until_ready(&self.pipe, PollFlags::POLLIN)?;
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
                // A sender may have made its pipe larger: then there is more to be had at once.
                // The sender does so before it writes, so it is enough to ask once.
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
    /// The receiver at the read end `end`.
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
