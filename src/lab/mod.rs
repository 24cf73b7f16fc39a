//! What can be done with any chapter: all of it works from the table's rows.

use anyhow::Result;

use crate::wire::payload::Printed;

pub mod bench;
pub mod clean;
pub mod contract;
pub mod demo;
pub mod experiment;
mod interrupts;
pub mod list;
pub mod near;
pub(crate) mod prose;
mod scratch;
pub mod trace;

/// Prints `text` on standard output; a reader that has left (`| head`) is a quiet end.
///
/// # Errors
/// ENOSPC and the like.
pub fn print(text: &str) -> Result<()> {
    crate::wire::payload::print(text.as_bytes()).map(|_: Printed| ())
}
