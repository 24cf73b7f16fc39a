//! The two halves of a conversation over one connected socket.
//!
//! A client that sends all that it has before it reads can wait for ever: the server
//! waits until its answers are read, the client until its messages are. So the client's
//! loop, [`converse`], asks poll(2) about both directions and never sleeps in send(2) or
//! recv(2). The server's half, [`answer`], may sleep: it owes its client one answer at a
//! time.

use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use anyhow::Result;
use clap::ValueEnum;
use nix::poll::{PollFlags, PollTimeout};

use super::frame::FramingOptions;
use super::payload::{Payload, Style};
use super::roles::MessageSource;
use super::standard;
use crate::say;

mod client;
mod questions;
mod score;
mod server;
mod stream;
mod turns;

pub use client::converse;
pub use score::Truncated;
pub use server::{Connection, Ended, Served, answer};
pub use stream::StreamLink;

/// The options of every client.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Client {
    /// What it sends.
    #[command(flatten)]
    pub source: MessageSource,

    /// How messages are told apart.
    #[command(flatten)]
    pub stream: FramingOptions,

    /// What the server was asked for; under `none` no answers are expected
    #[arg(long, value_enum, default_value = "echo")]
    pub reply: Reply,

    /// Write one JSON object an answer
    #[arg(long, conflicts_with = "bytes")]
    pub json: bool,
}

/// The options of every server.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Server {
    /// End once N clients have come and gone
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,

    /// What each message is answered with
    #[arg(long, value_enum, default_value = "echo")]
    pub reply: Reply,

    /// How messages are told apart.
    #[command(flatten)]
    pub stream: FramingOptions,

    /// Print exactly the bytes that came, without a newline after each message
    #[arg(long)]
    pub bytes: bool,

    /// Print one JSON object a message
    #[arg(long, conflicts_with = "bytes")]
    pub json: bool,
}

/// What a server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Reply {
    /// The message itself
    Echo,
    /// The message in upper case (its ASCII letters)
    Upper,
    /// Nothing
    None,
}

impl Reply {
    /// The answer to `message`, if there is one; `scratch` holds it if it is made.
    pub fn to<'a>(
        self,
        message: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Option<&'a [u8]> {
        match self {
            Reply::None => None,
            Reply::Echo => Some(message),
            Reply::Upper => {
                scratch.clear();
                scratch.extend(message.iter().map(u8::to_ascii_uppercase));
                Some(scratch)
            }
        }
    }
}

impl Client {
    /// Refuses arguments that cannot travel on a byte stream, and standard streams that
    /// cannot be used, before anything is opened.
    ///
    /// # Errors
    /// As [`FramingOptions::check`] and [`Client::check_streams`].
    pub fn check(&self) -> Result<()> {
        self.check_streams()?;
        let mut all = self.source.messages.iter();
        all.try_for_each(|message| self.stream.check(message.as_bytes()))
    }

    /// Refuses standard streams that cannot be used, before anything is opened.
    ///
    /// # Errors
    /// As [`standard::input`] and [`standard::output`].
    pub fn check_streams(&self) -> Result<()> {
        if self.source.reads_input() {
            standard::input()?;
        }
        standard::output().map(drop)
    }

    /// Where the client prints the answers.
    ///
    /// # Errors
    /// As [`Payload::new`].
    pub fn payload(&self) -> Result<Payload> {
        Payload::new(style(self.source.bytes, self.json))
    }
}

impl Server {
    /// Where the server prints what it is sent.
    ///
    /// # Errors
    /// As [`Payload::new`].
    pub fn payload(&self) -> Result<Payload> {
        Payload::new(style(self.bytes, self.json))
    }
}

fn style(bytes: bool, json: bool) -> Style {
    match (bytes, json) {
        (true, _) => Style::Bytes,
        (_, true) => Style::Json,
        _ => Style::Lines,
    }
}

/// A connected socket, as the client's loop uses it. No call sleeps: EAGAIN says "later".
pub trait Link: AsFd {
    /// Refuses a message that cannot travel.
    ///
    /// # Errors
    /// Why not, and what would carry it.
    fn check(&self, message: &[u8]) -> Result<()>;

    /// The largest message, in bytes.
    fn largest(&self) -> usize;

    /// What sets [`Link::largest`], and how to raise it.
    fn limit(&self) -> String;

    /// Whether answers can be counted: without boundaries, one is any number of bytes.
    fn has_boundaries(&self) -> bool;

    /// Makes of `message`, in place, what goes on the wire.
    fn frame(&self, _message: &mut Vec<u8>) {}

    /// send(2): how many of `bytes` the kernel took.
    ///
    /// # Errors
    /// As send(2).
    fn send(&mut self, bytes: &[u8]) -> nix::Result<usize>;

    /// Says that nothing more will come.
    ///
    /// # Errors
    /// As the call that says it.
    fn goodbye(&mut self) -> nix::Result<()>;

    /// recv(2), once; `false` at the end of all answers.
    ///
    /// # Errors
    /// As recv(2).
    fn recv(&mut self) -> nix::Result<bool>;

    /// Replaces `answer` by the next whole one that has been received, if there is one;
    /// `ended` says that no more will be.
    ///
    /// # Errors
    /// An answer that is too long, or cut short.
    fn next(&mut self, answer: &mut Vec<u8>, ended: bool) -> Result<bool>;

    /// Whether the first messages take turns with their answers, so that the user sees what the
    /// server does after each message: some servers close after the first.
    fn takes_turns(&self) -> bool {
        false
    }

    /// Says what poll(2) has reported: the server is gone.
    fn hung_up(&mut self, _events: PollFlags) {
        say!("poll() = POLLHUP: nobody is there any more");
    }

    /// How long poll(2) may wait for the rest of the answers before
    /// [`Link::still_there`] is asked.
    fn answer_timeout(&self) -> PollTimeout {
        PollTimeout::NONE
    }

    /// Looks whether the server is still there, for a socket whose poll(2) cannot tell.
    ///
    /// # Errors
    /// The error that shows that the server is gone.
    fn still_there(&mut self) -> nix::Result<()> {
        Ok(())
    }
}
