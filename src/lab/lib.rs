//! What can be done with any chapter: all of it works from the table's rows.

use anyhow::Result;
use wire::payload::Printed;

pub mod clean;
pub mod contract;
pub mod demo;
pub mod interrupts;
pub mod prose;
pub mod scratch;

/// Prints `text` on standard output; a reader that has left (`| head`) is a quiet end.
///
/// # Errors
/// ENOSPC and the like.
pub fn print(text: &str) -> Result<()> {
    wire::payload::print(text.as_bytes()).map(|_: Printed| ())
}
