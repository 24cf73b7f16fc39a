//! The processes that the bench starts of this very program: an end of a pair, a load of
//! servers, the operations.

use anyhow::Result;

use super::ends::control::Control;
use super::ends::{self, run};
use super::floors::ends::{Bounced, Futex};
use super::job::Job;
use super::servers::load;
use super::{lies, operations};
use os::cleanup;

/// Plays one end of a pair.
///
/// # Errors
/// As the mechanism's; the bench reads our standard error.
pub fn play(job: &Job) -> Result<()> {
    let control = Control::inherited()?;
    cleanup::install(None);
    match job.mechanism.as_str() {
        "futex" => return run(job, &control, Futex::open(job)?),
        "line" => return run(job, &control, Bounced::open(job)?),
        _ => {}
    }
    lies::play(job, &control).unwrap_or_else(|| ends::play(job, &control))
}

/// The processes of `bench --servers` that are not servers. Not for people.
#[derive(Debug, clap::Subcommand)]
pub enum BenchProcess {
    /// Asks a server, and checks its answers
    Load(load::LoadOptions),
    /// Times what it costs to open, connect, create and remove
    Operations(operations::OperationOptions),
}

impl BenchProcess {
    /// Does its work.
    ///
    /// # Errors
    /// What keeps it from its work.
    pub fn run(&self) -> Result<()> {
        match self {
            BenchProcess::Load(options) => load::load(options),
            BenchProcess::Operations(options) => operations::part(options),
        }
    }
}
