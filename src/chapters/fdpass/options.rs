//! What the command line says to each role.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;

use super::more::multiprocessing::{AuthKey, Rules};
use wire::errors::usage;
use wire::frame::FramingOptions;
use wire::roles::{MessageSource, seconds};
use wire::say;

/// Where clients connect, unless `--listen` or `--connect` says otherwise.
pub const ADDRESS: &str = "127.0.0.1:15000";

/// The options of a server.
#[derive(Debug, Clone, clap::Args)]
pub struct ServerOptions {
    #[command(flatten)]
    pub(super) passing: PassingOptions,

    #[command(flatten)]
    pub(super) wire: WireOptions,
}

/// The options of a worker.
#[derive(Debug, Clone, clap::Args)]
pub struct WorkerOptions {
    /// Take N connections, and leave once they have ended
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,

    #[command(flatten)]
    pub(super) wire: WireOptions,

    #[command(flatten)]
    pub(super) printing: PrintingOptions,
}

/// The options of a client.
#[derive(Debug, Clone, clap::Args)]
pub struct ClientOptions {
    #[command(flatten)]
    pub(super) source: MessageSource,

    #[command(flatten)]
    pub(super) stream: FramingOptions,

    /// Write one JSON object an answer
    #[arg(long, conflicts_with = "bytes")]
    pub(super) json: bool,

    /// The server's address; without it, the one that a server has published
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) connect: Option<String>,
}

/// The options of `fdpass fork`.
#[derive(Debug, Clone, clap::Args)]
pub struct ForkOptions {
    #[command(flatten)]
    pub(super) passing: PassingOptions,

    #[command(flatten)]
    pub(super) printing: PrintingOptions,
}

/// The options of a server, whatever its protocol is.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct PassingOptions {
    /// Where clients connect by TCP; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", default_value = ADDRESS)]
    pub(super) listen: String,

    /// Stop after N connections, once workers hold them all
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,

    /// Hold at most N connections for which no worker has room, then accept no more
    #[arg(long, value_name = "N", default_value_t = 64)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) hold: u32,

    /// Cut off a worker that leaves a connection SECONDS without an OK; for --protocol
    /// plain, whose workers answer [default: 5]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(super) ack_timeout: Option<Duration>,

    /// At most N connections are on their way to one worker, not taken yet; 1 suits
    /// workers that serve one client at a time
    #[arg(long, value_name = "N", default_value_t = 16)]
    #[arg(value_parser = clap::value_parser!(u8).range(1..))]
    pub(super) in_flight: u8,
}

/// How a worker prints what clients send. The echo has the same bytes whatever is said here.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct PrintingOptions {
    #[command(flatten)]
    pub(super) stream: FramingOptions,

    /// Print exactly the bytes that came, without a newline after each message
    #[arg(long)]
    pub(super) bytes: bool,

    /// Print one JSON object a message
    #[arg(long, conflicts_with = "bytes")]
    pub(super) json: bool,
}

/// The wire between server and worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Protocol {
    /// The byte `x` with one descriptor; the worker answers `OK`
    Plain,
    /// That of Python's multiprocessing: a handshake, the worker's pid, send_handle
    Multiprocessing,
}

/// What server and worker must agree on: the protocol, and how they know each other.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct WireOptions {
    /// The wire between server and worker
    #[arg(long, value_enum, default_value = "plain", value_name = "PROTOCOL")]
    pub(super) protocol: Protocol,

    /// The file whose bytes are the key, as `authkey` in Python; without it there is no
    /// handshake, as with Python's `authkey=None`
    #[arg(long, value_name = "FILE")]
    auth_key_file: Option<PathBuf>,

    /// Refuse a peer that authenticates by HMAC-MD5, as Python does up to 3.11
    #[arg(long, requires = "auth_key_file")]
    require_sha256: bool,

    /// Refuse a peer that has not made itself known after SECONDS
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(super) handshake_timeout: Duration,
}

impl WireOptions {
    /// The rules of the handshake, if there is to be one.
    ///
    /// # Errors
    /// A key where none belongs; a key file that other users may read or write.
    pub(super) fn rules(&self) -> Result<Option<Rules>> {
        match (self.protocol, &self.auth_key_file) {
            (Protocol::Plain, Some(_)) => Err(usage(
                "--auth-key-file is for --protocol multiprocessing: the plain one has \
                 no handshake, only the kernel's word on the peer's uid",
            )),
            (Protocol::Plain, None) => Ok(None),
            (Protocol::Multiprocessing, None) => {
                say!(
                    "no --auth-key-file: no handshake, as with authkey=None in Python; \
                     only the uid of the peer is checked"
                );
                Ok(None)
            }
            (Protocol::Multiprocessing, Some(path)) => Ok(Some(Rules {
                key: AuthKey::read(path)?,
                only_sha256: self.require_sha256,
            })),
        }
    }
}
