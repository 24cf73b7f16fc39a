//! What can be done with any chapter: all of it works from the table's rows.

pub mod bare;
pub mod clean;
pub mod demo;
pub mod holders;
pub mod interrupts;
pub mod language;
pub mod progress;
pub mod prose;
pub mod scratch;
pub mod tools;
pub mod whole;
