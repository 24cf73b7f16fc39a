//! What the server was asked for.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::Result;

use super::kind::SelectorKind;
use super::selector::Interest;
use wire::dialogue;
use wire::errors::usage;
use wire::meet::{Meets, Rendezvous};
use wire::roles::seconds;

/// The options of a server.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The system call that waits for all descriptors
    #[arg(long, value_enum, value_name = "CALL", default_value = "default")]
    pub(super) with: SelectorKind,

    /// Be told when a client becomes ready, not for as long as it is (EPOLLET)
    #[arg(long)]
    pub(super) edge: bool,

    /// Be told once of a client that is ready, until asked for again (EPOLLONESHOT)
    #[arg(long)]
    pub(super) oneshot: bool,

    /// Listen at this TCP address, too; port 0 is any free one; repeatable
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) tcp: Vec<String>,

    /// Listen at this Unix socket, too; repeatable
    #[arg(long, value_name = "PATH")]
    pub(super) unix: Vec<String>,

    /// Print the messages that come through this FIFO, too; repeatable
    #[arg(long, value_name = "PATH")]
    pub(super) fifo: Vec<String>,

    /// Print the messages of this POSIX queue, too; repeatable
    #[arg(long, value_name = "NAME")]
    pub(super) queue: Vec<String>,

    /// Print the messages of standard input, too
    #[arg(long)]
    pub(super) stdin: bool,

    /// Say every SECONDS how many clients there are
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(super) tick: Option<Duration>,

    /// Answer, but print nothing on standard output
    #[arg(long)]
    pub(super) no_print: bool,

    #[command(flatten)]
    pub(super) server: dialogue::Server,
}

/// At most so many names of `--unix`, `--fifo` and `--queue`: each is a meeting place.
const NAMES: usize = 12;

impl Options {
    /// Refuses what cannot be, before anything is opened.
    pub(super) fn check(&self) -> Result<()> {
        if (self.edge || self.oneshot)
            && matches!(self.with, SelectorKind::Select | SelectorKind::Poll)
        {
            let with = self.with;
            return Err(usage(format!(
                "{with} tells a descriptor's level alone: --edge and --oneshot take \
                 --with epoll"
            )));
        }
        Ok(())
    }

    pub(super) fn trigger(&self) -> Interest {
        let edge = if self.edge { Interest::EDGE } else { Interest::LEVEL };
        let oneshot = if self.oneshot { Interest::ONESHOT } else { Interest::LEVEL };
        edge | oneshot
    }
}

/// The meeting places of these names.
pub(super) fn rendezvous_of(
    chapter: &'static str,
    meets: Meets,
    names: &[String],
) -> Result<Vec<Rendezvous>> {
    names
        .iter()
        .map(|name| Rendezvous::new(chapter, meets, Some(name.clone())))
        .collect()
}

/// Refuses a meeting place that is named twice: a process that enters it again and then leaves
/// gives up the locks of the first time, too, and its name would stay behind
/// (fcntl_locking(2)).
pub(super) fn each_once<'a>(
    all: impl Iterator<Item = &'a Rendezvous>,
) -> Result<()> {
    let mut seen = HashSet::new();
    for rendezvous in all {
        let lock = rendezvous.lock_path();
        let dir = lock.parent().map(|dir| dir.canonicalize().unwrap_or(dir.into()));
        let file = lock.file_name().map(ToOwned::to_owned);
        if !seen.insert((dir, file)) {
            let name = rendezvous.given().unwrap_or("multiplex");
            return Err(usage(format!("{name} is named twice")));
        }
    }
    if seen.len() > 1 + NAMES {
        return Err(usage(format!("at most {NAMES} of --unix, --fifo and --queue")));
    }
    Ok(())
}
