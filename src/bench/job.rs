//! What an end of a pair gets when it is started, and the statuses and words by which the
//! bench knows why it left.

use std::path::Path;

use anyhow::{Context, Result};
use clap::ValueEnum;

/// The status of an end whose mechanism cannot carry a message of this size.
pub const TOO_LARGE: i32 = 3;

/// The status of an end whose machine or language does not have the mechanism.
pub const ABSENT: i32 = 4;
/// What an end reports whose only error is that the other end has left: the other end may
/// have an error of its own.
pub const OTHER_LEFT: &str = "the other side has left";

/// What an end gets when it is started.
#[derive(Debug, Clone, clap::Args)]
pub struct Job {
    /// What is measured.
    pub mechanism: String,
    /// Both ways, or one.
    #[arg(value_enum)]
    pub mode: Mode,
    /// Which of the two.
    #[arg(value_enum)]
    pub side: Side,
    /// The size of a message, in bytes.
    pub size: usize,
    /// The path that the names of this pair begin with.
    pub base: String,
}

/// The command that plays such an end, whose kernel names are those of the directory `dir`.
///
/// # Errors
/// When this program cannot find itself.
pub(super) fn command(
    dir: &Path,
    (mechanism, mode): (&str, Mode),
    side: Side,
    size: u64,
    base: &Path,
) -> Result<std::process::Command> {
    let program = std::env::current_exe().context("readlink")?;
    let mut command = std::process::Command::new(program);
    command
        .args(["bench-end", mechanism, mode.word(), side.word()])
        .arg(size.to_string())
        .arg(base)
        .env("IPCLAB_DIR", dir);
    Ok(command)
}

/// Both ways, or one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// A message there, and its answer back.
    Pingpong,
    /// Messages one way.
    Oneway,
}

/// Which of the two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Side {
    /// It asks, or sends.
    A,
    /// It answers, or receives.
    B,
}

impl Mode {
    /// As it stands on an end's command line.
    pub fn word(self) -> &'static str {
        if self == Mode::Pingpong { "pingpong" } else { "oneway" }
    }
}

impl Side {
    /// As it stands on an end's command line.
    pub fn word(self) -> &'static str {
        if self == Side::A { "a" } else { "b" }
    }
}
