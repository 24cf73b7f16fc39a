//! A semaphore, of whichever kind.

use std::time::Duration;

use anyhow::Result;

use super::options::{Kind, SemaphoreOptions};
use os::cleanup::Object;
use wire::meet::Rendezvous;

/// What the roles ask of a semaphore, of whichever kind.
pub(super) trait Semaphore: Sized {
    const KIND: Kind;
    /// Opens the semaphore that is there; `None` if there is none.
    fn open(
        rendezvous: &Rendezvous,
        options: &SemaphoreOptions,
    ) -> Result<Option<Self>>;
    /// Makes it with this value; EEXIST if another process just has.
    fn make(
        rendezvous: &Rendezvous,
        options: &SemaphoreOptions,
        value: u32,
    ) -> Result<Self>;
    /// The calls that made it, for the commentary.
    fn making(&self, value: u32) -> String;
    /// Its name, as a stranger would give it to the kernel.
    fn name(&self) -> String;
    /// The thing that outlives us.
    fn object(&self, made_with: u32) -> Object;
    /// Which processes' posts may be in it.
    fn whose(&self) -> String;
    /// The value; another process may change it at any time.
    fn value(&self) -> Result<u32>;
    /// Adds 1, and wakes one process that sleeps.
    fn post(&mut self) -> Result<()>;
    /// Takes 1; sleeps while there is none, for as long as the patience lasts. Between
    /// two sleeps, if it has more than one, it calls `look`.
    fn wait(
        &mut self,
        patience: Option<Duration>,
        look: &mut dyn FnMut(),
    ) -> Result<()>;
}

/// The advice of a wait that was given up.
pub(super) fn timeout_advice(patience: Option<Duration>) -> Option<String> {
    let seconds = patience?.as_secs_f64();
    Some(format!("nobody posted within the --patience of {seconds} s"))
}
