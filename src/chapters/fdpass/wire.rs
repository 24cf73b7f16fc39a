//! What server and worker must agree on: the protocol, and how they know each other.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;

use super::multiprocessing::{Key, Rules};
use wire::errors::usage;
use wire::roles::seconds;
use wire::say;

/// The wire between server and worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Protocol {
    /// The byte `x` with one descriptor; the worker answers `OK`
    Plain,
    /// That of Python's multiprocessing: a handshake, the worker's pid, send_handle
    Multiprocessing,
}

/// The options that server and worker share.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Wire {
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

impl Wire {
    /// The rules of the handshake, if there is to be one.
    ///
    /// # Errors
    /// A key where none belongs; a key file that is not ours alone.
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
                key: Key::read(path)?,
                only_sha256: self.require_sha256,
            })),
        }
    }
}
